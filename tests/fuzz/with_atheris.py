"""Let coverage guide the fuzzing of one parser: ``make fuzz ARGS="MANIFEST.sha256 -max_total_time=600"``.

Needs atheris, which has wheels for some versions of Python only, so it is no test dependency. What it finds becomes a
case of `tests/fuzz/test_found.py`. Without arguments it lists the parsers.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random


def main(arguments: Sequence[str]) -> None:
    """Fuzz the parser named first; what follows goes to libFuzzer. Ends with the input that a parser fails on."""
    import atheris  # noqa: PLC0415 - see above

    with atheris.instrument_imports(include=["sealrun"]):
        from tests.fuzz.mutating import mutate  # noqa: PLC0415 - instrumented while it is imported
        from tests.fuzz.targets import TARGETS, attempt  # noqa: PLC0415 - as above

    if not arguments:
        sys.stdout.write("\n".join(TARGETS) + "\n")
        return
    target = TARGETS[arguments[0]]

    def mutated(body: bytes, most: int, seed: int) -> bytes:
        changed = atheris.Mutate(body, most) if seed % 2 else mutate(Random(seed), [body, *target.seeds])
        return bytes(changed)[:most]

    with tempfile.TemporaryDirectory(prefix="sealrun-fuzz-") as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = ["-timeout=20", "-rss_limit_mb=1024", "-max_len=100000", *arguments[1:]]
        atheris.Setup([sys.argv[0], *options, corpus], lambda body: attempt(target, body), custom_mutator=mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
