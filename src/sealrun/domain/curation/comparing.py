"""What differs between two runs: files by content, parameters and metrics by value, and what is known besides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.runs.run import Envelope

_FACTS = ("name", "unit", "status", "started_at", "finished_at", "tags")
Change = Literal["added", "removed", "changed", "mode", "moved"]
_PRODUCERS = ("pipeline_id", "pipeline_version", "trigger", "framework", "inputs")


class FileChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file that is not the same in both. Sizes are bytes; the digests are the files' own.

    `moved_from`: the same content has another path in the first run, and stands there no longer.
    """

    path: str
    change: Change
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
    files: Changes
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
    files = Changes(held_before, held_after)
    return Comparison(
        same_bytes=first.manifest_sha256 == second.manifest_sha256,
        files=files,
        unchanged=files.unchanged,
        unchanged_size=files.unchanged_size,
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


class Changes(Iterable[FileChange]):
    """Every file that is not the same in two runs, by path, made as it is asked for: they may be a million.

    A move is seen where content left one path for one other. Empty files are alike without being the same, so they
    never count as moved. What is held are paths that are only in the first run, and those that files moved to.
    """

    def __init__(self, before: Manifest, after: Manifest) -> None:
        """Count what is the same: `unchanged` files, of `unchanged_size` bytes."""
        self._before = before
        self._after = after
        self.unchanged = self.unchanged_size = self._count = 0
        gone: dict[Digest, list[str]] = {}
        came = False
        for was, now in self._pairs():
            if was == now and now is not None:
                self.unchanged += 1
                self.unchanged_size += now.size
                continue
            self._count += 1
            came = came or was is None
            if now is None and was is not None and was.size:
                gone.setdefault(was.sha256, []).append(was.path)
        self._moves = dict(self._moved(gone)) if gone and came else {}
        self._left = frozenset(self._moves.values())

    def __bool__(self) -> bool:
        return self._count > 0

    def __iter__(self) -> Iterator[FileChange]:
        for was, now in self._pairs():
            if now is None:
                if was is not None and was.path not in self._left:
                    yield _change("removed", was, None)
            elif was is not None:
                if was != now:
                    yield _change("mode" if was.sha256 == now.sha256 else "changed", was, now)
            elif now.path in self._moves:
                yield msgspec.structs.replace(_change("moved", now, now), moved_from=self._moves[now.path])
            else:
                yield _change("added", None, now)

    def _pairs(self) -> Iterator[tuple[Entry | None, Entry | None]]:
        """Yield the entries of each path, None for the run that does not have it. Both runs are in order of paths."""
        one, other = iter(self._before.entries), iter(self._after.entries)
        was, now = next(one, None), next(other, None)
        while was is not None or now is not None:
            if now is None or (was is not None and was.path < now.path):
                yield was, None
                was = next(one, None)
            elif was is None or now.path < was.path:
                yield None, now
                now = next(other, None)
            else:
                yield was, now
                was, now = next(one, None), next(other, None)

    def _moved(self, gone: dict[Digest, list[str]]) -> Iterator[tuple[str, str]]:
        """Yield pairs of new and old path: of each content the first that came, and the first that is gone."""
        for paths in gone.values():
            paths.reverse()
        for was, now in self._pairs():
            if was is None and now is not None and now.size and gone.get(now.sha256):
                yield now.path, gone[now.sha256].pop()


def _change(kind: Change, was: Entry | None, now: Entry | None) -> FileChange:
    return FileChange(
        now.path if now else was.path if was else "",
        kind,
        size_before=was.size if was else None,
        size_after=now.size if now else None,
        sha256_before=was.sha256 if was else None,
        sha256_after=now.sha256 if now else None,
    )
