"""Which settings a daemon goes by, as its journal says, and what of them it does not know yet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.board import InForce
from sealrun.domain.ready import ready
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock, Facts, Journal

_FACT = "settings"


class Source(msgspec.Struct, frozen=True):
    """Where settings were read: a file, and the sha256 of what it held; None: the environment."""

    file: Path | None = None
    digest: str = ""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that a daemon took at `read` (POSIX seconds), as far as people are shown them; no secrets."""

    file: str | None
    digest: str
    read: float
    watches: Sequence[tuple[str, str, str]]
    registries: Mapping[str, str]

    def specs(self) -> tuple[dict[str, RegistrySpec], list[WatchSpec]]:
        """What there was to look at: names and places only."""
        registries = {name: RegistrySpec(name=name, url=url) for name, url in self.registries.items()}
        watches = [
            WatchSpec(name=name, path=path, experiment=experiment, registries=())
            for name, path, experiment in self.watches
        ]
        return registries, watches


def take_settings(
    journal: Journal, clock: Clock, source: Source, registries: Mapping[str, RegistrySpec], watches: Sequence[WatchSpec]
) -> None:
    """Remember that a daemon goes by these from now on. Durable on return."""
    taken = Taken(
        file=None if source.file is None else str(source.file),
        digest=source.digest,
        read=clock.now().timestamp(),
        watches=[(watch.name, watch.path, watch.experiment) for watch in watches],
        registries={name: spec.shown_url for name, spec in registries.items()},
    )
    journal.facts.set_fact(_FACT, msgspec.to_builtins(taken))


def taken_settings(facts: Facts) -> Taken | None:
    """What a daemon took last; None if none ever did."""
    fact = facts.fact(_FACT)
    return None if fact is None else msgspec.convert(fact, ready(Taken))


def in_force(facts: Facts, described: Path | None = None) -> InForce | None:
    """Say what the running daemon goes by. `described` is the file that whoever asks goes by, if another may be.

    None if no daemon ever said. A file that may not be read here is taken to be as it was.
    """
    taken = taken_settings(facts)
    if taken is None:
        return None
    read_at = shown_time(taken.read)
    unread = None
    if taken.file is not None and _digest(taken.file) not in {taken.digest, None}:
        unread = f"{taken.file} was changed after the daemon read it ({read_at}), which goes on with what it read"
    elif taken.file is not None and described is not None and str(described) != taken.file:
        unread = f"the daemon goes by {taken.file}, not by {described}"
    return InForce(file=taken.file, read_at=read_at, unread=unread)


def _digest(file: str) -> str | None:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""  # as changed as it can be
    except OSError:
        return None
