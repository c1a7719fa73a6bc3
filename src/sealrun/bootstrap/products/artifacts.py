"""Files that are published under a name and found by it, by people who have no runs in mind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from sealrun.adapters.run_folders.artifact_folders import (
    SearchDirs,
    copy_to,
    file_to_publish,
    find_in,
    folders_to_search,
    not_found_text,
)
from sealrun.bootstrap.products.at_hand import RegistryAtHand
from sealrun.bootstrap.products.local_copies import in_place
from sealrun.bootstrap.verbs.consuming import whoami
from sealrun.bootstrap.verbs.reports import Delivered
from sealrun.domain.address import Digest, parse_artifact_name
from sealrun.domain.curation.artifacts import (
    ARTIFACTS_EXPERIMENT,
    as_published_file,
    parse_section,
    plain_tags,
    section_of,
    tags_with_section,
)
from sealrun.domain.errors import NotFoundError, SealrunError
from sealrun.domain.reference import NameReference
from sealrun.domain.registry.pointing import Generation, PointerName
from sealrun.services.access.reading import Reader, RunView
from sealrun.services.index.pointers import Pointers
from sealrun.services.keeping.naming import Names, newest_of_section, standing_names


class PublishedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What `publish` returns. It is a path itself where `path` is one: the published bytes, for reading.

    `registries` says of each one whether the file is there under its name (None), or what is in the way for now: then
    it is queued. `ref` names the file for ever, whatever is published under the name later.
    """

    name: str
    section: str | None
    tags: tuple[str, ...]
    ref: str
    sha256: str
    size: int
    path: Path | None
    copies: tuple[Path, ...]
    registries: Mapping[str, str | None]

    def __fspath__(self) -> str:
        """Return the path; `TypeError` where no registry is a directory on this machine."""
        if self.path is None:
            msg = f"{self.name}: is in no directory on this machine; fetch it with resolve({self.name!r})"
            raise TypeError(msg)
        return str(self.path)


class ManifestRow(msgspec.Struct, frozen=True, kw_only=True):
    """What stands under one name. `path` is where it is in a directory registry on this machine, else None."""

    name: str
    section: str | None
    published_at_utc: str
    tags: tuple[str, ...]
    path: str | None
    ref: str
    sha256: str
    size_bytes: int


