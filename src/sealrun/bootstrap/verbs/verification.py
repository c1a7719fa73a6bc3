"""Putting a verification together: on threads of this process, or on an engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from sealrun.bootstrap.allocating import return_freed_memory
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.seen_store import SeenStore
from sealrun.domain.address import ATTEMPTS, EXPERIMENTS, NAMES, experiment_prefix
from sealrun.domain.errors import NotFoundError
from sealrun.domain.registry.pointing import Target
from sealrun.domain.upkeep.damage import VerifyReport, Window
from sealrun.services.access.reading import Reader
from sealrun.services.mending.portions import Answer, Depth, Portion, verify_portion
from sealrun.services.mending.verifying import Verifier
from sealrun.services.mending.verifying_apart import Engine, SpreadVerifier
from sealrun.services.storage.overview import Overview, Recent, Records
from sealrun.services.storage.streaming import Spare
from sealrun.services.threads.fanning import fan_out

Advance = Callable[[int], None]
_THREADS = 8
_SMALL = 2048
_ATTEMPTS = 20_000
"""So many keys of attempts are listed for the sake of those that are retired."""
_IN_FLIGHT = 2
_SPARE_PIECES = 2
"""So many pieces of large objects wait in memory beside one for each thread."""


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
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:

        def everything(seen: Reader, afresh: Reader | None) -> VerifyReport:
            spare = Spare()
            spare.give(_SPARE_PIECES)

            def call(portion: Portion) -> Answer:
                answer = verify_portion(seen, depth, portion, advance, spare)
                if isinstance(answer.objects, list):  # records of very many files were read
                    return_freed_memory()
                return answer

            engine = Engine(pool, call, _IN_FLIGHT * threads)
            return SpreadVerifier(seen, engine, depth, afresh=afresh).everything(experiments)

        if near:
            return everything(reader, None)
        try:
            return everything(_listed_once(reader, experiments), reader)
        except NotFoundError:  # a record went after it was listed
            return everything(reader, None)


def _listed_once(reader: Reader, experiments: list[str] | None) -> Reader:
    """Return the reader of what few keys show that are listed here, so that nobody asks about each of them."""
    overview = Overview(reader.store, Records(reader.store, Recent(), _SMALL))
    few = [EXPERIMENTS, NAMES] if experiments is None else [experiment_prefix(name) for name in experiments]
    looks = [*(partial(overview.look, prefix) for prefix in few), partial(overview.look, ATTEMPTS, _ATTEMPTS)]
    fan_out(lambda look: look(), looks, reader.store.capabilities.parallel)
    return reader.of(SeenStore(reader.store, overview))
