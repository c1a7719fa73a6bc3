"""Find the settings file, read it, and resolve what it says."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import msgspec

from sealrun.domain.errors import ConfigurationError
from sealrun.domain.patterns import check_patterns
from sealrun.domain.ready import ready
from sealrun.domain.registry.packing import LEAST_LINKED, PackOptions
from sealrun.domain.watches.watch import ReclaimRule, WatchSpec
from sealrun.settings.alarming import expectation_of, resolve_alarms
from sealrun.settings.checking import (
    check_choices,
    check_experiment,
    check_later,
    check_overlaps,
    check_watch_names,
    duration_of,
    name_of,
)
from sealrun.settings.deriving import resolve_rules
from sealrun.settings.expanding import Surroundings
from sealrun.settings.gates import resolve_gates
from sealrun.settings.http import resolve_http
from sealrun.settings.keeping import resolve_keeping
from sealrun.settings.limits import resolve_limit, resolve_quiet
from sealrun.settings.metrics import resolve_metrics
from sealrun.settings.mirrors import resolve_mirrors
from sealrun.settings.notifying import resolve_targets
from sealrun.settings.quantities import parse_size
from sealrun.settings.resolved import RegistrySettings, Settings
from sealrun.settings.schema import RegistryTable, SettingsFile, WatchTable
from sealrun.settings.suggesting import type_problem, unknown_keys

FILE_NAME = "sealrun.toml"
_AT_LINE = re.compile(r"\(at line ([0-9]+)")
_SYSTEM = Path("/etc/sealrun") / FILE_NAME


def load_settings(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Settings:
    """Load the settings from `explicit`, ``$SEALRUN_CONFIG``, ``./sealrun.toml``, the user's or the system's folder.

    Where there is no file, ``$SEALRUN_STORE`` names the one registry. `ConfigurationError` names the file, the
    setting, the reason and what is expected.
    """
    file = find_file(explicit, environ, cwd)
    if file is None:
        return _from_environment(environ, cwd)
    surroundings = Surroundings(str(file), file.parent, environ)
    body = _read(file)
    raw = surroundings.expand(_parsed(file, body), "")
    _check_version(raw, surroundings)
    for problem in unknown_keys(SettingsFile, raw):
        raise ConfigurationError(f"{file}: {problem}")
    try:
        table = msgspec.convert(raw, ready(SettingsFile))
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{file}: {type_problem(SettingsFile, raw)}") from error
    return msgspec.structs.replace(_resolve(file, table, raw, surroundings), digest=hashlib.sha256(body).hexdigest())


def find_file(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the absolute path of the settings file that counts, or None. One that is named has to be there."""
    for named, how in ((explicit, "--config"), (environ.get("SEALRUN_CONFIG"), "$SEALRUN_CONFIG")):
        if named:
            path = cwd / named
            if not path.is_file():
                raise ConfigurationError(
                    f"{path}: no such settings file ({how} names it); write one with: sealrun init"
                )
            return path
    home = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else None)
    places = [cwd / FILE_NAME, *([Path(home) / "sealrun" / FILE_NAME] if home else []), _SYSTEM]
    return next((path for path in places if path.is_file()), None)


