"""Where something is made before it is published: a scratch room, and what becomes of it when that fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sealrun.adapters.machine.scratch import ScratchRoom, scratch_room
from sealrun.bootstrap.products.at_hand import RegistryAtHand
from sealrun.domain.curation.building import BuildStep
from sealrun.recording.ending import reason_of
from sealrun.services.curation.building import BuildLog, stands

_LONGEST_REASON = 400


class Workshop(RegistryAtHand):
    """Base of what makes and publishes in one registry, once however many ask: by the log of a build."""

    def _room(self, kind: str) -> AbstractContextManager[ScratchRoom]:
        """Open a room of our own. Those of makers on this machine that died go, unless something there is queued."""
        scratch = Path(os.environ.get("SEALRUN_SCRATCH") or self._parts.state / "scratch").absolute()
        return scratch_room(scratch, kind, self._is_queued)

    def _is_queued(self, room: Path) -> bool:
        """Tell whether something in a dead builder's room is still to be delivered."""
        deliveries, real = self._parts.journal.deliveries, room.resolve()
        waiting = {each.sealed for each in deliveries.all() if each.state != "published"}
        return any(real in Path(deliveries.run(number).folder).parents for number in waiting)

    def _stands(self, step: BuildStep) -> bool:
        return stands(self._reader, step)

    @contextmanager
    def _giving_up(self, log: BuildLog, claim: BuildStep) -> Iterator[None]:
        """Have the log say so if the block fails, and why, without secrets: nobody waits for it then."""
        try:
            yield
        except BaseException as error:
            log.give_up(claim, error, (reason_of(error, os.environ) or type(error).__name__)[:_LONGEST_REASON])
            raise

    @contextmanager
    def _keeping(self, room: ScratchRoom, made: Path) -> Iterator[None]:
        """Keep what was made if the block, which publishes it, fails; the error tells where it is."""
        try:
            yield
        except BaseException as error:
            room.keep()
            error.add_note(f"what was built is kept in {made}; sealrun scan --once delivers what was queued")
            raise
