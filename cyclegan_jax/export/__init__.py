"""Generators as files that need nothing of this library."""
