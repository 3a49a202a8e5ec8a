"""CycleGAN itself: networks, losses, methods, and the update, as pure functions."""
