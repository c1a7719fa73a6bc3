"""Mirrors as folders: plain runs at natural paths."""
