"""Putting a verification together: on threads of this process, or on an engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.damage import VerifyReport, Window
from sealrun.domain.pointing import Target
from sealrun.services.access.reading import Reader
from sealrun.services.mending.portions import Depth, verify_portion
from sealrun.services.mending.verifying import Verifier
from sealrun.services.mending.verifying_apart import Engine, SpreadVerifier

Advance = Callable[[int], None]
_THREADS = 8
_IN_FLIGHT = 2


def verify(
    spec: RegistrySpec,
    reader: Reader,
    ref: str | Target | None,
    experiment: str | None,
    *,
    read_bytes: bool,
    window: Window,
    advance: Advance | None,
    engine: Executor | None,
) -> VerifyReport:
    """Verify one run, one experiment, or with neither everything in the registry of `spec`. The report is the same."""
    experiments = None if experiment is None else [experiment]
    depth = Depth(read_bytes, window)
    if engine is None and ref is not None:
        verifier = Verifier(reader, read_bytes=read_bytes, window=window, advance=advance)
        return verifier.run(_target(reader, ref))
    if engine is None:
        return _on_threads(reader, experiments, depth, advance)
    from sealrun.bootstrap.verbs.engine_tasks import verifying_engine  # noqa: PLC0415 - for bulk work only

    spread = SpreadVerifier(reader, verifying_engine(engine, spec, reader, depth), depth, advance)
    return spread.everything(experiments) if ref is None else spread.run(_target(reader, ref))


def _target(reader: Reader, ref: str | Target) -> Target:
    return ref if isinstance(ref, Target) else reader.resolve(ref)


def _on_threads(reader: Reader, experiments: list[str] | None, depth: Depth, advance: Advance | None) -> VerifyReport:
    """Near by as many threads as there are processors; far away as many as there may be requests."""
    near = reader.store.capabilities.links
    threads = (os.cpu_count() or 1) if near else min(reader.store.capabilities.parallel, _THREADS)
    call = partial(verify_portion, reader, depth, advance=advance)
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        return SpreadVerifier(reader, Engine(pool, call, _IN_FLIGHT * threads), depth).everything(experiments)
