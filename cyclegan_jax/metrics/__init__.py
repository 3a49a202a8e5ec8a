"""Measures of what a trained generator does."""
