"""What leads to runs: index rows and pointers."""
