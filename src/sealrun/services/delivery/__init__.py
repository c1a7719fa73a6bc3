"""Sealed runs on their way to every registry."""