def state_folder(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return where the journal is by settings that may be wrong, as far as they can be read; None without a file.

    `ConfigurationError` if a file is named that is not there.
    """
    file = find_file(explicit, environ, cwd)
    if file is None:
        return None
    around = Surroundings(str(file), file.parent, environ)
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        named = around.expand(_state_in(lines), "state")
    except (OSError, ConfigurationError):
        named = None
    return _state(named if isinstance(named, str) else None, around, file.parent)


def _state_in(lines: Sequence[str]) -> object:
    """What ``state`` is set to before the first table, line by line: others may be no TOML."""
    for line in takewhile(lambda line: not line.lstrip().startswith("["), lines):
        with suppress(ValueError, RecursionError):
            found = tomllib.loads(line)
            if "state" in found:
                return found["state"]
    return None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from error


def _parsed(file: Path, body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: is not UTF-8 text") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, and endless nesting
        found = _AT_LINE.search(str(error))  # the parser tells the line in its text only
        line = found[1] if found else len(text.splitlines())
        raise ConfigurationError(f"{file}:{line}: not valid TOML: {error}") from error


def _check_version(raw: object, around: Surroundings) -> None:
    version = raw.get("version") if isinstance(raw, dict) else None
    if version is None:
        raise around.wrong("version", "is missing; write `version = 1` at the top")
    if version != 1 or isinstance(version, bool):
        raise around.wrong("version", f"is {version!r}, but this sealrun reads version 1")


def _from_environment(environ: Mapping[str, str], cwd: Path) -> Settings:
    url = environ.get("SEALRUN_STORE")
    surroundings = Surroundings("$SEALRUN_STORE", cwd, environ)
    registries = {"main": RegistrySettings(name="main", url=_url(url, surroundings))} if url else {}
    state = _state(None, surroundings, cwd)
    return Settings(file=None, state=state, registries=registries, watches=())


def _resolve(file: Path, table: SettingsFile, raw: object, around: Surroundings) -> Settings:
    registries = {name: _registry(name, registry, around) for name, registry in table.registry.items()}
    state = _state(table.state, around, file.parent)
    watches = tuple(_watch(watch, registries, around) for watch in table.watch)
    mirrors = resolve_mirrors(table.mirror, registries, state, around)
    check_watch_names(watches, around)
    check_overlaps(watches, registries, state, around, {mirror.name: mirror.path for mirror in mirrors})
    check_later(table, around)
    return Settings(
        file=file,
        state=state,
        engine=table.engine,
        registries=registries,
        watches=watches,
        mirrors=mirrors,
        keeping=resolve_keeping(table, around),
        targets=resolve_targets(table.notify, around),
        alarms=resolve_alarms(table.alarms, around),
        rules=resolve_rules(table.derive, registries, around),
        gates=resolve_gates(table.gate, around),
        http=resolve_http(table.http, around),
        metrics=resolve_metrics(table.metrics, around),
        written=raw if isinstance(raw, dict) else {},
    )


def _state(setting: str | None, around: Surroundings, folder: Path) -> Path:
    if setting is not None:
        return around.path(setting)
    named = around.environ.get("SEALRUN_HOME") or around.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return folder / named if named else folder / ".sealrun"


def _registry(name: str, table: RegistryTable, around: Surroundings) -> RegistrySettings:
    setting = f"[registry.{name}]"
    name_of(name, "registry", setting, around)
    if not table.url:
        raise around.wrong(f"{setting} url", "is empty")
    url = _url(table.url, around)
    options = around.secrets_in(dict(table.storage_options), f"{setting} storage_options")
    return RegistrySettings(
        name=name,
        url=url,
        storage_options=options if isinstance(options, dict) else {},
        single_writer=table.single_writer,
        read_only=table.read_only,
        create=table.create,
        packs=_packs(name, table, url, around),
        limit=resolve_limit(table, setting, around),
        quiet=resolve_quiet(table, setting, around),
    )


def _packs(name: str, table: RegistryTable, url: str, around: Surroundings) -> PackOptions | Literal[False] | None:
    """What is packed; None leaves it to the kind of store."""
    if isinstance(table.packs, bool):
        return None if table.packs else False
    least = table.packs.least or (PackOptions().least if "://" in url and not url.startswith("file:") else LEAST_LINKED)
    try:
        return PackOptions(below=parse_size(table.packs.below), size=parse_size(table.packs.size), least=least).check()
    except (ValueError, ConfigurationError) as error:
        raise around.wrong(f"[registry.{name}] packs", str(error)) from error


def _url(text: str, around: Surroundings) -> str:
    """Return a URL as it is, a path as an absolute one."""
    return text if "://" in text else str(around.path(text))


def _watch(table: WatchTable, registries: Mapping[str, RegistrySettings], around: Surroundings) -> WatchSpec:
    if not table.path:
        raise around.wrong("[[watch]]: path", "is empty")
    path = around.path(table.path)
    name = table.name if table.name is not None else path.name
    setting = f"[[watch]] {name!r}"
    name_of(name, "watch", setting, around)
    experiment = table.experiment or around.environ.get("SEALRUN_EXPERIMENT") or name
    check_experiment(experiment, table.glob, setting, around)
    if table.seal == "in-place" and table.unit == "file":
        raise around.wrong(f"{setting}: seal", '"in-place" needs unit = "folder": a file has no room for a seal')
    for patterns in ("include", "exclude", "require", "forbid"):
        check_patterns(tuple(getattr(table, patterns)), f"{around.where}: {setting}: {patterns}")
    check_choices(table, setting, around)
    return WatchSpec(
        name=name,
        path=str(path),
        experiment=experiment,
        registries=_targets(table, registries, setting, around),
        unit=table.unit,
        glob=table.glob,
        preset=table.preset,
        settle_s=duration_of(table.settle, f"{setting}: settle", around),
        markers=tuple(table.markers),
        require=tuple(table.require),
        forbid=tuple(table.forbid),
        include=tuple(table.include),
        exclude=tuple(table.exclude),
        on_failed=table.on_failed,
        stale_after_s=duration_of(table.stale_after, f"{setting}: stale_after", around),
        on_stale=table.on_stale,
        gone_after_s=duration_of(table.gone_after, f"{setting}: gone_after", around),
        seal=table.seal,
        names=dict(table.names),
        reclaim=_reclaim(table, registries, setting, around),
        expect=expectation_of(table, setting, around),
    )


def _reclaim(
    table: WatchTable, registries: Mapping[str, RegistrySettings], setting: str, around: Surroundings
) -> ReclaimRule | None:
    if table.reclaim is None:
        return None
    rule = ReclaimRule(
        after_s=duration_of(table.reclaim.after, f"{setting}: reclaim.after", around), copies=table.reclaim.copies
    )
    places = {registries[name].url.rstrip("/") for name in _targets(table, registries, setting, around)}
    if rule.copies > len(places):
        problem = f"{rule.copies} copies are asked for, but the watch publishes to {len(places)} different registries"
        raise around.wrong(f"{setting}: reclaim.copies", problem)
    return rule


def _targets(
    table: WatchTable, registries: Mapping[str, RegistrySettings], setting: str, around: Surroundings
) -> tuple[str, ...]:
    writable = tuple(name for name, registry in registries.items() if not registry.read_only)
    if table.registries is None:
        if not writable:
            raise around.wrong(setting, "there is no registry to publish to; add a [registry.NAME] with a url")
        return writable
    if not table.registries:
        raise around.wrong(f"{setting}: registries", "names none; leave the setting away for all of them")
    for name in table.registries:
        if name not in registries:
            known = ", ".join(registries) or "none"
            raise around.wrong(f"{setting}: registries", f"there is no [registry.{name}] (there are: {known})")
        if name not in writable:
            raise around.wrong(f"{setting}: registries", f"[registry.{name}] is read-only")
    return tuple(dict.fromkeys(table.registries))
