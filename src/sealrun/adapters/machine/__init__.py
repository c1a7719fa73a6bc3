"""What this machine gives: time, locks, processes, timers, its service manager."""
