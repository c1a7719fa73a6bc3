"""Files for a service manager, as text: what a unit has to say so that what the settings name can be reached.

Pure: paths are compared as text, nothing is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

import msgspec

HIDDEN = ("/home", "/root", "/run/user")
"""Folders that ``ProtectHome=yes`` hides from a service."""
PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - they are only compared with
"""Folders that ``PrivateTmp=yes`` gives a service to itself."""
OWNED = ("/var/lib/sealrun", "/run/sealrun")
"""Folders that the unit itself has (``StateDirectory=``, ``RuntimeDirectory=``)."""

_STAMP = re.compile(r"# Written by `sealrun service install`; sha256 of what follows: ([0-9a-f]{64})\n")
_PLAIN = re.compile(r"[\w@./:+,=-]+\Z")

Condition = Literal["absent", "same", "older", "edited", "foreign"]


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths that a service writes to, and those that it only reads."""

    written: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


class UnitFile(msgspec.Struct, frozen=True):
    """A file to be installed. `body` has its stamp."""

    path: str
    body: str


def command_line(words: Sequence[str]) -> str:
    """Spell a command as ``ExecStart=`` reads it: see systemd.service(5), "Command lines"."""
    return " ".join(_word(word) for word in words)


def unit_text(template: str, command: Sequence[str]) -> str:
    """Return a unit with another command in place of its own."""
    return re.sub(r"(?m)^ExecStart=.*$", lambda _: f"ExecStart={command_line(command)}", template, count=1)


def places_text(places: Places) -> str:
    """Return the drop-in that lets a service of the system reach `places`; empty if it reaches all of them anyway."""
    written = tuple(path for path in places.written if not _is_below(path, OWNED))
    hidden = [path for path in (*written, *places.read) if _is_below(path, HIDDEN)]
    lines: list[str] = []
    if hidden:
        lines.append("ProtectHome=tmpfs")
    if any(_is_below(path, PRIVATE) for path in (*written, *places.read)):
        lines.append("PrivateTmp=no")
    lines += [f"{'BindPaths' if path in hidden else 'ReadWritePaths'}={_path(path)}" for path in dict.fromkeys(written)]
    lines += [
        f"BindReadOnlyPaths={_path(path)}"
        for path in dict.fromkeys(places.read)
        if path in hidden and not any(_is_below(path, (above,)) for above in written)
    ]
    return "\n".join(["[Service]", *lines, ""]) if lines else ""


def stamped(body: str) -> str:
    """Return `body` with a first line that later tells whether somebody edited it."""
    return f"# Written by `sealrun service install`; sha256 of what follows: {_digest(body)}\n{body}"


def condition_of(found: str | None, wanted: str) -> Condition:
    """Compare what is there with what is wanted: ours and the same, ours and `older`, ours and edited, or foreign."""
    if found is None:
        return "absent"
    if found == wanted:
        return "same"
    stamp = _STAMP.match(found)
    if stamp is None:
        return "foreign"
    return "older" if _digest(found[stamp.end() :]) == stamp[1] else "edited"


def is_ours(found: str) -> bool:
    """Tell whether a file was written by an installation and not edited since."""
    return condition_of(found, "") == "older"


def _digest(body: str) -> str:
    return sha256(body.encode()).hexdigest()


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _word(word: str) -> str:
    if _PLAIN.match(word):
        return word
    escaped = _on_one_line(word).replace("%", "%%").replace("$", "$$")
    return '"' + escaped + '"'


def _path(path: str) -> str:
    """``-``: the service starts where it is missing, too. Separated by spaces, split at colons where two are bound."""
    escaped = _on_one_line(path).replace("%", "%%").replace(":", "\\:")
    return f"-{path}" if _PLAIN.match(path) and ":" not in path else f'"-{escaped}"'


def _on_one_line(text: str) -> str:
    """Escape what ends a quoted word, or a line: whoever names a folder must not write another setting of the unit."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
