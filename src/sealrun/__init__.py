"""Seals run folders, publishes them deduplicated to every registry, and keeps them findable."""

__all__ = ["__version__"]

__version__ = "0.1.0"
