"""An independent PyTorch CycleGAN: the oracle of the parity tests.

Written from a description of the published system, not from `cyclegan_jax`. Only
`cases` (which reads the committed golden files) works without PyTorch.
"""
