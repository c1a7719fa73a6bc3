"""What keeps a run, and what takes it out of the live set: pins, published names, retirement and its undoing."""
