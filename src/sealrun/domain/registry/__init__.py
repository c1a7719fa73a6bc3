"""The records of a registry: attempts, packs, index rows, pointers."""
