"""What a training step costs on devices that one does not have: `python -m` this."""
