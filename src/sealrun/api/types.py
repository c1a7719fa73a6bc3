"""What a registry artifact is made from: pointers, resolved where they stand now."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.products.browsing import find_registry
from sealrun.bootstrap.registries import open_reader
from sealrun.domain.types import Dependency, parse_pointer_ref

__all__ = ["Dependency", "depends_on"]


def depends_on(
    pointer: str,
    *,
    registry: str | None = None,
    storage_options: Mapping[str, object] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Dependency:
    """Resolve a pointer, ``EXPERIMENT@POINTER``, that a registry artifact is made from; for `declare_artifact`.

    Read the run that `Dependency.run` names, not the pointer again: it may move meanwhile. `UsageError` for a path or a
    run, which would be hard-coded; `NotFoundError` if the pointer was never set. Registries are found as by
    `open_registry`.
    """
    parse_pointer_ref(pointer)
    reader = open_reader(find_registry(registry, storage_options, config), SystemClock(), SystemEntropy())
    try:
        target = reader.resolve(pointer)
    finally:
        reader.store.close()
    return Dependency(pointer=pointer, run=f"{target.experiment}/{target.run_id}", root_sha256=target.root_sha256)
