"""What is damaged, and what becomes of it: verifying, scrubbing, repairing, repacking."""
