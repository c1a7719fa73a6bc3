"""What pages, API and metrics see of a running daemon."""
