"""``[[derive]]``: rules as the settings name them, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sealrun.domain.curation.deriving import Rule, in_order
from sealrun.settings.checking import duration_of, name_of
from sealrun.settings.expanding import Surroundings
from sealrun.settings.resolved import DeriveSettings, RegistrySettings
from sealrun.settings.schema import DeriveTable

_RUNNER = ("{python}", "-m", "sealrun.derivers")
_PLACES = ("{inputs}", "{output}", "{mode}")


def resolve_rules(
    tables: Sequence[DeriveTable], registries: Mapping[str, RegistrySettings], around: Surroundings
) -> tuple[DeriveSettings, ...]:
    """Return the rules; names must differ, and none may be computed from itself. Experiments need not exist."""
    found = [_rule(table, registries, around) for table in tables]
    names = [each.rule.name for each in found]
    for each in found:
        setting = f"[[derive]] {each.rule.name}"
        if names.count(each.rule.name) > 1:
            raise around.wrong(setting, "two rules have this name; give one another")
        if each.rule.of is not None and each.rule.of not in names:
            raise around.wrong(f"{setting} of", f"there is no rule {each.rule.of!r} (there are: {', '.join(names)})")
        if each.rule.target == each.rule.experiment:
            raise around.wrong(f"{setting} to", "is the experiment of the inputs; outputs would become inputs")
    try:
        in_order([each.rule for each in found])
    except ValueError as error:
        raise around.wrong(f"[[derive]] {error} of", "leads back to itself") from error
    return tuple(found)


def _rule(table: DeriveTable, registries: Mapping[str, RegistrySettings], around: Surroundings) -> DeriveSettings:
    setting = f"[[derive]] {table.name}"
    name_of(table.name, "rule", "[[derive]] name", around)
    name_of(table.experiment, "experiment", f"{setting} experiment", around)
    if table.to is not None:
        name_of(table.to, "experiment", f"{setting} to", around)
    if bool(table.command) == (table.function is not None):
        raise around.wrong(setting, "say either command or function")
    if table.function is not None and not all(table.function.partition(":")):
        raise around.wrong(f"{setting} function", f"{table.function!r} is not MODULE:NAME")
    command = table.command or [*_RUNNER, str(table.function), *_PLACES]
    timeout = duration_of(table.timeout, f"{setting} timeout", around)
    if not timeout:
        raise around.wrong(f"{setting} timeout", "0 ends every command at once")
    interval = None if table.interval == "off" else duration_of(table.interval, f"{setting} interval", around)
    if interval is not None and interval < 1:
        raise around.wrong(f"{setting} interval", "is shorter than a second")
    return DeriveSettings(
        Rule(
            name=table.name,
            experiment=table.experiment,
            inputs=tuple(table.inputs),
            command=tuple(command),
            version=table.version,
            mode=table.mode,
            per=table.per,
            of=table.of,
            to=table.to or "",
            statuses=tuple(table.statuses),
            timeout_s=timeout,
        ),
        _registry(table, registries, setting, around),
        interval,
    )


def _registry(
    table: DeriveTable, registries: Mapping[str, RegistrySettings], setting: str, around: Surroundings
) -> str:
    writable = [name for name, registry in registries.items() if not registry.read_only]
    name = table.registry if table.registry is not None else next(iter(writable), None)
    if name is None or name not in writable:
        known = ", ".join(writable) or "none"
        raise around.wrong(
            f"{setting} registry", f"there is no writable [registry.{name or 'NAME'}] (there are: {known})"
        )
    return name
