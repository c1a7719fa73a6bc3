"""What validating finds, and what the content of a registry artifact has to be by its type alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Literal, get_args

import msgspec

from sealrun.domain.types import TypedArtifact

Check = Literal["seal", "composition", "schema", "pointers", "dependencies", "checks", "command"]
CHECKS: tuple[Check, ...] = get_args(Check)
VALIDATED: tuple[Check, ...] = ("seal", "composition", "schema", "pointers", "dependencies")
"""What `validate` looks at, in this order."""
Conforms = Callable[[object], list[str]]
"""Says why a decoded value does not conform to a schema: nothing if it does."""
MOST_TOLD = 20


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. An ``error`` fails the validation; a ``note`` is worth knowing."""

    level: Literal["ok", "note", "error"]
    check: Check
    where: str
    detail: str


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found of one run or folder."""

    ref: str
    findings: tuple[Finding, ...]
    root_sha256: str | None = None

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return all(finding.level != "error" for finding in self.findings)

    def failed(self, checks: Iterable[Check]) -> tuple[Finding, ...]:
        """Return the errors of these checks."""
        wanted = set(checks)
        return tuple(each for each in self.findings if each.level == "error" and each.check in wanted)


def content_problems(artifact: TypedArtifact, chunks: Iterable[bytes], conforms: Conforms | None) -> Iterator[str]:
    """Say why the bytes of a registry artifact are not what its type, and its schema if there is one, promise.

    Lines of a JSONL file are decoded one at a time; any other file is held as a whole.
    """
    if artifact.type == "jsonl_registry":
        yield from _lines(chunks, conforms)
    elif artifact.path.endswith(".csv"):
        yield from _table(b"".join(chunks), conforms)
    elif artifact.path.endswith(".json"):
        yield from _document(b"".join(chunks), conforms)


def _lines(chunks: Iterable[bytes], conforms: Conforms | None) -> Iterator[str]:
    rest, number = b"", 0
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            yield from _line(number, line, conforms)
    if rest:
        yield from _line(number + 1, rest, conforms)


def _line(number: int, line: bytes, conforms: Conforms | None) -> Iterator[str]:
    if not line.strip():
        return
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield f"line {number}: not valid JSON ({error})"
        return
    if not isinstance(value, dict):
        yield f"line {number}: is not a JSON object"
        return
    yield from (f"line {number}: {problem}" for problem in (conforms(value) if conforms else ()))


def _document(body: bytes, conforms: Conforms | None) -> Iterator[str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        yield f"not valid JSON ({error})"
        return
    yield from conforms(value) if conforms else ()


def _table(body: bytes, conforms: Conforms | None) -> Iterator[str]:
    """A CSV file with a heading; each row is to its schema an object of texts."""
    try:
        rows = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        if not rows.fieldnames:
            yield "is empty: the first line names the columns"
            return
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values():
                yield f"row {number}: has not as many fields as the heading"
            elif conforms is not None:
                yield from (f"row {number}: {problem}" for problem in conforms(row))
    except (UnicodeDecodeError, csv.Error) as error:
        yield f"not a CSV file in UTF-8 ({error})"


def schema_files(artifact: TypedArtifact, paths: Container[str]) -> list[str]:
    """Name the schema files of the same run that are meant for an artifact: ``NAME.schema.json`` beside it."""
    folder, _, file = artifact.path.rpartition("/")
    stem = file.partition(".")[0]
    names = (f"{stem}.schema.json", f"{artifact.registry}.schema.json", f"REGISTRY_{artifact.registry}.schema.json")
    prefix = f"{folder}/" if folder else ""
    wanted = [f"{prefix}{inner}{name}" for inner in ("", "schemas/") for name in names]
    return [path for path in dict.fromkeys(wanted) if path in paths][:1]
