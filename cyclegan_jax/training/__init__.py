"""Training: the loop and the training state."""
