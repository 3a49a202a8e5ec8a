"""Translates images, folders and videos of any size."""
