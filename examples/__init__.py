"""Small programs to read."""
