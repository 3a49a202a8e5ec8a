"""Exports generators as files that do not need this library."""
