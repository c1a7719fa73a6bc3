"""What Python code imports: the names that `sealrun` itself shows, loaded when they are used."""
