"""What people and programs see of a daemon and of its registries, and what they are told."""
