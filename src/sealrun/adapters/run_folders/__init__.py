"""Folders on this machine: watched, scanned, hashed, sealed, and nothing in them followed out."""
