"""The daemon: its parts, and its life from start to stop."""
