"""A run: its files, its manifest, its envelope, and what its own files say of it."""
