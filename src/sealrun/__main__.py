"""`python -m sealrun` is the same as the `sealrun` command."""

from sealrun.cli.main import main

if __name__ == "__main__":
    main()
