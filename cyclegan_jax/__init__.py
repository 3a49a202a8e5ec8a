"""CycleGAN in pure JAX: exact, fast, readable, reproducible."""
