"""Where runs are restored: complete, or not there."""
