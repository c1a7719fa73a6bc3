"""Which paths of a folder belong to the run: gitignore syntax, in three layers.

From the strongest: the settings' `exclude`, the run folder's own ``.sealignore``, the ``.sealignore`` of the watch
root. Inside each layer the last matching line decides and ``!`` takes back; a layer that says nothing leaves it to the
next. As in git, nothing below an excluded folder can be taken back.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from sealrun.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".sealignore"
OWN_FOLDER = ".sealrun"
"""Top folder of a run where markers live. It declares, so it is never content."""
_STAR, _FOLDERS, _ANYWHERE = "[^/]*", "(?:/.+)?", "(?:.+/)?"
"""What pathspec makes of ``*``, of ``**`` between folders, and of a pattern that is not bound to the top."""
_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
"""An escaped character, or a class of characters: no slash in it divides folders."""


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
        except (ValueError, re.error, OverflowError, RecursionError) as error:
            msg = f"{where}: {line!r} is not a pattern in gitignore syntax ({error})"
            raise ConfigurationError(msg) from error


def _verdict(lines: tuple[str, ...], path: str) -> bool | None:
    return _compiled(lines).check_file(path).include if lines else None


@functools.lru_cache(maxsize=256)
def _compiled(lines: tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 50 ms that `sealrun --help` does not need

    return GitIgnoreSpec.from_lines(lines, _kind())


@functools.cache
def _kind() -> Any:  # noqa: ANN401 - pathspec's classes differ from version to version
    """The library's own kind of pattern, made to match in a time that does not grow with the power of its stars."""
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - see `_compiled`

    usual: Any = type(GitIgnoreSpec.from_lines(("x",)).patterns[0])

    class Linear(usual):  # type: ignore[misc] # see above
        @classmethod
        def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:
            """Translate as the library does, then forbid looking back."""
            regex, include = super().pattern_to_regex(pattern)
            return (None if regex is None else without_looking_back(regex)), include

    return Linear


def without_looking_back(regex: str) -> str:
    """Return a regular expression of pathspec's that matches the same, and tries no combination of its stars.

    ``*a*a*a*a*b`` would otherwise be tried on ``aaaa…`` in as many ways as four of its letters can be chosen, and who
    writes a run chooses both. Of a star that another follows in the same component the first match is as good as any
    other, since the other takes whatever is left; the same holds for ``**`` and whole components.
    """
    before, *parts = regex.split(_FOLDERS)
    if not parts:
        return _stars(regex)
    begun, anchor, rest = before.partition(_ANYWHERE)
    first = f"{begun}(?>(?:.+?/)??{_stars(rest)}(?=/))" if anchor else _stars(before)
    *middle, last = parts
    return first + "".join(f"(?>(?:/.+?)??{_stars(part)}(?=/))" for part in middle) + _FOLDERS + _stars(last)


def _stars(regex: str) -> str:
    before, *parts = regex.split(_STAR)
    return before + "".join(
        f"(?>[^/]*?{part})" if at < len(parts) and "/" not in _CLASS.sub("", part) else _STAR + part
        for at, part in enumerate(parts, 1)
    )
