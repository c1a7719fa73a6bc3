"""What is kept, what goes, and what is mended."""
