"""`sealrun service`: which files a unit needs here, and what becomes of those that are there."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sealrun.adapters.machine.systemd import (
    make_folder_for,
    packaged_unit,
    read_file,
    remove_file,
    require_systemd,
    run,
    unit_state,
    write_file,
)
from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.units import (
    OWNED,
    Condition,
    Places,
    UnitFile,
    condition_of,
    is_ours,
    places_text,
    stamped,
    unit_text,
)
from sealrun.settings import Settings, load_settings

UNIT = "sealrun.service"
SYSTEM_CONFIG = "/etc/sealrun/sealrun.toml"
USER = "sealrun"
_LOCAL = "file://"
_STAND_IN = "stand-in-for-a-secret"


class UnitExistsError(SealrunError):
    """A file is there that an installation did not write, or that somebody edited. Nothing was changed."""


class FilePlan(msgspec.Struct, frozen=True):
    """A file, and how what is there compares with it."""

    file: UnitFile
    condition: Condition


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an installation does, in order: folders for the service's user, files, commands. `notes` are for people."""

    user: bool
    files: tuple[FilePlan, ...]
    folders: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    then: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Layout(msgspec.Struct, frozen=True):
    """Where files go: below `root` (``""`` is this machine), for one user if `user`."""

    user: bool
    root: str = ""
    config_home: str = ""

    @property
    def units(self) -> str:
        """The folder of units."""
        return f"{self.config_home}/systemd/user" if self.user else f"{self.root}/etc/systemd/system"

    def paths(self) -> tuple[str, ...]:
        """Every file that an installation may write."""
        mine = (f"{self.units}/{UNIT}", f"{self.units}/{UNIT}.d/10-paths.conf")
        if self.user:
            return mine[:1]
        return (*mine, f"{self.root}/etc/sysusers.d/sealrun.conf", f"{self.root}/etc/tmpfiles.d/sealrun.conf")


