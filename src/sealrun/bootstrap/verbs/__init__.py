"""What can be done with the settings' registries: produce, consume, keep, mend, govern."""
