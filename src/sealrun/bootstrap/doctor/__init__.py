"""What `sealrun doctor` looks at."""
