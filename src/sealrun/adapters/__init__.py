"""With what it is done: adapters keep the promises written in `sealrun.ports`."""
