"""Opening the registries that the settings name: store, probe, record, and the memory of which one it was."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from sealrun import __version__
from sealrun.adapters.machine.clock import SystemClock
from sealrun.adapters.stores import open_store
from sealrun.adapters.stores.limiting import LimitedStore, Limiter
from sealrun.adapters.stores.metering_store import MeteredStore
from sealrun.adapters.stores.pulsing_store import PulsingStore
from sealrun.adapters.stores.shelving import FileShelf
from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.adapters.stores.surrounding import beneath
from sealrun.domain.errors import ConfigurationError, NoRegistryError, UnsafeStoreError
from sealrun.domain.oversight.quiet_hours import Quiet
from sealrun.domain.ready import ready
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import LEAST_LINKED, PackOptions
from sealrun.domain.shelves import use_shelves
from sealrun.ports import UNMETERED, Clock, Entropy, Journal, Meters, Store
from sealrun.services.access.reading import Reader
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.services.storage.opening import RegistryRecord, create_registry, read_registry, require_registry
from sealrun.services.storage.probing import ProbeReport, probe
from sealrun.services.threads.progress import moving

_PROBE_VALID_S = 24 * 3600.0
_log = logging.getLogger("sealrun.registries")


class RegistrySpec(msgspec.Struct, frozen=True, kw_only=True):
    """A registry as the settings describe it, secrets revealed: never printed. Its stores count into `meters`.

    What is uploaded passes the `limiter` that several may share; without one, each store has its own for `limit`.
    """

    name: str
    url: str
    storage_options: Mapping[str, object] = msgspec.field(default_factory=dict)
    single_writer: bool = False
    read_only: bool = False
    create: bool = True
    packs: PackOptions | Literal[False] | None = None
    meters: Meters = UNMETERED
    limit: int | None = None
    quiet: Quiet | None = None
    limiter: Limiter | None = None

    @property
    def shown_url(self) -> str:
        """The URL, fit for showing: without user information and query."""
        scheme, mark, rest = self.url.partition("://")
        place, slash, path = rest.partition("/")
        return self.url if not mark else f"{scheme}://{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}"

    @property
    def folder(self) -> str | None:
        """The directory that it lies in; None for one elsewhere."""
        scheme, mark, path = self.url.partition("://")
        if not mark:
            return None if "::" in self.url else self.url
        return path.removeprefix("localhost") if scheme.lower() == "file" else None

    def __repr__(self) -> str:
        return f"<registry {self.name}: {self.shown_url}>"

    def open_store(self, *, make: bool = False) -> Store:
        """Open the store; nothing is written unless `make` asks for a directory to be created.

        Where this thread is seen working (a daemon's are), what the store does counts as progress of that work.
        """
        options = dict(self.storage_options)
        store: Store = open_store(self.url, options, make=make, read_only=self.read_only and not make)
        moved = moving()
        if (limiter := self.limiter or _own_limiter(self.limit)) is not None:
            store = LimitedStore(store, limiter, moved)
        if moved is not None:
            store = PulsingStore(store, moved)
        return store if self.meters is UNMETERED else MeteredStore(store, self.meters, self.name)

    def packing(self, store: Store, folder: str) -> Packing | None:
        """How runs are packed there; packs wait in `folder` where the store has no place for them."""
        if self.packs is False:
            return None
        options = self.packs or (PackOptions(least=LEAST_LINKED) if store.capabilities.links else PackOptions())
        return Packing(options, lambda: SpoolStage(folder))


def _own_limiter(rate: int | None) -> Limiter | None:
    return None if rate is None else Limiter(SystemClock(), rate)


class Opener:
    """Opens registries in the name of one state folder."""

    def __init__(self, journal: Journal, clock: Clock, entropy: Entropy) -> None:
        """Remember in `journal` which registry was at which URL."""
        self._journal = journal
        self._clock = clock
        self._entropy = entropy

    def for_publishing(self, spec: RegistrySpec) -> OpenedRegistry:
        """Open for writing: probe the store, then find the registry, or make it if there never was one.

        `UnsafeStoreError` if the store fails the probe and the settings do not say that it has a single writer.
        `NoRegistryError` if another registry, or none, is where one was before: an unmounted disk is never filled,
        not even with a probe. `ConfigurationError` if the settings say that it is read-only.
        """
        expected = self._expected(spec)
        return self._open(spec, make=spec.create and expected is None, alone=spec.single_writer)

    def for_collecting(self, spec: RegistrySpec) -> OpenedRegistry:
        """Open for deleting: a registry that is there, in a store where writers cannot harm each other.

        `UnsafeStoreError` if the store fails the probe, also where the settings say that it has a single writer: the
        collector relies on everything that the probe tries. Otherwise as `for_publishing`; nothing is ever made.
        """
        return self._open(spec, make=False, alone=False)

    def _open(self, spec: RegistrySpec, *, make: bool, alone: bool) -> OpenedRegistry:
        """Open for writing; `alone` bears with a store where writers would harm each other."""
        if spec.read_only:
            msg = f"registry {spec.name!r} is read-only, as the settings say (read_only = true): nothing is written"
            raise ConfigurationError(msg)
        store = spec.open_store(make=make)
        try:
            record = self._find(store, self._expected(spec), make=make)
            self._check_probe(spec, store, record, alone=alone)
            if record is None:
                record = create_registry(store, self._clock, self._entropy)
        except BaseException:
            store.close()
            raise
        self._journal.facts.set_fact(_url_fact(spec), record.registry_id)
        return OpenedRegistry(
            store,
            record.registry_id,
            self._journal.hints,
            self._clock,
            self._entropy,
            self._journal.state_id,
            packing=spec.packing(store, self._journal.folder),
        )

    def make(self, spec: RegistrySpec) -> str:
        """Create the registry, or find it; return its id, which is remembered. Errors as for `for_publishing`."""
        store = spec.open_store(make=True)
        try:
            expected = self._expected(spec)
            record = self._find(store, expected, make=expected is None)
            if record is None:
                report = probe(beneath(store), clock=self._clock, entropy=self._entropy)
                if problems := report.faults if spec.single_writer else report.problems:
                    raise UnsafeStoreError("; ".join(problems))
                record = create_registry(store, self._clock, self._entropy)
        finally:
            store.close()
        self._journal.facts.set_fact(_url_fact(spec), record.registry_id)
        return record.registry_id

    def examine(self, spec: RegistrySpec) -> ProbeReport:
        """Probe now; `NoRegistryError`, and nothing is written, where a registry was before and is not now."""
        store = spec.open_store()
        try:
            self._find(store, self._expected(spec), make=spec.create)
            return probe(beneath(store), clock=self._clock, entropy=self._entropy)
        finally:
            store.close()

    def probe(self, spec: RegistrySpec, store: Store) -> ProbeReport:
        """Probe now, whatever is remembered, and remember the answer."""
        # What a probe asks for, mistakes on purpose included, says nothing of how the registry fares.
        report = probe(beneath(store), clock=self._clock, entropy=self._entropy)
        fact = {"at": self._clock.now().timestamp(), "version": __version__, "report": msgspec.to_builtins(report)}
        self._journal.facts.set_fact(_probe_fact(spec), fact)
        return report

    def forget(self, spec: RegistrySpec) -> None:
        """Forget which registry was at the URL: for an operator who knows that it was replaced on purpose."""
        self._journal.facts.set_fact(_url_fact(spec), None)
        self._journal.facts.set_fact(_probe_fact(spec), None)

    def _find(self, store: Store, expected: str | None, *, make: bool) -> RegistryRecord | None:
        """Return the registry's record, or None where one may be made. Writes nothing."""
        record = read_registry(store, self._clock, self._entropy)
        if record is None and expected is None and make:
            return None
        if record is None or expected not in {None, record.registry_id}:
            return require_registry(store, self._clock, self._entropy, expected)
        return record

    def _expected(self, spec: RegistrySpec) -> str | None:
        return expected_registry(self._journal, spec)

    def _check_probe(self, spec: RegistrySpec, store: Store, record: RegistryRecord | None, *, alone: bool) -> None:
        report = None if record is None else self._remembered(spec)
        report = report or self.probe(spec, store)
        for warning in report.warnings:
            _log.warning("%s: %s", spec.name, warning)
        problems = report.faults if alone else report.problems
        if problems:
            single = spec.single_writer and not alone and not report.faults
            what = "has a single writer, so its collector is off" if single else "was not opened"
            msg = f"registry {spec.name!r} {what}: " + "; ".join(problems)
            raise UnsafeStoreError(msg)
        if report.races:
            _log.warning("%s: opened as single-writer, without a collector: %s", spec.name, "; ".join(report.races))

    def _remembered(self, spec: RegistrySpec) -> ProbeReport | None:
        """Return a probe's answer of the last day by this version, if it was a good one."""
        fact = self._journal.facts.fact(_probe_fact(spec))
        if not isinstance(fact, Mapping) or fact.get("version") != __version__:
            return None
        age = self._clock.now().timestamp() - float(fact.get("at", 0.0))
        if not 0 <= age < _PROBE_VALID_S:
            return None
        report = msgspec.convert(fact.get("report"), ready(ProbeReport))
        return report if report.safe else None


def expected_registry(journal: Journal, spec: RegistrySpec) -> str | None:
    """Return the id of the registry that was there when it was last opened for publishing, or None."""
    known = journal.facts.fact(_url_fact(spec))
    return known if isinstance(known, str) else None


def open_reader(spec: RegistrySpec, clock: Clock, entropy: Entropy) -> Reader:
    """Open for reading: nothing is written, nothing is probed. `NoRegistryError` if there is no registry."""
    store = spec.open_store()
    try:
        require_registry(store, clock, entropy)
    except BaseException:
        store.close()
        raise
    return Reader(store, clock, entropy)


def find_spec(specs: Mapping[str, RegistrySpec], wanted: str | None) -> RegistrySpec:
    """Return the registry of that name, or of that URL, or with None the first one."""
    if wanted is None:
        if not specs:
            msg = "no registry is configured; name one with --registry URL, $SEALRUN_STORE or the settings"
            raise NoRegistryError(msg)
        return next(iter(specs.values()))
    if wanted in specs:
        return specs[wanted]
    if "/" in wanted or wanted.startswith("."):
        same = [spec for spec in specs.values() if spec.url == wanted]
        return same[0] if same else RegistrySpec(name=wanted, url=wanted)
    known = ", ".join(specs) or "none"
    msg = f"no registry {wanted!r} in the settings (they name: {known}); a URL or path works, too"
    raise NoRegistryError(msg)


def _url_fact(spec: RegistrySpec) -> str:
    return f"registry:{spec.name}:{_kept_url(spec)}"


def _probe_fact(spec: RegistrySpec) -> str:
    return f"probe:{spec.name}:{_kept_url(spec)}"


def _kept_url(spec: RegistrySpec) -> str:
    """The URL as it is remembered: one that holds a secret by what may be shown of it, and a digest of the whole."""
    if spec.shown_url == spec.url:
        return spec.url
    return f"{spec.shown_url}#{sha256(spec.url.encode())[:16]}"


def keep_aside(state: Path) -> None:
    """From now on keep what is too long for memory on the disk of the state folder, or where temporary files go."""

    def make() -> FileShelf:
        return FileShelf(str(state) if os.access(state, os.W_OK | os.X_OK) else None)

    use_shelves(make)