def layout_of(*, user: bool, environ: Mapping[str, str]) -> Layout:
    """Return where files go on this machine."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".config")
    return Layout(user, "", home)


def program() -> tuple[str, ...]:
    """How this very installation of sealrun is started: its script, else its interpreter."""
    script = Path(sysconfig.get_path("scripts")) / "sealrun"
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "sealrun")


def plan_install(layout: Layout, config: Path, environ: Mapping[str, str], command: tuple[str, ...]) -> Plan:
    """Say what an installation would do. Reads the settings, and the files that are there; changes nothing."""
    settings = _load(config, environ, "" if layout.user else OWNED[0])
    daemon = (*command, "daemon", "--config", str(config))
    if layout.user:
        unit = unit_text(packaged_unit("sealrun-user.service"), daemon)
        files = [UnitFile(layout.paths()[0], stamped(unit))]
        commands: list[tuple[str, ...]] = [("systemctl", "--user", "daemon-reload")]
        then = ["systemctl --user enable --now sealrun", "loginctl enable-linger  # to run without a login"]
        return Plan(user=True, files=_compared(files), commands=tuple(commands), then=tuple(then))
    places = places_of(settings, config, command)
    bodies = [
        unit_text(packaged_unit("sealrun.service"), daemon),
        places_text(places),
        packaged_unit("sysusers.conf"),
        _tmpfiles(config),
    ]
    files = [UnitFile(path, stamped(body) if body else "") for path, body in zip(layout.paths(), bodies, strict=True)]
    return Plan(
        user=False,
        files=_compared(files),
        folders=tuple(path for path in places.written if not _is_owned(path) and not Path(path).exists()),
        commands=(
            ("systemd-sysusers", files[2].path),
            ("systemd-tmpfiles", "--create", files[3].path),
            ("systemctl", "daemon-reload"),
        ),
        then=("systemctl enable --now sealrun", f"sudo -u {USER} {command[0]} doctor --config {config}"),
        notes=tuple(_notes(settings, config)),
    )


def install(plan: Plan, *, force: bool) -> list[str]:
    """Carry a plan out; return what was done. `UnitExistsError`, before anything is done, if a file is not ours.

    A repeat after any error goes on where it was.
    """
    require_systemd()
    strange = [each for each in plan.files if each.condition in {"edited", "foreign"} and each.file.body]
    if strange and not force:
        said = "; ".join(f"{each.file.path} {_WORDS[each.condition]}" for each in strange)
        raise UnitExistsError(f"{said}; nothing was changed. Move your lines into a drop-in, or overwrite: --force")
    done: list[str] = []
    for each in plan.files:
        if each.file.body and each.condition != "same":
            write_file(each.file.path, each.file.body)
            done.append(f"wrote {each.file.path}")
        elif not each.file.body and each.condition == "older":
            remove_file(each.file.path)
            done.append(f"removed {each.file.path}")
    for command in plan.commands[:-1]:
        run(command)
        done.append(f"ran {' '.join(command)}")
    done += [f"made {path}" for path in plan.folders if make_folder_for(path, USER)]
    run(plan.commands[-1])
    done.append(f"ran {' '.join(plan.commands[-1])}")
    return done


def uninstall(layout: Layout, *, force: bool, dry_run: bool) -> list[str]:
    """Stop the service and remove what an installation wrote; files that were edited stay, unless `force`.

    Runs, registries, state, settings and the service's user stay. Harmless twice.
    """
    if not dry_run:
        require_systemd()
    manager = ("systemctl", *(("--user",) if layout.user else ()))
    there = [(path, found) for path in layout.paths() if (found := read_file(path)) is not None]
    ours = [path for path, found in there if force or is_ours(found)]
    done = [f"left {path}: it was edited, or not written by an installation" for path, _ in there if path not in ours]
    if not ours:
        return [*done, "nothing to remove"]
    if layout.paths()[0] in ours:
        done.append(f"stopped and disabled {UNIT}")
        if not dry_run:
            run((*manager, "disable", "--now", UNIT))
    for path in ours:
        done.append(f"removed {path}")
        if not dry_run:
            remove_file(path)
    if not dry_run:
        run((*manager, "daemon-reload"))
    return done


def show(layout: Layout) -> dict[str, Any]:
    """Say which files are installed, and what the service manager knows of the unit."""
    conditions: dict[str, str] = {}
    for path in layout.paths():
        found = read_file(path)
        if found is not None:
            conditions[path] = "as installed" if is_ours(found) else "edited, or not written by an installation"
    return {"unit": UNIT, "files": conditions, "state": dict(unit_state(UNIT, user=layout.user))}


def places_of(settings: Settings, config: Path, command: tuple[str, ...]) -> Places:
    """Return what a service with these settings writes to, and what it reads."""
    written = [str(settings.state)]
    read = [
        str(config.parent),
        *(str(Path(each)) for each in {sys.prefix, sys.base_prefix, str(Path(command[0]).parent)}),
    ]
    for registry in settings.registries.values():
        if (folder := _folder(registry.url)) is not None:
            (read if registry.read_only else written).append(folder)
    written += [mirror.path for mirror in settings.mirrors]
    for watch in settings.watches:
        (written if watch.seal == "in-place" or watch.reclaim is not None else read).append(watch.path)
    if settings.metrics.textfile is not None:
        written.append(str(settings.metrics.textfile.parent))
    if settings.http is not None and settings.http.place.socket is not None:
        written.append(str(Path(settings.http.place.socket).parent))
    return Places(written=tuple(dict.fromkeys(written)), read=tuple(dict.fromkeys(sorted(read))))


_WORDS: Mapping[Condition, str] = {"edited": "was edited", "foreign": "was not written by an installation"}


def _compared(files: list[UnitFile]) -> tuple[FilePlan, ...]:
    return tuple(FilePlan(file, condition_of(read_file(file.path), file.body)) for file in files)


def _is_owned(path: str) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in OWNED)


def _folder(url: str) -> str | None:
    if url.startswith(_LOCAL):
        return "/" + url.removeprefix(_LOCAL).partition("/")[2]
    return url if url.startswith("/") else None


def _tmpfiles(config: Path) -> str:
    """Who may read the settings. Elsewhere than in their folder that is not ours to change."""
    text = packaged_unit("tmpfiles.conf")
    return (
        text
        if str(config) == SYSTEM_CONFIG
        else "".join(line for line in text.splitlines(keepends=True) if not line.startswith("z "))
    )


def _notes(settings: Settings, config: Path) -> Iterator[str]:
    if str(config) != SYSTEM_CONFIG:
        yield f"{config} has to be readable by the user {USER}, and by as few others as possible"
    if "state" not in settings.written:
        yield (
            f'the settings name no state folder: the service uses {OWNED[0]}; add `state = "{OWNED[0]}"`, so that '
            "`sealrun status` looks there, too"
        )
    for name in sorted(_secrets(settings.written, "credential")):
        yield (
            f"the settings ask for the credential {name!r}: give it to the unit with a drop-in (systemctl edit "
            f"sealrun): [Service] LoadCredential={name}:/etc/sealrun/credentials/{name}"
        )
    for name in sorted(_secrets(settings.written, "env")):
        yield (
            f"the settings ask for the environment variable {name}: the service has it from a drop-in with "
            "EnvironmentFile=; a credential is safer"
        )


def _secrets(value: object, kind: str) -> set[str]:
    """Names of the secrets of one kind that settings, as they are written, ask for."""
    if isinstance(value, dict):
        if value.keys() == {kind} and isinstance(value[kind], str):
            return {value[kind]}
        return {name for each in value.values() for name in _secrets(each, kind)}
    return {name for each in value for name in _secrets(each, kind)} if isinstance(value, list) else set()


def _load(config: Path, environ: Mapping[str, str], state: str) -> Settings:
    """Load settings as the service will, but for secrets that only the service gets: these have stand-ins."""
    import tomllib  # noqa: PLC0415 - only this command reads the file before it is loaded

    try:
        raw = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raw = {}  # loading it says what is wrong
    known = {name: value for name, value in environ.items() if name not in {"SEALRUN_HOME", "SEALRUN_CONFIG"}}
    variables = dict.fromkeys(_secrets(raw, "env"), _STAND_IN)
    with tempfile.TemporaryDirectory(prefix="sealrun-") as folder:
        for name in _secrets(raw, "credential"):
            if "/" not in name and name not in {"", ".", ".."}:
                (Path(folder) / name).write_text(_STAND_IN, encoding="utf-8")
        more = {"CREDENTIALS_DIRECTORY": folder, **({"STATE_DIRECTORY": state} if state else {})}
        return load_settings(config, {**variables, **known, **more}, config.parent)
