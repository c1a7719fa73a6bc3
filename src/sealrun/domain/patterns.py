"""Which paths of a folder belong to the run: gitignore syntax, in three layers.

From the strongest: the settings' `exclude`, the run folder's own ``.sealignore``, the ``.sealignore`` of the watch
root. Inside each layer the last matching line decides and ``!`` takes back; a layer that says nothing leaves it to the
next. As in git, nothing below an excluded folder can be taken back.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from sealrun.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".sealignore"
OWN_FOLDER = ".sealrun"
"""Top folder of a run where markers live. It declares, so it is never content."""


class Patterns(msgspec.Struct, frozen=True, kw_only=True):
    """What a watch shows of a folder. `outer_prefix` is the run's path below the watch root, for `outer`'s anchors."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    outer: tuple[str, ...] = ()
    outer_prefix: str = ""

    @property
    def show_all(self) -> bool:
        """Whether nothing but the run's own folder for markers, at its top, is left out."""
        return not (self.include or self.exclude or self.inner or self.outer)

    def excludes(self, path: str, *, folder: bool) -> bool:
        """Tell whether `path` (relative to the run) is left out, with everything below it if it is a `folder`."""
        if path == OWN_FOLDER or path.startswith(OWN_FOLDER + "/"):
            return True
        shown = f"{path}/" if folder else path
        outer = f"{self.outer_prefix}/{shown}" if self.outer_prefix else shown
        for lines, name in ((self.exclude, shown), (self.inner, shown), (self.outer, outer)):
            verdict = _verdict(lines, name)
            if verdict is not None:
                return verdict
        return not folder and bool(self.include) and not _verdict(self.include, shown)


def matches(lines: tuple[str, ...], path: str) -> bool:
    """Tell whether the file at `path` matches the gitignore `lines`."""
    return _verdict(lines, path) is True


def check_patterns(lines: Iterable[str], where: str) -> None:
    """Raise `ConfigurationError` that names `where` (a file or a setting) for a line that is no gitignore pattern."""
    for line in lines:
        try:
            _compiled((line,))
        except ValueError as error:
            msg = f"{where}: {line!r} is not a pattern in gitignore syntax ({error})"
            raise ConfigurationError(msg) from error


def _verdict(lines: tuple[str, ...], path: str) -> bool | None:
    return _compiled(lines).check_file(path).include if lines else None


@functools.lru_cache(maxsize=256)
def _compiled(lines: tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 50 ms that `sealrun --help` does not need

    return GitIgnoreSpec.from_lines(lines)
