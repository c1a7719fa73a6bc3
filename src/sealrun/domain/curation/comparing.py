"""What differs between two runs: files by content, parameters and metrics by value, and what is known besides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.runs.run import Envelope

_FACTS = ("name", "unit", "status", "started_at", "finished_at", "tags")
_PRODUCERS = ("pipeline_id", "pipeline_version", "trigger", "framework", "inputs")


class FileChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file that is not the same in both. Sizes are bytes; the digests are the files' own.

    `moved_from`: the same content has another path in the first run, and stands there no longer.
    """

    path: str
    change: Literal["added", "removed", "changed", "mode", "moved"]
    size_before: int | None = None
    size_after: int | None = None
    sha256_before: str | None = None
    sha256_after: str | None = None
    moved_from: str | None = None


class Difference(msgspec.Struct, frozen=True):
    """One value that is not the same in both; None where a run does not have it."""

    name: str
    before: Any = None
    after: Any = None

    @property
    def delta(self) -> float | None:
        """How much a number grew, or None if either is no finite number."""
        if is_number(self.before) and is_number(self.after):
            return float(self.after) - float(self.before)
        return None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two runs, the first being the one `before`.

    `same_bytes`: their files are the same, by content, path, mode, links and empty folders. `unchanged` files hold
    `unchanged_size` bytes.
    """

    same_bytes: bool
    files: tuple[FileChange, ...]
    unchanged: int
    unchanged_size: int
    links: tuple[Difference, ...] = ()
    params: tuple[Difference, ...] = ()
    metrics: tuple[Difference, ...] = ()
    facts: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        """Tell whether nothing differs that was made by the run: its bytes, parameters and metrics."""
        return self.same_bytes and not (self.params or self.metrics)


def compare(before: tuple[Envelope, Manifest], after: tuple[Envelope, Manifest]) -> Comparison:
    """Compare two runs, of one experiment or of two."""
    (first, held_before), (second, held_after) = before, after
    files, unchanged = _files(held_before, held_after)
    return Comparison(
        same_bytes=first.manifest_sha256 == second.manifest_sha256,
        files=tuple(files),
        unchanged=len(unchanged),
        unchanged_size=sum(entry.size for entry in unchanged),
        links=_differences(_links(held_before), _links(held_after)),
        params=_differences(flat(first.producer.get("params")), flat(second.producer.get("params"))),
        metrics=_differences(flat(first.producer.get("metrics")), flat(second.producer.get("metrics"))),
        facts=_differences(_facts(first), _facts(second)),
    )


def flat(value: object, prefix: str = "") -> dict[str, Any]:
    """Return nested objects as one, with dotted names: ``{"optimizer.lr": 0.1}``. Lists are values."""
    if not isinstance(value, Mapping):
        return {prefix: value} if prefix else {}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def _facts(envelope: Envelope) -> dict[str, Any]:
    said = {name: envelope.producer.get(name) for name in _PRODUCERS}
    known: dict[str, Any] = {name: getattr(envelope, name) for name in _FACTS}
    known["tags"] = sorted(envelope.tags)
    return {**known, **flat({name: value for name, value in said.items() if value is not None})}


def _links(manifest: Manifest) -> dict[str, Any]:
    folders = {f"{folder}/": "an empty folder" for folder in manifest.directories}
    return {**folders, **{link.path: link.target for link in manifest.links}}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Every name whose values differ, sorted; a value of None is one that is not there."""
    names = sorted({*before, *after})
    return tuple(
        Difference(name, before.get(name), after.get(name))
        for name in names
        if not _equal(before.get(name), after.get(name))
    )


def _equal(one: object, other: object) -> bool:
    """Compare values of JSON: ``1`` is ``1.0``, but ``True`` is not ``1``."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def is_number(value: object) -> bool:
    """Tell whether a value of JSON is a finite number, which a truth value is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _files(before: Manifest, after: Manifest) -> tuple[list[FileChange], Sequence[Entry]]:
    """Changes by path, and the entries that are the same. A move is seen where content left one path for one other."""
    old = {entry.path: entry for entry in before.entries}
    new = {entry.path: entry for entry in after.entries}
    moves = dict(_moves(old, new))
    came_from = set(moves.values())
    changes: list[FileChange] = []
    same: list[Entry] = []
    for path in sorted({*old, *new}):
        was, now = old.get(path), new.get(path)
        if was is not None and now is not None:
            if was == now:
                same.append(now)
            else:
                changes.append(_change(path, "mode" if was.sha256 == now.sha256 else "changed", was, now))
        elif now is not None:
            source = moves.get(path)
            changes.append(
                _change(path, "added", None, now)
                if source is None
                else msgspec.structs.replace(_change(path, "moved", old[source], now), moved_from=source)
            )
        elif path not in came_from:
            changes.append(_change(path, "removed", was, None))
    return changes, same


def _moves(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    """Pairs of new and old path. Empty files are alike without being the same, so they never count as moved."""
    gone: dict[str, list[str]] = {}
    for path, entry in old.items():
        if path not in new and entry.size:
            gone.setdefault(entry.sha256, []).append(path)
    for path, entry in new.items():
        if path not in old and gone.get(entry.sha256):
            yield path, gone[entry.sha256].pop(0)


def _change(
    path: str, kind: Literal["added", "removed", "changed", "mode", "moved"], was: Entry | None, now: Entry | None
) -> FileChange:
    return FileChange(
        path,
        kind,
        size_before=was.size if was else None,
        size_after=now.size if now else None,
        sha256_before=was.sha256 if was else None,
        sha256_after=now.sha256 if now else None,
    )
