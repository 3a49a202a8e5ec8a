"""Training: the loop, and the state that it advances."""
