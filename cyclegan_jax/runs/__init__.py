"""What a config and a folder mean: settings, checkpoints, and saved runs."""
