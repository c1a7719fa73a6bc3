"""From a watched folder to a sealed run."""
