"""When a folder is a run, and when it is complete."""
