"""``[gate.*]``: what a run has to pass before a pointer moves to it."""

from __future__ import annotations

from collections.abc import Mapping

from sealrun.domain.curation.gating import Gate, parse_requirements
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.registry.pointing import LATEST
from sealrun.settings.checking import name_of
from sealrun.settings.expanding import Surroundings
from sealrun.settings.schema import GateTable


def resolve_gates(tables: Mapping[str, GateTable], around: Surroundings) -> dict[str, Gate]:
    """Return the gates by ``POINTER`` or ``EXPERIMENT@POINTER``; `ConfigurationError` names the setting."""
    return {name: _gate(name, table, around) for name, table in tables.items()}


def _gate(name: str, table: GateTable, around: Surroundings) -> Gate:
    setting = f"[gate.{name}]"
    experiment, at, pointer = name.rpartition("@")
    if at:
        name_of(experiment, "experiment", setting, around)
    name_of(pointer, "pointer", setting, around)
    if pointer == LATEST:
        raise around.wrong(setting, "latest moves by itself, so nothing can be required of it; name another pointer")
    return Gate(require=parse_requirements(table.require), command=_command(table.command, setting, around))


def _command(given: str | list[str] | None, setting: str, around: Surroundings) -> tuple[str, ...]:
    if given is None:
        return ()
    import shlex  # noqa: PLC0415 - only where there is a gate

    try:
        words = tuple(shlex.split(given) if isinstance(given, str) else given)
    except ValueError as error:
        raise _broken(setting, str(error), around) from error
    if not words or not words[0]:
        raise _broken(setting, "is empty; leave the setting away", around)
    return words


def _broken(setting: str, problem: str, around: Surroundings) -> ConfigurationError:
    return around.wrong(f"{setting} command", problem)
