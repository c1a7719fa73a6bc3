"""One attempt at publishing a sealed run, what follows its outcome, and what others left half done."""
