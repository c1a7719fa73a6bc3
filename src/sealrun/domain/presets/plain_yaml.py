"""The plain part of YAML that programs write: block mappings and lists of scalars.

Enough for what PyYAML and OmegaConf dump. Tags, anchors, aliases, block scalars, complex keys and several documents are
refused, and the text with them, or, where parts are asked for, each value that needs one: nothing is constructed,
nothing grows beyond its text, nothing is guessed.
"""

from __future__ import annotations

import re

from sealrun.domain.runs.declarations import read_json

_KEY = re.compile(
    r"""('(?:[^']|''){0,200}'|"(?:[^"\\]|\\.){0,200}"
    |(?:[^ '"#&*!|>%@`{}\[\],?:-]|[-?:](?=[^ ]))(?:(?!:(?:[ ]|\Z)|[ ]\#).){0,200})[ ]{0,8}:(?:[ ]+|\Z)""",
    re.VERBOSE,
)
_SINGLE = re.compile(r"'((?:[^']|'')*)'(?: +#.*)?\Z", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"(?: +#.*)?\Z', re.DOTALL)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?\Z")
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_ESCAPED = dict(zip('0abtnvfre "/\\N_LP', '\0\a\b\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029', strict=True))
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BREAKS = re.compile("[\t\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What some take for the end of a line; programs write it escaped."""
_SPECIAL = tuple("&*!|>%@`,{}[]")
_ODD = ("!", "&", "*", "|", ">")
_MARKS = re.compile(r"(?:&\w{1,40}(?: +|\Z))?(?:!!python/tuple(?: +|\Z))?")
_MAX_DEPTH = 40
_MAX_LINES = 20_000
_MAX_SKIPPED = 20


class _NotPlainError(ValueError):
    """The text is YAML of another kind, or none."""


def read_yaml(body: bytes | None) -> object:
    """Read plain YAML, or return None."""
    if body is None:
        return None
    try:
        return _Reader(body.decode("utf-8")).document()
    except ValueError:
        return None


def read_yaml_parts(body: bytes | None) -> tuple[object, tuple[str, ...]]:
    """Read what of YAML is plain; the rest is left out, and the first keys of it are returned, too.

    A tuple of Python becomes a list, the mark of an anchor is passed over; an alias is left out like any tag.
    """
    if body is None:
        return None, ()
    try:
        reader = _Reader(body.decode("utf-8"), tolerant=True)
        return reader.document(), tuple(reader.skipped)
    except ValueError:
        return None, ()


class _Reader:
    """Goes down the lines once; `at` is the next one. `skipped` are keys of values that were left out."""

    def __init__(self, text: str, *, tolerant: bool = False) -> None:
        self._tolerant = tolerant
        self.skipped: list[str] = []
        self._keys: list[str] = []
        self._lines = [line.rstrip(" \r") for line in text.split("\n", _MAX_LINES)]
        self._at = 0
        if len(self._lines) > _MAX_LINES or _BREAKS.search(text):
            raise _NotPlainError
        if self._lines[0] == "---":
            self._at = 1

    def document(self) -> object:
        indent = self._next_indent()
        value = None if indent < 0 else self._block(indent, 0)
        if self._next_indent() >= 0:
            raise _NotPlainError
        return value

    def _next_indent(self) -> int:
        """Go to the next line that says something and return its indent; -1 at the end."""
        while self._at < len(self._lines):
            said = self._lines[self._at].lstrip(" ")
            if said and not said.startswith("#"):
                return len(self._lines[self._at]) - len(said)
            self._at += 1
        return -1

    def _block(self, indent: int, depth: int) -> object:
        if depth > _MAX_DEPTH:
            raise _NotPlainError
        line = self._lines[self._at][indent:]
        if _is_item(line):
            return self._sequence(indent, depth)
        if _KEY.match(line):
            return self._mapping(indent, depth)
        if not depth:
            raise _NotPlainError  # a document that is one scalar
        self._at += 1
        return self._scalar(line, indent - 1)

    def _sequence(self, indent: int, depth: int) -> list[object]:
        items: list[object] = []
        while self._next_indent() == indent and _is_item(self._lines[self._at][indent:]):
            line = self._lines[self._at]
            said = line[indent + 1 :].lstrip(" ")
            if self._tolerant and said.startswith(_ODD):
                plain = _MARKS.sub("", said, count=1)
                line, said = line[: len(line) - len(said)] + plain, plain
            if said and not said.startswith("#"):
                # What follows the dash is a block of its own, indented as far as it stands.
                deeper = len(line) - len(said)
                self._lines[self._at] = " " * deeper + said
                nested = _is_item(said) or _KEY.match(said) is not None
                items.append(self._block(deeper, depth + 1) if nested else self._item(said, indent))
            else:
                self._at += 1
                items.append(self._below(indent, depth))
        return items

    def _item(self, said: str, indent: int) -> object:
        self._at += 1
        return self._scalar(said, indent)

    def _mapping(self, indent: int, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        while self._next_indent() == indent:
            line = self._lines[self._at][indent:]
            match = _KEY.match(line)
            if match is None or _is_item(line):
                raise _NotPlainError
            key = str(_quoted([match[1]])) if match[1][0] in "'\"" else match[1].rstrip(" ")
            said = line[match.end() :]
            self._at += 1
            if self._tolerant and said.startswith(_ODD):
                said = _MARKS.sub("", said, count=1)
            level = len(self._keys)
            self._keys.append(key)
            try:
                found[key] = self._value(said, indent, depth)
            except _NotPlainError:
                if not self._tolerant:
                    raise
                self._skip(indent, ".".join(self._keys[: level + 1]))
            finally:
                del self._keys[level:]
        return found

    def _value(self, said: str, indent: int, depth: int) -> object:
        """Read what belongs to a key: `said` after it, or what stands below."""
        if said and not said.startswith("#"):
            return self._scalar(said, indent)
        if self._next_indent() == indent and _is_item(self._lines[self._at][indent:]):
            return self._sequence(indent, depth + 1)
        return self._below(indent, depth)

    def _skip(self, indent: int, key: str) -> None:
        """Pass over the rest of a value: what is indented deeper, and a list that stands below its key."""
        if len(self.skipped) < _MAX_SKIPPED:
            self.skipped.append(key)
        while (deeper := self._next_indent()) >= 0:
            if deeper < indent or (deeper == indent and not _is_item(self._lines[self._at][indent:])):
                return
            self._at += 1

    def _below(self, indent: int, depth: int) -> object:
        deeper = self._next_indent()
        return self._block(deeper, depth + 1) if deeper > indent else None

    def _scalar(self, first: str, indent: int) -> object:
        """Read a scalar that begins with `first`; it goes on in the lines that are indented more than `indent`."""
        parts = [first]
        if first[0] not in "'\"":
            end = self._at
            while end < len(self._lines):
                line = self._lines[end]
                end += 1
                if not line:
                    continue
                if not line.startswith(" " * (indent + 1)) or line.lstrip(" ").startswith("#"):
                    break
                parts += self._lines[self._at : end]
                self._at = end
            return _plain(parts)
        quotes = _quotes(first)
        while quotes % 2:
            if self._at >= len(self._lines):
                raise _NotPlainError
            parts.append(self._lines[self._at])
            self._at += 1
            quotes += _quotes(parts[-1], first[0])
        return _quoted(parts)


def _quotes(line: str, quote: str = "") -> int:
    """Count the quotes in a line: a quoted scalar ends with the line in which their number becomes even."""
    quote = quote or line[0]
    return (line if quote == "'" else _ESCAPE.sub("", line)).count(quote)


def _is_item(line: str) -> bool:
    return line == "-" or line.startswith("- ")


def _fold(parts: list[str]) -> str:
    """Join the lines of one scalar: a line break is a space, an empty line is a line break.

    A backslash at the end of a line takes the line break back, if the scalar is in double quotes.
    """
    double = parts[0].startswith('"')
    pieces, breaks, joined = [parts[0]], 0, False
    for part in parts[1:]:
        said = part.lstrip(" ")
        if double and not breaks and _ends_open(pieces[-1]):
            pieces[-1] = pieces[-1][:-1]
            joined = True
        if not said:
            breaks += 1
            continue
        pieces += ["\n" * breaks if breaks else "" if joined else " ", said]
        breaks, joined = 0, False
    return "".join(pieces)


def _ends_open(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _quoted(parts: list[str]) -> str:
    match = (_SINGLE if parts[0][0] == "'" else _DOUBLE).match(_fold(parts))
    if match is None:
        raise _NotPlainError
    return match[1].replace("''", "'") if parts[0][0] == "'" else _ESCAPE.sub(_unescape, match[1])


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        letter = chr(int(code[1:], 16))  # ValueError past the last code point
        return "\ufffd" if "\ud800" <= letter <= "\udfff" else letter
    if code not in _ESCAPED:
        raise _NotPlainError
    return _ESCAPED[code]


def _plain(parts: list[str]) -> object:
    text = _fold(parts).partition(" #")[0].rstrip(" ")
    if text.startswith(("[", "{")):
        value = read_json(text.encode())
        if value is None:
            raise _NotPlainError
        return value
    if text.startswith(_SPECIAL) or re.search(r":( |\Z)", text) or text.startswith(("? ", "--- ", "...")):
        raise _NotPlainError
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    return _finite(text) if _FLOAT.match(text) else text


def _finite(text: str) -> float | str:
    value = float(text)
    return value if abs(value) != float("inf") else text
