"""`python -m cyclegan_jax.plan`: the cost of a training step on devices elsewhere."""
