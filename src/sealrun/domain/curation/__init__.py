"""What a registry knows beyond bytes, and the forms in which it is told."""
