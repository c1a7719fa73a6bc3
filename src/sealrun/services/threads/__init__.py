"""Threads: work side by side, loops that wait for what is due, and signs that they get on."""
