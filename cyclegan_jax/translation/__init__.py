"""Translating pictures, folders and videos of any size."""
