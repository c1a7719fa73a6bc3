"""Line magics for notebooks that hold no functions: ``%load_ext sealrun``, then ``%publish`` and others.

::

    %publish {path} --section {section} --tag {tags}
    path = %resolve numeric_profile.csv --search-dir {folders} --recursive
    %latest_manifest

``{…}`` is any expression of the notebook, ``$name`` a variable, and ``{{``, ``}}`` and ``$$`` are the signs
themselves. A word that is one expression stands for its value, not for its text: a path may hold spaces, a list gives
an option several times, None is as if the option were not there, and ``--recursive={flag}`` switches on or off. A
variable that is not there is an error, never a name. What a magic returns can be assigned.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shlex
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from sealrun.domain.errors import UsageError

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

Variables = Mapping[str, Any]


class Shell(Protocol):
    """What of an IPython shell is used here."""

    user_ns: dict[str, Any]
    """The notebook's variables."""

    def register_magic_function(self, func: Callable[..., Any], magic_kind: str, magic_name: str) -> None:
        """Make `func` a magic."""
        ...

    @property
    def magics_manager(self) -> Any:  # noqa: ANN401 - IPython's own
        """Where the magics are kept."""
        ...


def load_ipython_extension(ipython: Shell) -> None:
    """Register the line magics ``%publish``, ``%resolve`` and ``%latest_manifest``. Harmless twice."""
    for name, magic in _MAGICS.items():
        ipython.register_magic_function(_as_ipython_calls_it(magic, ipython), "line", name)


def unload_ipython_extension(ipython: Shell) -> None:
    """Take the magics away again."""
    for name in _MAGICS:
        ipython.magics_manager.magics["line"].pop(name, None)


def publish_magic(line: str, variables: Variables) -> Any:  # noqa: ANN401 - what `sealrun.publish` returns
    """Publish a file under a name: %publish PATH [--name NAME] [--section S] [--tag T]... [--no-overwrite] ..."""
    from sealrun.api.artifacts import publish  # noqa: PLC0415 - loading the extension stays cheap

    parser = _Parser("publish", "Seal a file and publish it under a name, now.")
    parser.add_argument("path")
    parser.add_argument("--name", help="name to publish it under (default: its own)")
    parser.add_argument("--section", help="which part of the work made it")
    parser.add_argument("--tag", action="append", default=[], dest="tags", help="may be given again")
    parser.add_switch("overwrite", default=True, says="whether a name that is taken moves")
    parser.add_argument("--also-copy-to", action="append", default=[], metavar="FOLDER", help="may be given again")
    parser.add_argument("--experiment")
    parser.add_argument("--registry")
    parser.add_argument("--config")
    given = parser.parse_line(line, variables)
    return publish(given.pop("path"), **given)


def resolve_magic(line: str, variables: Variables) -> Any:  # noqa: ANN401 - a path, or None
    """Find an artifact: %resolve NAME [--section S] [--search-dir FOLDER]... [--recursive] [--required] ..."""
    from sealrun.api.artifacts import resolve  # noqa: PLC0415 - as above

    parser = _Parser("resolve", "Return the path of an artifact, or None.")
    parser.add_argument("name")
    parser.add_argument("--section", help="only what this section published")
    parser.add_argument("--search-dir", action="append", default=[], dest="search_dirs", metavar="FOLDER")
    parser.add_switch("latest", default=True, says="whether what is published comes first", to="prefer_latest")
    parser.add_switch("recursive", default=False, says="whether to look below the folders, too")
    parser.add_switch("required", default=False, says="whether it is an error if there is none")
    parser.add_argument("--registry")
    parser.add_argument("--config")
    given = parser.parse_line(line, variables)
    return resolve(given.pop("name"), **given)


def latest_manifest_magic(line: str, variables: Variables) -> Any:  # noqa: ANN401 - rows, or a data frame
    """Show what stands under each name: %latest_manifest [--frame pandas|polars|none]; by default what is installed."""
    from sealrun.api.artifacts import latest_manifest  # noqa: PLC0415 - as above

    parser = _Parser("latest_manifest", "Return what stands under each published name.")
    parser.add_argument("--frame", metavar="{pandas,polars,none}", help="default: pandas or Polars if installed")
    parser.add_argument("--registry")
    parser.add_argument("--config")
    given = parser.parse_line(line, variables)
    frame = given.pop("frame") or _installed_frame()
    if frame not in {"pandas", "polars", "none"}:
        parser.error(f"argument --frame: invalid choice: {frame!r}")
    known: Any = None if frame == "none" else frame
    return latest_manifest(known, **given)


_MAGICS: dict[str, Callable[[str, Variables], Any]] = {
    "publish": publish_magic,
    "resolve": resolve_magic,
    "latest_manifest": latest_manifest_magic,
}


