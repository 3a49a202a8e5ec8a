"""Settings: default.py has all of them, the others what differs."""
