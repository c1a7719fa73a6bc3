"""JSON of what is too long to be there as a whole: made as it is written, list by list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from json.encoder import encode_basestring_ascii as _quoted

import msgspec

from sealrun.domain.pieces import Pieces

_TOGETHER = 64 << 10


class Many(msgspec.Struct, frozen=True):
    """A list in a JSON value whose items, which may hold such lists, are made anew each time they are gone through."""

    make: Callable[[], Iterable[object]]


def canonical_pieces(value: object) -> Pieces:
    """Return the bytes that `records.canonical_json` gives of `value`, in which each `Many` is a list; none is held."""
    return Pieces(lambda: _together(_parts(value, "\n")))


def line_pieces(value: object) -> Pieces:
    """Return `value` on one line, as commands print it, in which each `Many` is a list; no such list is held."""
    return Pieces(lambda: _together(_inline(value)))


def _inline(value: object) -> Iterator[str]:
    if isinstance(value, Many):
        between = "["
        for item in value.make():
            yield between
            yield from _inline(item)
            between = ", "
        yield "[]" if between == "[" else "]"
    elif isinstance(value, Mapping) and _holds_many(value):
        between = "{"
        for name in sorted(value):
            yield f"{between}{_quoted(name)}: "
            yield from _inline(value[name])
            between = ", "
        yield "}"
    else:
        yield json.dumps(msgspec.to_builtins(value), sort_keys=True)


def _parts(value: object, line: str) -> Iterator[str]:
    """Yield the text of `value`, of which each further line begins with `line`."""
    inner = line + "  "
    if isinstance(value, Many):
        between = "["
        for item in value.make():
            yield between + inner
            yield from _parts(item, inner)
            between = ","
        yield "[]" if between == "[" else line + "]"
    elif isinstance(value, Mapping) and _holds_many(value):
        between = "{"
        for name in sorted(value):
            yield f"{between}{inner}{_quoted(name)}: "
            yield from _parts(value[name], inner)
            between = ","
        yield line + "}"
    else:
        yield _text(value, line)


def _text(value: object, line: str) -> str:
    """Return that text at once: the standard library writes indented values slowly, and into one line quickly."""
    inner = line + "  "
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping) and value:
        named = (f"{inner}{_quoted(name)}: {_text(value[name], inner)}" for name in sorted(value))
        return "{" + ",".join(named) + line + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + ",".join(inner + _text(item, inner) for item in value) + line + "]"
    return json.dumps(value, allow_nan=False)


def _holds_many(value: Mapping[object, object]) -> bool:
    return any(isinstance(each, Many) or (isinstance(each, Mapping) and _holds_many(each)) for each in value.values())


def _together(parts: Iterable[str]) -> Iterator[bytes]:
    waiting, size = list[str](), 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _TOGETHER:
            yield "".join(waiting).encode("ascii")
            waiting, size = [], 0
    yield "".join((*waiting, "\n")).encode("ascii")
