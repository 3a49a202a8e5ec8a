"""Trains the network that scores photographs of label maps."""