class Artifacts(RegistryAtHand):
    """The published names of one's registries: found in one, and published there, or without `registry` everywhere."""

    def publish(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        section: str | None = None,
        tags: Iterable[str] = (),
        overwrite: bool = True,
        also_copy_to: Iterable[str | os.PathLike[str]] = (),
        experiment: str | None = None,
    ) -> PublishedFile:
        """Publish a file under a name; see `sealrun.publish`."""
        source = file_to_publish(path)
        shown, marks = parse_artifact_name(name or source.name), tags_with_section(tags, section)
        producer = self._parts.producer
        producer.aim([] if self._registry is None else [self._spec.name])
        sealing = producer.seal(str(source), experiment or os.environ.get("SEALRUN_EXPERIMENT") or ARTIFACTS_EXPERIMENT)
        (entry,) = sealing.manifest.entries
        before = {target: self._before(target, shown, entry.sha256, overwrite=overwrite) for target in self._targets()}
        envelope = as_published_file(sealing.envelope, shown, marks, moves=overwrite)
        report = producer.publish_sealed(msgspec.structs.replace(sealing.run, run_json=envelope.encode()))
        told = {
            done.registry: self._settle(done, shown, entry.path, before[done.registry], overwrite=overwrite)
            for done in report.deliveries
        }
        errors = [error for error in told.values() if error is not None]
        if len(errors) == len(told):
            raise errors[0]
        there = next(registry for registry, error in told.items() if error is None)
        return PublishedFile(
            name=shown,
            section=section_of(marks),
            tags=plain_tags(marks),
            ref=f"{report.ref}:{entry.path}",
            sha256=entry.sha256,
            size=entry.size,
            path=self._path_in(there, f"{report.ref}:{entry.path}"),
            copies=tuple(copy_to(source, Path(folder), shown, entry.sha256) for folder in also_copy_to),
            registries={registry: None if error is None else str(error) for registry, error in told.items()},
        )

    def resolve(
        self,
        name: str,
        *,
        section: str | None = None,
        search_dirs: SearchDirs = (),
        prefer_latest: bool = True,
        recursive: bool = False,
        required: bool = False,
    ) -> Path | None:
        """Find an artifact's path; see `sealrun.resolve`."""
        parse_artifact_name(name)
        if section is not None:
            parse_section(section)
        if prefer_latest:
            view = self._published(name, section)
            if view is not None:
                return self._local.of(view, verify=False)
        folders = folders_to_search(search_dirs, section)
        found = find_in(folders, name, recursive=recursive)
        if found is None and required:
            where = self._reader.store.url if prefer_latest else "not asked (prefer_latest is false)"
            raise NotFoundError(not_found_text(name, section, where, folders, recursive=recursive))
        return found

    def latest_manifest(self) -> list[ManifestRow]:
        """What stands under each name, by name."""
        reader = self._reader
        return [_row(generation, view, in_place(reader, view)) for generation, view in self._standing()]

    def _standing(self) -> list[tuple[Generation, RunView]]:
        return standing_names(self._reader, self._pointers())

    def _published(self, name: str, section: str | None) -> RunView | None:
        """What stands under the name, or the newest that the section published under it; None if nothing does."""
        reader = self._reader
        if section is not None:
            return newest_of_section(reader, self._pointers(), name, section)
        generation = self._pointers().newest(PointerName.of_artifact(name))
        return None if generation is None else reader.load(reader.resolve_reference(NameReference(name)))

    def _pointers(self) -> Pointers:
        return Pointers(self._reader.store, self._clock, self._entropy, "reader")

    def _targets(self) -> list[str]:
        if self._registry is not None:
            return [self._spec.name]
        return [name for name, spec in self._parts.registries.items() if not spec.read_only]

    def _names(self, registry: str) -> Names:
        store = self._parts.producer.registry(registry).store
        return Names(store, self._clock, self._entropy, self._parts.journal.state_id, whoami())

    def _before(self, registry: str, name: str, content: Digest, *, overwrite: bool) -> int:
        """Say which generation of the name is the newest; refuse one that may not be overwritten.

        A registry that does not answer now gets the file later; that is no answer to whether a name is free.
        """
        try:
            names = self._names(registry)
            if not overwrite:
                names.refuse_other(name, content)
            newest = names.newest(name)
        except SealrunError:
            if not overwrite:
                raise
            return 0
        return 0 if newest is None else newest.generation

    def _settle(self, done: Delivered, name: str, path: str, before: int, *, overwrite: bool) -> SealrunError | None:
        """Let the name stand on what was just published; return what is in the way."""
        if done.published is None:
            return done.error or SealrunError(f"{done.registry}: was not delivered")
        try:
            if overwrite:
                self._names(done.registry).move(name, done.published, path, before)
            else:
                self._names(done.registry).claim(name, done.published, path)
        except SealrunError as error:
            return error
        return None

    def _path_in(self, registry: str, ref: str) -> Path | None:
        store = self._parts.producer.registry(registry).store
        reader = Reader(store, self._clock, self._entropy)
        return in_place(reader, reader.load(reader.resolve(ref)))


def _row(generation: Generation, view: RunView, path: Path | None) -> ManifestRow:
    file = view.path or view.manifest.entries[0].path
    entry = view.entry(file)
    return ManifestRow(
        name=generation.pointer,
        section=section_of(view.envelope.tags),
        published_at_utc=generation.moved_at,
        tags=plain_tags(view.envelope.tags),
        path=None if path is None else str(path),
        ref=f"{view.ref}:{file}",
        sha256=entry.sha256,
        size_bytes=entry.size,
    )
