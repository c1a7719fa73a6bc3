"""The actions of `sealrun.web.actions` as the API's document describes them; a test compares the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sealrun.web.parameters import Parameter

_REASON = {"reason": "Why, for whoever asks later."}
_FOR = {"for": "How long, such as `2h`; without it until it is resumed."}


class Did(msgspec.Struct, frozen=True):
    """What was done."""

    did: str


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One action; `fields` are those of its JSON object, all of them text."""

    name: str
    path: str
    summary: str
    parameters: Sequence[Parameter]
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)
    required: tuple[str, ...] = ()


def _named(name: str, text: str) -> Parameter:
    return Parameter(name=name, place="path", kind="name", required=True, help=text)


_OF_REGISTRY = (_named("name", "Name of a registry in the settings."),)
_OF_WATCH = (_named("name", "Name of a watch in the settings."),)
_IN_REGISTRY = (_named("registry", "Name of a registry in the settings."), _named("experiment", "An experiment."))
_OF_RUN = (*_IN_REGISTRY, _named("run", "Id of a run."))
_OF_POINTER = (*_IN_REGISTRY, _named("pointer", "Name of a pointer."))
_RUN = "/run/{registry}/{experiment}/{run}"

ACTIONS: tuple[Action, ...] = (
    Action(
        name="pause-registry",
        path="/pause/registry/{name}",
        summary="Begin no delivery to a registry; as `sealrun pause --registry`.",
        parameters=_OF_REGISTRY,
        fields=_REASON | _FOR,
    ),
    Action(
        name="resume-registry",
        path="/resume/registry/{name}",
        summary="Deliver to a registry again; as `sealrun resume --registry`.",
        parameters=_OF_REGISTRY,
    ),
    Action(
        name="pause-watch",
        path="/pause/watch/{name}",
        summary="Seal nothing of a watch; as `sealrun pause --watch`.",
        parameters=_OF_WATCH,
        fields=_REASON | _FOR,
    ),
    Action(
        name="resume-watch",
        path="/resume/watch/{name}",
        summary="Seal what a watch finds again; as `sealrun resume --watch`.",
        parameters=_OF_WATCH,
    ),
    Action(
        name="retry-registry",
        path="/retry/registry/{name}",
        summary="Try at once what waits for a registry or is parked.",
        parameters=_OF_REGISTRY,
    ),
    Action(
        name="rescan-watch",
        path="/rescan/watch/{name}",
        summary="Look at every candidate of a watch now.",
        parameters=_OF_WATCH,
    ),
    Action(
        name="promote-run",
        path=f"/promote{_RUN}",
        summary="Point a pointer at a run; as `sealrun promote`.",
        parameters=_OF_RUN,
        fields={"pointer": "Name of the pointer."} | _REASON,
        required=("pointer",),
    ),
    Action(
        name="rollback-pointer",
        path="/rollback/pointer/{registry}/{experiment}/{pointer}",
        summary="Point a pointer at what it pointed at before; as `sealrun pointer rollback`.",
        parameters=_OF_POINTER,
        fields={"to": "Number of the generation to go back to; without it the one before."} | _REASON,
    ),
    Action(
        name="pin-run",
        path=f"/pin{_RUN}",
        summary="Keep a run from being retired; as `sealrun pin`.",
        parameters=_OF_RUN,
        fields=_REASON | {"expires": "Until when: a date (UTC)."},
    ),
    Action(
        name="unpin-run",
        path=f"/unpin{_RUN}",
        summary="Lift a run's pins; as `sealrun unpin`.",
        parameters=_OF_RUN,
        fields=_REASON,
    ),
    Action(
        name="undo-run",
        path=f"/undo{_RUN}",
        summary="Bring a retired run back, while its bytes are there; as `sealrun undo`.",
        parameters=_OF_RUN,
    ),
)
