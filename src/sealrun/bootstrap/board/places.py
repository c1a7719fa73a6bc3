"""Where the bytes of a run are: in which of the settings' registries, loose or in packs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sealrun.bootstrap.board.registries import RegistryLook
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.errors import IntegrityError, NoRegistryError, NotFoundError, SealrunError
from sealrun.domain.oversight.board import RunPlace
from sealrun.ports import Journal
from sealrun.services.access.loading import RunFiles
from sealrun.services.delivery.availability import read_standing
from sealrun.services.oversight.run_details import counted
from sealrun.services.threads.fanning import fan_out

_WIDTH = 8


def places_of(
    look: Callable[[str], RegistryLook],
    registries: Mapping[str, RegistrySpec],
    journal: Journal,
    here: str,
    view: RunFiles,
) -> Sequence[RunPlace]:
    """Return what each registry says of a run; `here` it was opened already. One that is known to be down is not asked.

    ``present``, ``other content`` (the same name, another seal), ``absent``, ``damaged``, or how the registry is.
    """

    def ask(name: str) -> RunPlace:
        url = registries[name].shown_url
        if name == here:
            return _place(name, url, view, "present")
        standing = read_standing(journal.facts, name)
        if standing is not None and standing.state in {"down", "refused"}:
            return RunPlace(registry=name, url=url, attempt=None, objects=None, packed=None, state=standing.state)
        try:
            found = look(name).runs.view(view.target.experiment, view.target.run_id)
        except SealrunError as error:
            return RunPlace(registry=name, url=url, attempt=None, objects=None, packed=None, state=_state(error))
        same = found.target.root_sha256 == view.target.root_sha256
        return _place(name, url, found, "present" if same else "other content")

    return fan_out(ask, registries, _WIDTH)


def _state(error: SealrunError) -> str:
    if isinstance(error, NotFoundError) and not isinstance(error, NoRegistryError):
        return "absent"
    return "damaged" if isinstance(error, IntegrityError) else "unreachable"


def _place(registry: str, url: str, view: RunFiles, state: str) -> RunPlace:
    loose, packed = counted(view)
    return RunPlace(registry=registry, url=url, attempt=view.target.attempt, objects=loose, packed=packed, state=state)
