"""Configs: default.py returns all settings, the others change some of them."""
