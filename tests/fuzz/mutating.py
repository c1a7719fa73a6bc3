"""Broken and hostile versions of valid input: of its bytes, of its lines, and of the JSON that it may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

NASTY_BYTES = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # half a surrogate pair
    b"\r\n",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"../" * 40,
    b"/etc/passwd",
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"9" * 5_000,
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"a" * 70_000,
    b"\xe2\x80\xae",  # right to left from here
    b"\x1b[2J",
    b"<script>",
    b"# ROOT_SHA256 ",
    b"= [" * 3_000,
    b"- " * 3_000,
    b"&a [*a, *a]",
    b"!!python/object/apply:os.system",
    b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"(" * 500 + b"a+" * 50 + b")*" * 500,
    b"[[:alpha:]]**/" * 50,
)
_DEEP: Any = None
for _ in range(200):
    _DEEP = [_DEEP]
NASTY_VALUES: Sequence[Any] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    1e308,
    "",
    "\0",
    "\ud800",
    "..",
    "/",
    "a/../../b",
    "\n",
    "x" * 70_000,
    "20260117T150000Z-eca937c92024f10d",
    "9999-99-99T99:99:99Z",
    "0001-01-01T00:00:00+23:59",
    [],
    {},
    [[]],
    {"": {"": {}}},
    {"extra": 1, "format": "sealrun/1"},
    ["a"] * 1000,
    _DEEP,
)


def mutate(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of `seeds`, changed in a few places. The same `rng` makes the same."""
    body = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        body = rng.choice((_of_bytes, _of_bytes, _of_lines, _of_json, _of_json, _of_json))(rng, body, seeds)
    return body


def _of_bytes(rng: Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    start, end = sorted((rng.randint(0, len(body)), rng.randint(0, len(body))))
    other = rng.choice(seeds)
    return rng.choice(
        (
            lambda: body[:start],
            lambda: body[:start] + body[end:],
            lambda: body[:start] + rng.choice(NASTY_BYTES) + body[start:],
            lambda: body[:start] + rng.randbytes(rng.randint(1, 8)) + body[min(len(body), start + 8) :],
            lambda: body[:start] + body[start:end] * 3 + body[end:],
            lambda: body[:start] + other[rng.randint(0, len(other)) :],
        )
    )()


def _of_lines(rng: Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    lines = body.split(b"\n")
    at = rng.randrange(len(lines))
    what = rng.choice(("twice", "without", "swapped", "nasty", "theirs"))
    if what == "twice":
        lines.insert(at, lines[at])
    elif what == "without":
        del lines[at]
    elif what == "swapped":
        rng.shuffle(lines)
    elif what == "nasty":
        lines[at] = rng.choice(NASTY_BYTES)
    else:
        lines[at] = rng.choice(rng.choice(seeds).split(b"\n"))
    return b"\n".join(lines)


def _of_json(rng: Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change a value, or a key; as other bytes if it is no JSON."""
    try:
        value = json.loads(body)
        places = list(_places(value))
    except (ValueError, RecursionError):
        return _of_bytes(rng, body, seeds)
    if not places:
        return json.dumps(rng.choice(NASTY_VALUES)).encode()
    holder, key = rng.choice(places)
    if isinstance(holder, dict) and rng.random() < 0.15:
        holder[rng.choice(("", "\0", "__class__", "format", "extra", "x" * 5000))] = holder.pop(key)
    elif rng.random() < 0.15:
        del holder[key]
    else:
        _, donor = rng.choice([*((None, place) for place in NASTY_VALUES), *((None, h[k]) for h, k in places)])
        holder[key] = donor
    try:
        text = json.dumps(value, indent=rng.choice((None, 2)), sort_keys=rng.random() < 0.5)
    except (ValueError, RecursionError, TypeError):  # a value in itself, or another kind of key
        return _of_bytes(rng, body, seeds)
    if rng.random() < 0.1:
        text = text.replace("{", '{"format": "sealrun/1", "format": "sealrun/2", ', 1)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _places(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Every place that holds a value: what holds it, and under which key or number."""
    ahead = [value]
    while ahead:
        holder = ahead.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ():
            yield holder, key
            ahead.append(holder[key])
