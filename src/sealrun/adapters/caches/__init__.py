"""What is fetched and kept on this machine, bounded."""
