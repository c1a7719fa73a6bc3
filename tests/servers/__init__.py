"""Real servers for tests, on free ports of the loopback interface, gone with whoever started them."""
