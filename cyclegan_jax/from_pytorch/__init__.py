"""Turns the options of a training with the authors' PyTorch code into a config."""
