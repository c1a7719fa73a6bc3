"""The command line: thin commands over `sealrun.bootstrap`, each imported only when it is called."""
