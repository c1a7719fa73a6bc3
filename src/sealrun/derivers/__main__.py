"""Call one function that computes an output; see the package."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path

_ARGUMENTS = 4


def main(arguments: list[str]) -> int:
    """Call ``MODULE:NAME`` with inputs, output and mode; 2 if it cannot be found, 1 with a traceback if it fails."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m sealrun.derivers MODULE:NAME INPUTS OUTPUT MODE\n")
        return 2
    name, inputs, output, mode = arguments
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        derive = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 2
    try:
        derive(Path(inputs), Path(output), mode)
    except Exception:  # noqa: BLE001 - whatever it is, it is why there is no output
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.path[:0] = [place for place in os.environ.get("SEALRUN_PYTHONPATH", "").split(os.pathsep) if place]
    sys.exit(main(sys.argv[1:]))
