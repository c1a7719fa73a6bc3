"""Sources of published runs on their way out."""