def _as_ipython_calls_it(magic: Callable[[str, Variables], Any], ipython: Shell) -> Callable[..., Any]:
    """Return `magic` with the variables of where it is called; IPython is told to leave the line as it is."""

    @functools.wraps(magic)
    def call(line: str, local_ns: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - whatever the magic returns
        return magic(line, ChainMap(local_ns or {}, ipython.user_ns))

    # What IPython.core.magic's decorators set; importing that here would load IPython for type checkers and others.
    vars(call).update({"_ipython_magic_no_var_expand": True, "needs_local_scope": True})
    return call


class _Parser(argparse.ArgumentParser):
    """Reads the rest of a magic's line. What is wrong is raised, since a notebook must not exit."""

    def __init__(self, name: str, says: str) -> None:
        super().__init__(prog=f"%{name}", description=says, add_help=False, allow_abbrev=False)
        self._switches: set[str] = set()
        self._values = _Values({})

    def add_switch(self, name: str, *, default: bool, says: str, to: str | None = None) -> None:
        """Add ``--name`` and ``--no-name``; ``--name={value}`` and ``--name {value}`` are the one or the other."""
        self._switches.add(f"--{name}")
        action = argparse.BooleanOptionalAction
        self.add_argument(f"--{name}", action=action, default=default, help=says, dest=to or name)

    def parse_line(self, line: str, variables: Variables) -> dict[str, Any]:
        """Split a line as a shell does, and read it; return the options by their names."""
        self._values = _Values(variables)
        try:
            words = shlex.split(self._values.put_away(line))
        except ValueError as error:
            msg = f"{self.prog} {line}: {error}; write a path with quotes in it as {{path}}, a variable"
            raise UsageError(msg) from error
        given = vars(self.parse_args(self._switched(words)))
        many = {action.dest for action in self._actions if isinstance(action.default, list)}
        needed = {action.dest for action in self._actions if action.required}
        found = {name: self._values.several(word) if name in many else self._one(word) for name, word in given.items()}
        for name in sorted(needed):
            if found[name] is None:
                self.error(f"{name} is None: {self._values.shown(given[name])}")
        return found

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, with how it is meant."""
        msg = f"{self.prog}: {self._values.shown(message)}\n{self.format_usage().strip()}"
        raise UsageError(msg)

    def _one(self, word: object) -> object:
        if not isinstance(word, str):
            return word
        value = self._values.value(word)
        if is_several(value):
            self.error(f"one is needed here, and {self._values.shown(word)} is several")
        return value if value is None or isinstance(value, os.PathLike) else str(value)

    def _switched(self, words: Sequence[str]) -> list[str]:
        """Write ``--switch={value}`` as ``--switch`` or ``--no-switch``; with None, as nothing."""
        left: list[str] = []
        waiting = list(words)
        while waiting:
            word = waiting.pop(0)
            switch, equals, value = word.partition("=")
            if switch not in self._switches:
                left.append(word)
                continue
            if not equals and waiting and isinstance(self._values.value(waiting[0]), bool | None):
                equals, value = "=", waiting.pop(0)
            state = self._values.value(value) if equals else True
            if not isinstance(state, bool | None):
                self.error(f"{switch} is on or off: {self._values.shown(value)} is neither True nor False")
            if state is not None:
                left.append(switch if state else switch.replace("--", "--no-", 1))
        return left


class _Values:
    """The values of the expressions in a line. While the line is taken apart, marks stand in their places."""

    _MARK = re.compile("\x00([0-9]+)\x00")
    _NAME = re.compile(r"\$([A-Za-z_]\w*)")

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._found: list[tuple[str, Any]] = []

    def put_away(self, line: str) -> str:
        """Return the line with a mark for each expression. `UsageError` for a variable that is not there."""
        done, at = "", 0
        while at < len(line):
            named = self._NAME.match(line, at)
            if line.startswith(("{{", "}}", "$$"), at):
                done, at = done + line[at], at + 2
            elif line[at] == "{" or named:
                text = named[0] if named else self._expression(line[at:])
                value = self._evaluate(text, named[1] if named else text[1:-1].strip())
                done, at = f"{done}\x00{len(self._found)}\x00", at + len(text)
                self._found.append((text, value))
            else:
                done, at = done + line[at], at + 1
        return done

    def value(self, word: str) -> Any:  # noqa: ANN401 - a variable of the notebook
        """Return the value of a word that is one expression, else its text with the values' in it."""
        mark = self._MARK.fullmatch(word)
        return self._found[int(mark[1])][1] if mark else self._MARK.sub(lambda m: str(self._found[int(m[1])][1]), word)

    def several(self, words: Sequence[str]) -> Any:  # noqa: ANN401 - as above
        """Return the values of an option that may be given again: of a list each one, None left out."""
        values = [self.value(word) for word in words]
        if len(values) == 1 and isinstance(values[0], Mapping):
            return values[0]
        for word, value in zip(words, values, strict=True):
            if isinstance(value, Mapping):
                msg = f"{self.shown(word)} is a mapping, which has to be the only one given; write {{list(….values())}}"
                raise UsageError(msg)
        many = (value if is_several(value) else [value] for value in values)
        return [item for items in many for item in items if item is not None]

    def shown(self, text: str) -> str:
        """Return a text as it was written, with expressions for the marks."""
        return self._MARK.sub(lambda mark: self._found[int(mark[1])][0], text)

    @staticmethod
    def _expression(line: str) -> str:
        """Return the expression that the line begins with, in its braces: the shortest that Python can read."""
        for end in (match.start() for match in re.finditer("}", line)):
            try:
                compile(line[1:end].strip(), "<magic>", "eval")
            except SyntaxError:
                continue
            return line[: end + 1]
        msg = f"{line}: no expression of Python; write {{{{ for a brace"
        raise UsageError(msg)

    def _evaluate(self, text: str, expression: str) -> Any:  # noqa: ANN401 - as above
        try:
            return eval(expression, dict(self._variables))  # noqa: S307 - the notebook's own, as IPython would
        except NameError as error:
            msg = f"{text}: {error}; run the cell that sets it first, or write {{{{ or $$ for the sign itself"
            raise UsageError(msg) from error


def is_several(value: object) -> bool:
    """Whether a value is a list or the like: a text and a path are one each."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | os.PathLike)


def _installed_frame() -> str:
    """Return what makes a data frame here."""
    from importlib.util import find_spec  # noqa: PLC0415 - as above

    return next((name for name in ("pandas", "polars") if find_spec(name) is not None), "none")
