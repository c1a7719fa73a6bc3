"""What a preset is, what it may look at, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, parse_status, read_json
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import DONE_MARKER, SUCCESS_MARKER, FrameworkStatus

MAX_FILES = 1000
"""So many small files of one kind (a parameter or a metric each) are read of a run at most."""


class HasSize(Protocol):
    """What is known of a file without opening it."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...


class Look(Protocol):
    """A folder as a preset sees it: its names and sizes, and its files as far as they are asked for.

    Whatever is not there, is a link, or is larger than asked for is None; nothing a file holds can raise.
    """

    @property
    def files(self) -> Mapping[str, HasSize]:
        """Every file, by its path."""
        ...

    @property
    def top(self) -> Collection[str]:
        """Names directly at the top: of files, and of folders that hold files."""
        ...

    @property
    def folders(self) -> Collection[str]:
        """Empty folders."""
        ...

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a whole file of at most `limit` bytes."""
        ...

    def start(self, path: str, length: int) -> bytes | None:
        """Return at most the first `length` bytes."""
        ...

    def end(self, path: str, length: int) -> bytes | None:
        """Return at most the last `length` bytes."""
        ...


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a framework's files say of a run; absent where they do not. Times are UTC with a final ``Z``.

    `version` is the framework's, `run` the name it gave the run itself, `ids` what else it is known by there (its
    experiment, its parent, its sweep). `notes`: what could not be used, and why.
    """

    version: str | None = None
    run: str | None = None
    ids: Mapping[str, str] | None = None
    started_at: str | None = None
    finished_at: str | None = None
    pipeline_id: str | None = None
    pipeline_version: str | None = None
    tags: list[str] | None = None
    params: JsonObject | None = None
    metrics: JsonObject | None = None
    notes: tuple[str, ...] = ()


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One framework. `status` is None where the folder is not one of its runs; `facts` is asked only where it is.

    `owns` are files of the framework that look like a producer's own records and are none. `is_maker` tells whether the
    framework made the folder, where its marks are also used by others.
    """

    name: str
    status: Callable[[Look], FrameworkStatus | None]
    facts: Callable[[Look], Facts]
    owns: frozenset[str] = frozenset()
    is_maker: Callable[[Look], bool] = lambda _look: True


def running(framework: str, evidence: str, awaits: str) -> FrameworkStatus:
    """Answer that the run is not over, and what would end it."""
    return FrameworkStatus(framework=framework, state="running", evidence=evidence, awaits=awaits)


def silent(framework: str, evidence: str, awaits: str | None = None) -> FrameworkStatus:
    """Answer that it is one of the framework's runs, whose end its files do not show."""
    awaits = awaits or f"{framework} leaves no sign of its end, so quiet decides"
    return FrameworkStatus(framework=framework, state="silent", evidence=evidence, awaits=awaits)


def declared_end(look: Look, folder: str) -> tuple[str, Status] | None:
    """Return the marker that declares a run at `folder` (which ends in ``/``) complete, and with which status, if any.

    For runs inside: of a run of its own the watch's markers count, before any framework is asked.
    """
    if folder + DONE_MARKER in look.files:
        value = read_json(look.read(folder + DONE_MARKER, MAX_RECORD_BYTES))
        status = parse_status(value.get("status")) if isinstance(value, dict) else None
        return folder + DONE_MARKER, status or "unknown"
    return (folder + SUCCESS_MARKER, "success") if folder + SUCCESS_MARKER in look.files else None


def nested(paths: Iterable[str], folder: str) -> list[str]:
    """Names below `folder` (which ends in ``/``), sorted, without it; at most `MAX_FILES`."""
    return sorted(path.removeprefix(folder) for path in paths if path.startswith(folder))[:MAX_FILES]


def known(said: Mapping[str, object]) -> dict[str, str] | None:
    """Keep what are texts and not empty; None if nothing is."""
    return {name: text for name, text in said.items() if isinstance(text, str) and text} or None


def text_of(body: bytes | None) -> str:
    """Decode text by anybody; what is not UTF-8 is replaced."""
    return (body or b"").decode("utf-8", "replace")
