"""Training methods: networks, losses and the order of updates; nothing else."""
