"""What can be done over HTTP: each the same as a command does, recorded as an event with ``by: http``.

Every action is a POST that needs the token (``Authorization: Bearer``), or a session with its CSRF token in the field
``csrf``. Below ``/actions`` fields come as a form, and the answer is a redirect (303) to the field ``next``, a path of
ours, else to ``/``. Below ``/api/v1/actions`` fields come as a JSON object, and the answer is ``{"did": "…"}``.
Otherwise the two are the same:

==============================================  ==================================  ===============================
path below ``/actions`` or ``/api/v1/actions``  fields, all of them text            the same as
==============================================  ==================================  ===============================
``pause/registry/{name}``                       ``reason``, ``for`` (``"2h"``)      ``sealrun pause --registry``
``resume/registry/{name}``                                                          ``sealrun resume --registry``
``pause/watch/{name}``                          ``reason``, ``for``                 ``sealrun pause --watch``
``resume/watch/{name}``                                                             ``sealrun resume --watch``
``retry/registry/{name}``                                                           delivers what waits or is parked
``rescan/watch/{name}``                                                             looks at everything now
``promote/run/{registry}/{experiment}/{run}``   ``pointer`` (required), ``reason``  ``sealrun promote``
``rollback/pointer/{registry}/{experiment}/{pointer}``  ``to``, ``reason``          ``sealrun pointer rollback``
``pin/run/{registry}/{experiment}/{run}``       ``reason``, ``expires`` (a date)    ``sealrun pin``
``unpin/run/{registry}/{experiment}/{run}``     ``reason``                          ``sealrun unpin``
``undo/run/{registry}/{experiment}/{run}``                                          ``sealrun undo``
==============================================  ==================================  ===============================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

from aiohttp import web

from sealrun.web.gate import fields, own_path
from sealrun.web.loop import off_loop

_PAGES, _API = "/actions", "/api/v1/actions"
_RUN = "run/{registry}/{experiment}/{run}"


class RunName(NamedTuple):
    """A run of a registry."""

    registry: str
    experiment: str
    run: str


class Acting(Protocol):
    """Does what is asked for, durably on return, and records it; returns what it did, as a sentence.

    Raises `SealrunError`s: `NotFoundError` for names that are none of the settings, `UsageError` for a field that
    cannot be right, and what the commands raise. Calls may take long: they never run on the event loop.
    """

    def pause(self, kind: Literal["registry", "watch"], name: str, given: Mapping[str, str]) -> str:
        """Pause for the time in ``for``, or until somebody resumes."""
        ...

    def resume(self, kind: Literal["registry", "watch"], name: str) -> str:
        """End a pause."""
        ...

    def retry(self, registry: str) -> str:
        """Deliver what waits, and what is parked, now."""
        ...

    def rescan(self, watch: str) -> str:
        """Look at everything in a watch now."""
        ...

    def promote(self, run: RunName, given: Mapping[str, str]) -> str:
        """Point the ``pointer`` of the run's experiment at it, if it passes what is required."""
        ...

    def roll_back(self, registry: str, experiment: str, pointer: str, given: Mapping[str, str]) -> str:
        """Point a pointer at generation ``to``, or at the one before."""
        ...

    def pin(self, run: RunName, given: Mapping[str, str]) -> str:
        """Keep a run from being retired, until ``expires``."""
        ...

    def unpin(self, run: RunName, given: Mapping[str, str]) -> str:
        """Lift a run's pins, but no hold."""
        ...

    def undo(self, run: RunName) -> str:
        """Bring a retired run back."""
        ...


_Do = Callable[[Acting, Mapping[str, str], Mapping[str, str]], str]
"""Takes who acts, what the path names, and the fields."""


def _run(named: Mapping[str, str]) -> RunName:
    return RunName(named["registry"], named["experiment"], named["run"])


ACTIONS: Mapping[str, _Do] = {
    "pause/registry/{name}": lambda acting, named, given: acting.pause("registry", named["name"], given),
    "resume/registry/{name}": lambda acting, named, _given: acting.resume("registry", named["name"]),
    "pause/watch/{name}": lambda acting, named, given: acting.pause("watch", named["name"], given),
    "resume/watch/{name}": lambda acting, named, _given: acting.resume("watch", named["name"]),
    "retry/registry/{name}": lambda acting, named, _given: acting.retry(named["name"]),
    "rescan/watch/{name}": lambda acting, named, _given: acting.rescan(named["name"]),
    f"promote/{_RUN}": lambda acting, named, given: acting.promote(_run(named), given),
    "rollback/pointer/{registry}/{experiment}/{pointer}": lambda acting, named, given: acting.roll_back(
        named["registry"], named["experiment"], named["pointer"], given
    ),
    f"pin/{_RUN}": lambda acting, named, given: acting.pin(_run(named), given),
    f"unpin/{_RUN}": lambda acting, named, given: acting.unpin(_run(named), given),
    f"undo/{_RUN}": lambda acting, named, _given: acting.undo(_run(named)),
}


def routes(acting: Acting) -> list[web.RouteDef]:
    """Every action, for forms and for programs. The gate has checked token, origin and form before."""

    def answering(do: _Do) -> tuple[Callable[[web.Request], object], Callable[[web.Request], object]]:
        async def did(request: web.Request) -> str:
            return await off_loop(request, do, acting, dict(request.match_info), fields(request))

        async def answer_form(request: web.Request) -> web.Response:
            await did(request)
            return web.Response(status=303, headers={"Location": own_path(fields(request).get("next"))})

        async def answer_program(request: web.Request) -> web.Response:
            return web.json_response({"did": await did(request)})

        return answer_form, answer_program

    found: list[web.RouteDef] = []
    for path, do in ACTIONS.items():
        form, program = answering(do)
        found.append(web.post(f"{_PAGES}/{path}", form))  # type: ignore[arg-type] # an answer, all the same
        found.append(web.post(f"{_API}/{path}", program))  # type: ignore[arg-type] # likewise
    return found
