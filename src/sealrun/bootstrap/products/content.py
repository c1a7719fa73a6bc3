"""Content by its URN in one registry: put, get, exists, and builds that happen once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.products.workshop import Workshop
from sealrun.bootstrap.registries import find_spec
from sealrun.bootstrap.verbs.consuming import whoami
from sealrun.domain.address import RunId
from sealrun.domain.curation.artifacts import (
    CONTENT_EXPERIMENT,
    METADATA,
    as_content,
    check_json,
    config_digest,
    parse_type,
)
from sealrun.domain.curation.building import DEFAULT_LEASE_S, BuildStep
from sealrun.domain.errors import (
    ConfigurationError,
    NoRegistryError,
    NotFoundError,
    UsageError,
)
from sealrun.domain.reference import RunReference, UrnReference
from sealrun.domain.urn import parse_urn
from sealrun.services.access.moved import read_where_it_stands
from sealrun.services.access.reading import Reader
from sealrun.services.curation.building import BuildLog

Build = Callable[[Path], str | os.PathLike[str] | None]
"""Fills the folder it is given, or says which path is the content: in that folder, or anywhere."""
_LEAST_LEASE_S = 0.2


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What `build_once` returns: the content's URN, the run that holds it, its path here, and if it was there before.

    It is a path itself, so it can be given to `open` and to whatever takes a path. Nobody may write to it.
    """

    urn: str
    ref: str
    path: Path
    reused: bool

    def __fspath__(self) -> str:
        """Return the path."""
        return str(self.path)


class Contents(Workshop):
    """The content of one registry."""

    def __init__(self, parts: Parts, registry: str | None = None, cache: Path | None = None) -> None:
        """Work on `registry`; see the base. One that is not known is refused at once."""
        super().__init__(parts, registry, cache)
        find_spec(parts.registries, registry)

    def put(self, path: str | os.PathLike[str], kind: str, metadata: Mapping[str, object] | None = None) -> str:
        """Publish a file or a folder; return its URN. Durable on return. The same content is stored once.

        The metadata of whoever was first stand. Nothing is written if the content is there already.
        """
        metadata = dict(metadata or {})
        check_json(metadata, "metadata")
        return self._publish(Path(path), parse_type(kind), metadata)[2]

    def get(self, ref: str, *, verify: bool = True) -> Path:
        """Return where the content is on this machine: a file, or a folder. Any other reference works, too."""
        reader = self._reader
        target = reader.resolve(ref)
        return read_where_it_stands(reader, target, lambda at: self._local.of(reader.load(at), verify=verify))

    def exists(self, urn: str) -> bool:
        """Tell whether the content is there. An outage is raised, and never taken for "no"."""
        try:
            self._reader.resolve_reference(UrnReference(parse_urn(urn)))
        except NoRegistryError:
            raise
        except NotFoundError:
            return False
        return True

    def metadata(self, ref: str) -> dict[str, Any]:
        """Return what was said of the content when it was put first."""
        reader = self._reader
        return dict(reader.load(reader.resolve(ref)).envelope.producer.get(METADATA, {}))

    def build_once(
        self,
        config: object,
        kind: str,
        build: Build,
        *,
        wait_s: float | None = None,
        lease_s: float = DEFAULT_LEASE_S,
        verify: bool = True,
    ) -> Built:
        """Return what was built of `config`, or build it: once, however many ask. See `sealrun.build_once`."""
        if lease_s < _LEAST_LEASE_S:
            msg = f"lease: {lease_s} s is too short for signs of life; at least {_LEAST_LEASE_S} s"
            raise UsageError(msg)
        digest = config_digest(kind, config)
        log = BuildLog(self._registry_there().store, self._clock, self._entropy, whoami(), kind, digest)
        step = self._known(log) or log.ask(lease_s, wait_s, self._stands)
        reused = step.state == "built"
        if not reused:
            with log.alive(step, lease_s):
                step = self._build(log, step, build, kind, {"config": config})
        experiment, run_id, urn = step.run
        view = self._reader.load(self._reader.resolve_reference(RunReference(experiment, RunId(run_id))))
        return Built(urn=urn, ref=view.ref, path=self._local.of(view, verify=verify), reused=reused)

    def _known(self, log: BuildLog) -> BuildStep | None:
        """Return what is built already, where nothing else is allowed."""
        if not self._spec.read_only:
            return None
        newest = log.newest()
        if newest is not None and newest.state == "built" and self._stands(newest):
            return newest
        msg = f"registry {self._spec.name!r} is read-only, as the settings say, and does not hold what was asked for"
        raise ConfigurationError(msg)

    def _build(
        self, log: BuildLog, claim: BuildStep, build: Build, kind: str, metadata: dict[str, object]
    ) -> BuildStep:
        """Build in a scratch folder, publish, and say so. What could not be published stays there, and the error tells.

        A crash leaves the scratch folder, which the next build on this machine removes unless it is queued, and a claim
        that somebody takes over.
        """
        with self._room(kind) as room, self._giving_up(log, claim):
            made = build(room.folder)
            content = room.folder if made is None else room.folder / made
            with self._keeping(room, content):
                done = log.overtaken(claim, self._stands)
                if done is None:
                    done = log.conclude(claim, self._publish(content, kind, metadata), self._stands)
                return done

    def _publish(self, path: Path, kind: str, metadata: dict[str, object]) -> tuple[str, str, str]:
        """Seal and publish as content; return experiment, run id and URN."""
        producer = self._parts.producer
        sealing = producer.seal(str(path), CONTENT_EXPERIMENT)
        plain = sealing.envelope
        envelope = as_content(plain, kind, metadata, plain.name if plain.unit == "file" else kind)
        producer.aim([self._spec.name])
        run = msgspec.structs.replace(sealing.run, run_json=envelope.encode())
        (delivered,) = producer.publish_sealed(run).deliveries
        published = delivered.arrived(f"{path}:")
        return published.experiment, published.run_id, envelope.urn

    def _registry_there(self) -> Reader:
        """Open the registry; where there never was one, it is made as it is for a first publication."""
        if self._spec.read_only or not self._spec.create or self._seems_there():
            with suppress(NoRegistryError):
                return self._reader
        with self._alone_here():
            if not self._seems_there():
                self._parts.producer.registry(self._spec.name)
            try:
                return self._reader  # perhaps another process of this machine made it meanwhile
            except NoRegistryError:
                self._parts.producer.registry(self._spec.name)
                return self._reader

    def _seems_there(self) -> bool:
        """Tell whether it is worth asking for: a folder that is not there is no outage where none ever was."""
        url = self._spec.url.removeprefix("file://")
        return not url.startswith("/") or Path(url).is_dir()

    @contextmanager
    def _alone_here(self) -> Iterator[None]:
        """Let one process of this machine at a time make a registry: a thousand probes at once help nobody."""
        self._parts.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._parts.state / "making.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with suppress(OSError):  # without locks it is only slower
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
