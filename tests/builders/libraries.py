"""A registry that a test publishes to and reads from, as a user's processes would: settings, state folder and all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from tests.builders.folders import a_folder

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.products.at_hand import RegistryAtHand
from sealrun.bootstrap.registries import RegistrySpec

H = TypeVar("H", bound=RegistryAtHand)


class Library:
    """One registry, with everything around it in `room`."""

    def __init__(self, room: Path, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.room = room
        self.url = url
        self.storage_options = dict(storage_options or {})
        self._made = count()

    @property
    def options(self) -> dict[str, Any]:
        """What the file system has to be told, with a cache of the test's own."""
        named: dict[str, Any] = {"registry": self.url, "cache": str(self.room / "cache")}
        return {**named, "storage_options": self.storage_options} if self.storage_options else named

    def settings(self) -> Path:
        """Write settings that name the registry ``main``; return the file."""
        file = self.room / "sealrun.toml"
        lines = ["version = 1", "[registry.main]", f"url = {json.dumps(self.url)}"]
        if self.storage_options:
            lines.append("[registry.main.storage_options]")
            plain = {key: value for key, value in self.storage_options.items() if isinstance(value, str)}
            lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
        file.write_text("\n".join(lines) + "\n")
        return file

    def publish(
        self,
        files: Mapping[str, bytes | str] | Path,
        experiment: str = "train",
        names: Mapping[str, str] | None = None,
        **links: str,
    ) -> str:
        """Publish a folder, or files that make one; return the run's reference. Each is later than the ones before."""
        folder = (
            files if isinstance(files, Path) else a_folder(self.room / f"run-{next(self._made):04}", files, at=None)
        )
        for link, target in links.items():
            (folder / link).symlink_to(target)
        with self._parts() as parts:
            report = parts.producer.publish(str(folder), experiment, names=names)
        return report.ref

    def point(self, ref: str, pointer: str) -> None:
        """Move a pointer of the run's experiment to the run."""
        with self._parts() as parts:
            parts.mover().set(ref.partition("/")[0], pointer, ref, "a test", dry_run=False)

    def forget(self, ref: str) -> None:
        """Retire a run, and collect what only that needed, at once."""
        with self._parts() as parts:
            keeper = parts.keeper(collecting=True)
            keeper.retire(keeper.plan_runs([ref], "a test"))
            collector = keeper.collector(0.0, 1.0)
            keeper.collect(collector, keeper.plan_collection(collector))

    @contextmanager
    def at_hand(self, kind: type[H]) -> Iterator[H]:
        """Give what reads the registry from another state folder, as another user's process would."""
        spec = RegistrySpec(name="main", url=self.url, storage_options=self.storage_options)
        with kind(Parts(self.room / "reading", {"main": spec}, ()), cache=self.room / "cache") as opened:
            yield opened

    @contextmanager
    def _parts(self) -> Iterator[Parts]:
        spec = RegistrySpec(name="main", url=self.url, storage_options=self.storage_options)
        with Parts(self.room / "state", {"main": spec}, ()) as parts:
            yield parts
