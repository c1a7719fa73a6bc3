"""Line magics for notebooks that hold no functions: ``%load_ext sealrun``, then ``%publish`` and others.

::

    %publish {path} --section 2.3 --tag profile
    path = %resolve numeric_profile.csv --search-dir reports --recursive
    %latest_manifest

IPython replaces ``{name}`` and ``$name`` by variables before a magic sees its line; a path with spaces is written
``"{path}"``. What a magic returns can be assigned.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from sealrun.domain.errors import UsageError

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


class Shell(Protocol):
    """What of an IPython shell is used here."""

    def register_magic_function(self, func: Callable[[str], Any], magic_kind: str, magic_name: str) -> None:
        """Make `func` a magic."""
        ...

    @property
    def magics_manager(self) -> Any:  # noqa: ANN401 - IPython's own
        """Where the magics are kept."""
        ...


def load_ipython_extension(ipython: Shell) -> None:
    """Register the line magics ``%publish``, ``%resolve`` and ``%latest_manifest``. Harmless twice."""
    for name, magic in _MAGICS.items():
        ipython.register_magic_function(magic, "line", name)


def unload_ipython_extension(ipython: Shell) -> None:
    """Take the magics away again."""
    for name in _MAGICS:
        ipython.magics_manager.magics["line"].pop(name, None)


def publish_magic(line: str) -> Any:  # noqa: ANN401 - what `sealrun.publish` returns
    """Publish a file under a name: %publish PATH [--name NAME] [--section S] [--tag T]... [--no-overwrite] ..."""
    from sealrun.api.artifacts import publish  # noqa: PLC0415 - loading the extension stays cheap

    parser = _Parser("publish", "Seal a file and publish it under a name, now.")
    parser.add_argument("path")
    parser.add_argument("--name", help="name to publish it under (default: its own)")
    parser.add_argument("--section", help="which part of the work made it")
    parser.add_argument("--tag", action="append", default=[], dest="tags", help="may be given again")
    parser.add_argument("--no-overwrite", action="store_false", dest="overwrite", help="refuse if the name is taken")
    parser.add_argument("--also-copy-to", action="append", default=[], metavar="FOLDER", help="may be given again")
    parser.add_argument("--experiment")
    parser.add_argument("--registry")
    parser.add_argument("--config")
    given = vars(parser.parse_line(line))
    return publish(given.pop("path"), **given)


def resolve_magic(line: str) -> Any:  # noqa: ANN401 - a path, or None
    """Find an artifact: %resolve NAME [--section S] [--search-dir FOLDER]... [--recursive] [--required] ..."""
    from sealrun.api.artifacts import resolve  # noqa: PLC0415 - as above

    parser = _Parser("resolve", "Return the path of an artifact, or None.")
    parser.add_argument("name")
    parser.add_argument("--section", help="only what this section published")
    parser.add_argument("--search-dir", action="append", default=[], dest="search_dirs", metavar="FOLDER")
    parser.add_argument("--no-latest", action="store_false", dest="prefer_latest", help="look in the folders only")
    parser.add_argument("--recursive", action="store_true", help="look below the folders, too")
    parser.add_argument("--required", action="store_true", help="fail if there is none")
    parser.add_argument("--registry")
    parser.add_argument("--config")
    given = vars(parser.parse_line(line))
    return resolve(given.pop("name"), **given)


def latest_manifest_magic(line: str) -> Any:  # noqa: ANN401 - rows, or a data frame
    """Show what stands under each name: %latest_manifest [--frame pandas|polars|none]; by default what is installed."""
    from sealrun.api.artifacts import latest_manifest  # noqa: PLC0415 - as above

    parser = _Parser("latest_manifest", "Return what stands under each published name.")
    parser.add_argument("--frame", choices=("pandas", "polars", "none"), help="default: pandas or Polars if installed")
    parser.add_argument("--registry")
    parser.add_argument("--config")
    given = parser.parse_line(line)
    frame: Any = given.frame or _installed_frame()
    return latest_manifest(None if frame == "none" else frame, registry=given.registry, config=given.config)


_MAGICS: dict[str, Callable[[str], Any]] = {
    "publish": publish_magic,
    "resolve": resolve_magic,
    "latest_manifest": latest_manifest_magic,
}


class _Parser(argparse.ArgumentParser):
    """Reads the rest of a magic's line. What is wrong is raised, since a notebook must not exit."""

    def __init__(self, name: str, says: str) -> None:
        super().__init__(prog=f"%{name}", description=says, add_help=False, allow_abbrev=False)

    def parse_line(self, line: str) -> argparse.Namespace:
        """Split a line as a shell does, and read it."""
        try:
            words: Sequence[str] = shlex.split(line)
        except ValueError as error:
            msg = f'{self.prog} {line}: {error}; write a path with spaces or quotes as "{{path}}"'
            raise UsageError(msg) from error
        return self.parse_args(words)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, with how it is meant."""
        msg = f"{message}\n{self.format_usage().strip()}"
        raise UsageError(msg)


def _installed_frame() -> str:
    """Return what makes a data frame here."""
    from importlib.util import find_spec  # noqa: PLC0415 - as above

    return next((name for name in ("pandas", "polars") if find_spec(name) is not None), "none")
