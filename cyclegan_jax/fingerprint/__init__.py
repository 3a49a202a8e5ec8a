"""Says what a run's checkpoints hold in a few digits, and where two runs part."""
