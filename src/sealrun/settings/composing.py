"""A settings file to begin with: what was found, what is set and why, and examples that a ``#`` less puts to work.

Prose stands behind ``# ``, an example behind ``#`` alone: what is left when every such ``#`` is removed is valid, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

_COLUMN = 42
_HEAD = """\
# sealrun settings. Every setting: docs/reference/settings.md. After a change: sealrun config validate, then have
# the daemon reload: systemctl --user reload sealrun, without --user for a system service, or SIGHUP to the daemon.
# A line that begins with # and no space is an example: remove the # to use it.
version = 1
"""
_STATE = (
    "\n# The journal: which folder was sealed and what is queued. On a local disk; the service's unit uses the same.\n"
)
_REGISTRY = "\n# Where runs are published: a folder, s3://bucket/prefix, or any URL that fsspec knows.\n"
_AGAIN = "\n# Every run goes here as well; a registry that is down holds up no other.\n"
_HOURS = """\
#limit = "20 MB/s"                        # upload no faster
#quiet_hours = ["Mon-Fri 08:00-18:00"]    # no delivery begins then, by this machine's clock or that of `timezone`
"""
_WATCH = """
# Every folder that `path` and `glob` take is a run. It is sealed when it holds a _SUCCESS marker, or
# .sealrun/done.json, or when nothing has changed for the settle time and nobody has its files open for writing.
"""
_KEEPING = """
# Nothing is ever retired unless you say so here. See first what it would do: sealrun retire --all --dry-run
#[retention.default]
#keep_last = 20                           # a run stays if any rule keeps it, or a pointer, a published name or a pin
#keep_within = "30d"
#keep_tags = ["release"]

# When the bytes of retired runs are deleted; until `grace` is over, sealrun undo brings a run back.
#[gc]
#schedule = "30 3 * * *"                  # cron fields, UTC; "off": only by command
#grace = "3d"

# How much of what is stored is read again and compared, and when.
#[verify]
#schedule = "@weekly"
#subset = "5%"

# Who is told of what happens; try it with: sealrun notify --test
#[[notify]]
#on = ["alarm.*"]                         # what needs somebody; "run.published" and others, too
#url = "https://hooks.example/sealrun"    # or { env = "…" }, { file = "…" }, { credential = "…" }
"""
_PAGE = """
# The daemon's page, API and metrics. Only this machine can reach this address; any other needs a token beside it.
"""


class WatchLines(msgspec.Struct, frozen=True, kw_only=True):
    """A watch as it is written, and what to say above it. Defaults are left out, or written as examples."""

    name: str
    path: str
    experiment: str
    glob: str = "*"
    preset: str = "auto"
    settle: str | None = None
    exclude: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class RegistryLines(msgspec.Struct, frozen=True, kw_only=True):
    """A registry as it is written: a path or URL; `options` of its storage only where it is S3."""

    url: str
    options: Mapping[str, str] = {}


def compose(
    registries: Sequence[RegistryLines],
    watches: Sequence[WatchLines],
    notes: Sequence[str],
    listen: str,
    state: str | None = None,
) -> str:
    """Return settings for these registries and watches, with a page at `listen`, and the journal in `state`.

    Whatever the names hold, the text is valid TOML, and what is read back is what was given.
    """
    text = _HEAD + "".join(f"# Note: {_remark(note)}\n" for note in notes)
    text += _STATE + f"state = {quoted(state)}\n" if state is not None else ""
    for number, registry in enumerate(registries):
        text += _registry("main" if not number else f"registry{number + 1}", registry, first=not number)
    for number, watch in enumerate(watches):
        text += _watch(watch, first=not number)
    return f"{text}{_KEEPING}{_PAGE}[http]\nlisten = {quoted(listen)}\n"


def quoted(text: str) -> str:
    """Write a TOML string, with what `settings` expands escaped; TOML wants DEL escaped, which JSON does not."""
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False).replace("\x7f", "\\u007f")


def _registry(name: str, registry: RegistryLines, *, first: bool) -> str:
    text = f"{_REGISTRY if first else _AGAIN}[registry.{name}]\nurl = {quoted(registry.url)}\n"
    if not registry.url.startswith(("s3://", "s3a://")):
        return text
    options = ", ".join(f"{key} = {quoted(value)}" for key, value in registry.options.items())
    example = '#storage_options = { endpoint_url = "https://s3.example", profile = "sealrun" }'
    return f"{text}{f'storage_options = {{ {options} }}' if options else example}\n{_HOURS}"


def _watch(watch: WatchLines, *, first: bool) -> str:
    lines = [
        ("[[watch]]", ""),
        (f"name = {quoted(watch.name)}", ""),
        (f"path = {quoted(watch.path)}", ""),
    ]
    if watch.glob != "*":
        lines.append((f"glob = {quoted(watch.glob)}", "how deep below it the runs lie"))
    of_its_folder = watch.experiment == "{1}"
    why = "the name of the first folder below `path`" if of_its_folder else "what the runs are listed under"
    lines.append((f"experiment = {quoted(watch.experiment)}", why))
    if watch.preset != "auto":
        lines.append((f"preset = {quoted(watch.preset)}", "whose files tell when a run is over"))
    lines.append((f"settle = {quoted(watch.settle or '30s')}", "without a sign of its end: unchanged for so long"))
    lines.append(('#require = ["metrics.json"]', "wait until these are there"))
    excluded = ", ".join(map(quoted, watch.exclude))
    why = "gitignore syntax; .sealignore works, too"
    lines.append((f"exclude = [{excluded}]" if excluded else '#exclude = ["*.tmp", "core.*"]', why))
    lines.append(('#names = { "metrics.json" = "training-metrics.json" }', "also published under these names"))
    lines.append(('#reclaim = { after = "14d", copies = 1 }', "delete the source, once so many verified it"))
    above = "".join(f"# {_remark(remark)}\n" for remark in watch.remarks)
    return (_WATCH if first else "\n") + above + "".join(f"{_beside(line, why)}\n" for line, why in lines)


def _beside(line: str, why: str) -> str:
    return f"{line.ljust(_COLUMN - 2)}  # {why}" if why else line


def _remark(text: str) -> str:
    """Return `text` fit for a comment, whatever names it holds: one line, and no character that TOML forbids there."""
    return text if text.isprintable() else ascii(text)[1:-1]
