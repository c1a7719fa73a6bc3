"""What stands at a path, in one registry, for whoever looks with one instance: every name means one run throughout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

from sealrun.bootstrap.products.browsing import CacheChoice, shared_browser
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.errors import NotFoundError, SealrunError
from sealrun.domain.reference import parse_reference
from sealrun.domain.registry.pointing import Target
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.tree import Node
from sealrun.fsspec_plugin.errors import as_os_error, translated
from sealrun.fsspec_plugin.paths import locate
from sealrun.services.access.browsing import Browser, OpenRun, Part

State = tuple[RegistrySpec, Mapping[str, Target]]
Wanted = tuple[str, int | None, int | None]
"""A path, and the bytes of it that are wanted, as a slice takes them."""
Info = dict[str, Any]


class Found(NamedTuple):
    """What stands at a path: a node of a run, or with neither the root or an experiment."""

    run: OpenRun | None = None
    node: Node | None = None


class Lookup:
    """Finds what paths name. Safe from many threads, which all see the same runs."""

    def __init__(self, spec: RegistrySpec, cache: CacheChoice, pins: Mapping[str, Target]) -> None:
        """Look into the registry `spec`; what `pins` say is looked up no more."""
        self.spec = spec
        self._cache = cache
        self._pins = dict(pins)
        self._pinning = Lock()

    @property
    def browser(self) -> Browser:
        """Shared in this process, and asked for each time: a child process has its own."""
        return shared_browser(self.spec, self._cache)

    @property
    def pins(self) -> dict[str, Target]:
        """What each reference that was met stands for."""
        with self._pinning:
            return dict(self._pins)

    def forget(self, path: str | None) -> None:
        """Look the reference in `path`, or every one, up again when it is next met."""
        with self._pinning:
            if path is None:
                self._pins.clear()
            else:
                self._pins.pop(locate(path).ref, None)

    def find(self, path: str) -> Found:
        """Find what stands at `path`; `NotFoundError`."""
        place = locate(path)
        if not place.ref or (place.bare and self._is_experiment(place.ref)):
            return Found()
        target = self._target(place.ref)
        run = self.browser.open(target)
        inner = place.inner
        if target.path is not None:
            inner = f"{target.path}/{inner}" if inner else target.path
        elif not inner and place.ref.startswith("urn:") and run.view.envelope.unit == "file":
            inner = run.view.manifest.entries[0].path
        node = run.tree.find(inner)
        if node is None:
            msg = f"{run.view.ref} holds no {inner!r}; list its files with: sealrun show {run.view.ref}"
            raise NotFoundError(msg)
        return Found(run, node)

    def file(self, path: str) -> tuple[OpenRun, Entry]:
        """Find a file; `IsADirectoryError`."""
        found = self.find(path)
        if found.run is None or found.node is None or found.node.entry is None:
            raise IsADirectoryError(21, "is a folder; name a file in it", path)
        return found.run, found.node.entry

    def listed(self, path: str) -> Iterator[Info]:
        """Describe what lies in a folder, or the file at `path`; of an experiment its runs, at the root experiments."""
        found = self.find(path)
        if found.run is not None and found.node is not None:
            if found.node.entry is not None:
                yield describe(path, found)
                return
            for node in found.run.tree.children(found.node.path):
                yield describe(f"{path}/{node.path.rpartition('/')[2]}", Found(found.run, node))
        elif path:
            for row in self.browser.reader.runs(path):
                yield {**describe(f"{path}/{row.run_id}", Found()), "status": row.status, "tags": list(row.tags)}
        else:
            for name in self.browser.reader.experiments():
                yield describe(name, Found())

    def read_many(self, wanted: Sequence[Wanted]) -> list[bytes | Exception]:
        """Read parts of files, those of one run together; an error where there is one."""
        answers: list[bytes | Exception] = [b""] * len(wanted)
        by_run: dict[OpenRun, list[tuple[int, Part]]] = {}
        for at, (path, start, end) in enumerate(wanted):
            try:
                with translated(path):
                    run, entry = self.file(path)
                    by_run.setdefault(run, []).append((at, part_of(entry, start, end)))
            except (OSError, SealrunError) as error:
                answers[at] = error
        for run, parts in by_run.items():
            for (at, _), answer in zip(parts, run.read_many([part for _, part in parts]), strict=True):
                answers[at] = as_os_error(answer, wanted[at][0]) if isinstance(answer, SealrunError) else answer
        return answers

    def _is_experiment(self, name: str) -> bool:
        with self._pinning:
            if name in self._pins:
                return False  # a published name that was met before
        return name in self.browser.reader.experiments()

    def _target(self, ref: str) -> Target:
        """Return the run that a reference means here; whoever has asked first decides for all."""
        with self._pinning:
            known = self._pins.get(ref)
        if known is not None:
            return known
        found = self.browser.reader.resolve_reference(parse_reference(ref))
        with self._pinning:
            return self._pins.setdefault(ref, found)


def describe(path: str, found: Found) -> Info:
    """Say what `info` says."""
    if found.run is None or found.node is None:
        return {"name": path, "size": 0, "type": "directory"}
    if found.node.entry is None:
        facts: Info = {"name": path, "size": 0, "type": "directory"}
        if not found.node.path:
            view = found.run.view
            facts |= {"ref": view.ref, "root_sha256": view.target.root_sha256, "status": view.envelope.status}
        return facts
    entry = found.node.entry
    facts = {"name": path, "size": entry.size, "type": "file", "sha256": entry.sha256, "executable": entry.executable}
    return facts if found.node.target is None else {**facts, "islink": True, "destination": found.node.target}


def part_of(entry: Entry, start: int | None, end: int | None) -> Part:
    """Take a part of a file as a slice does."""
    begin, stop, _ = slice(start, end).indices(entry.size)
    return Part(entry, begin, max(0, stop - begin))
