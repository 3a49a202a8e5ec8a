"""Imports and exports PyTorch weights, without PyTorch."""
