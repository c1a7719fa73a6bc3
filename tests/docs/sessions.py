"""Pages that are played from top to bottom: files are written, commands run, and what they print is what is shown.

The comment before a fence says what it is:

- ``<!-- file: NAME -->``: the file of that name, as it is shown.
- ``<!-- session -->``: a ``console`` fence. Each line that begins with ``$`` is a command (``\\`` at its end goes on),
  and the lines below it are what it prints.
- ``<!-- session when COMMAND -->``: the same, once COMMAND succeeds: a reader is slower than a test.

Times, ids, digests and sizes differ each time; `alike` makes them the same, and keeps which of them are equal.
``python -m tests.docs.sessions`` plays every such page and writes into it what was printed.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import DOCS, ROOT, reader_environment, shell

SESSIONS = (ROOT / "README.md", DOCS / "tutorial.md", DOCS / "tutorial-folders.md")
HOME = "/home/ada"
"""What pages show for the folder in which they are played."""
_FENCE = re.compile(r"(?ms)^<!-- (?P<mark>(?:file|session)[^\n]*) -->\n```(?P<language>\w+)\n(?P<body>.*?)^```$")
_SAYS = "@@@ command"
_NUMBERED = re.compile(
    r"""(?x)
    [0-9]{8}T[0-9]{6}Z - (?: [\w.]+ - )* [0-9a-f]{6,16} \b  # ids of runs and attempts
    | \b [0-9a-f]{64} \b | \b [0-9a-f]{32} \b | \b [0-9a-f]{12} \b  # digests, ids of registries, short digests
    """
)
_UNLIKE = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?Z?"), "<time>"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:B|KiB|MiB)\b"), "<size>"),
    (re.compile(r"\bprocess \d+"), "process <number>"),
    (re.compile(r"\b127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
    (re.compile(r"[ \t]+"), " "),
)


class Step(NamedTuple):
    """One command of a page, and what the page shows below it."""

    command: str
    shown: str


def steps(body: str) -> list[Step]:
    """The commands of a fence, each with what is shown below it."""
    found: list[Step] = []
    continued = False
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], ""))
        elif continued:
            found[-1] = Step(f"{found[-1].command}\n{line}", "")
        else:
            found[-1] = found[-1]._replace(shown=f"{found[-1].shown}{line}\n")
        continued = line.endswith("\\") and not found[-1].shown
    return found


_READS_S = 1.1
"""Whoever reads on takes more than a second between two fences, so runs finish in the order in which they are shown."""


def script_of(page: str) -> str:
    """What bash does to play a page."""
    lines: list[str] = ["exec 2>&1"]
    for number, fence in enumerate(_FENCE.finditer(page)):
        kind, _, rest = fence["mark"].partition(" ")
        if kind == "file:":
            lines.append(f"cat > {rest} <<'@@@ end {number}'\n{fence['body']}@@@ end {number}")
            continue
        lines.append(f"sleep {_READS_S}")
        if rest:
            lines.append(f"until {rest.removeprefix('when ')} > /dev/null 2>&1; do sleep 0.2; done")
        lines += [f"echo '{_SAYS}'\n{step.command}" for step in steps(fence["body"])]
    return "\n".join(lines) + "\n"


def played(page: str, place: Path) -> list[str]:
    """Play a page in an empty folder below `place`; return what each of its commands printed."""
    here = place / "first"
    here.mkdir()
    said = shell(script_of(page), here, reader_environment(place / "home"))
    said = said.replace(str(place), HOME).replace(f"{getpass.getuser()}@{os.uname().nodename}", "ada@laptop")
    return [text.removeprefix("\n") for text in said.split(_SAYS)[1:]]


def shown(page: str) -> Iterator[Step]:
    """Every command of a page, with what is shown below it."""
    for fence in _FENCE.finditer(page):
        if fence["mark"].startswith("session"):
            yield from steps(fence["body"])


def alike(texts: list[str]) -> list[str]:
    """The texts without what differs each time. An id or digest becomes the number of its first appearance."""
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        # The short form of a digest is the same digest.
        key = next((known for known in numbers if known.startswith(match[0]) or match[0].startswith(known)), match[0])
        return numbers.setdefault(key, f"<{len(numbers) + 1}>")

    found = [_NUMBERED.sub(number, text) for text in texts]
    for pattern, instead in _UNLIKE:
        found = [pattern.sub(instead, text) for text in found]
    return ["\n".join(line.rstrip() for line in text.splitlines()) for text in found]


def with_what_was_printed(page: str, printed: list[str]) -> str:
    """The page, showing `printed` below its commands."""
    waiting = iter(printed)

    def refreshed(fence: re.Match[str]) -> str:
        if not fence["mark"].startswith("session"):
            return fence[0]
        lines = (f"$ {step.command}\n{next(waiting)}" for step in steps(fence["body"]))
        body = "\n".join(line.rstrip() for line in "".join(lines).splitlines())
        return f"<!-- {fence['mark']} -->\n```{fence['language']}\n{body}\n```"

    return _FENCE.sub(refreshed, page)


def main() -> None:
    """Play every page, and write into it what was printed."""
    for file in SESSIONS:
        page = file.read_text()
        with tempfile.TemporaryDirectory() as place:
            printed = played(page, Path(place).resolve())
        file.write_text(with_what_was_printed(page, printed))
        sys.stderr.write(f"{file}: {len(printed)} commands\n")


if __name__ == "__main__":
    main()
