"""Devices, processes, XLA's options and signals: what a run computes on."""
