"""What is done: each module is one job, written against `sealrun.ports`; adapters say with what it is done."""
