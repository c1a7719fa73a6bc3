"""How values are written on a page: names from outside made inert, sizes, rates, times and addresses. All pure."""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from sealrun.domain.address import is_name

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_KIBI = 1024
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
"""Categories of signs that cannot be seen, or that change how their neighbours are read."""
_NOT_PLAIN = re.compile(r"[^\x20-\x7e\n\t]")
_TONES: Mapping[str, str] = {
    **dict.fromkeys(("ok", "up", "success", "sealed", "published", "passed", "clean", "complete", "present"), "good"),
    **dict.fromkeys(
        (
            "degraded",
            "warning",
            "stale",
            "parked",
            "paused",
            "quiet hours",
            "partial",
            "interrupted",
            "full",
            "skipped",
        ),
        "warning",
    ),
    **dict.fromkeys(
        ("failing", "critical", "down", "refused", "rejected", "failed", "missing", "damaged", "absent"), "critical"
    ),
}
_SHAPES = {"good": "\u2713", "warning": "\u25b2", "critical": "\u25a0", "": "\u25cb"}
_MOST_TOLD = 20_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_C0, _DELETE, _PICTURES = 0x20, 0x7F, 0x2400


def shown(text: object, most: int = 0) -> Markup:
    """Return a text from outside as HTML that changes nothing around it.

    It is escaped and isolated from the direction of its neighbours, and signs that cannot be seen are replaced by ones
    that can. With `most` the middle of a longer text is left out.
    """
    said = str(text)
    if not said:
        return Markup('<span class="quiet">(empty)</span>')
    if most and len(said) > most:
        half = most // 2
        said = f"{said[:half]}…{said[-half:]}"
    body = escape(said) if said.isprintable() else Markup("").join(_signs(said))
    return Markup('<bdi class="name">{}</bdi>').format(body)


def told(text: object, most: int) -> Markup:
    """Return a sentence as `shown` does. Of a longer one its first words, and behind them, when asked, all of it."""
    said = str(text)
    if len(said) <= most:
        return shown(said)
    cut = said.rfind(" ", most // 2, most)
    beginning = said[: cut if cut > 0 else most].rstrip(" ,;:")
    return Markup('<details class="told"><summary>{} …</summary>{}</details>').format(
        shown(beginning), shown(said, _MOST_TOLD)
    )


def _signs(text: str) -> Iterator[Markup]:
    plain: list[str] = []
    for sign in text:
        if sign.isprintable():
            plain.append(sign)
            continue
        yield escape("".join(plain))
        plain.clear()
        yield Markup('<span class="sign">{}</span>').format(_picture(sign))
    yield escape("".join(plain))


def _picture(sign: str) -> str:
    number = ord(sign)
    if number < _C0:
        return chr(_PICTURES + number)
    return "\u2421" if number == _DELETE else f"[U+{number:04X}]"


def visible(text: object) -> str:
    """Return the same without markup: for titles and attributes."""
    return "".join(sign if sign.isprintable() else _picture(sign) for sign in str(text))


def lines(text: str) -> Markup:
    """Return the text of a file for ``<pre>``: lines, tabs and spaces are kept, every other hidden sign is shown."""
    return escape(_NOT_PLAIN.sub(lambda found: _in_text(found[0]), text.replace("\r\n", "\n")))


def _in_text(sign: str) -> str:
    return _picture(sign) if unicodedata.category(sign) in _HIDDEN else sign


def state(word: str) -> Markup:
    """Return a status so that it is read without its colour: a word, a shape, then a colour."""
    tone = _TONES.get(word, "")
    return Markup('<span class="state {}"><span aria-hidden="true">{}</span>{}</span>').format(
        tone, _SHAPES[tone], shown(word, 40)
    )


def size(number: float | None) -> str:
    """Write bytes as people read them."""
    if number is None:
        return "not known"
    for unit in _UNITS:
        if abs(number) < _KIBI or unit == _UNITS[-1]:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= _KIBI
    raise AssertionError


def rate(number: float | None) -> str:
    """Write bytes per second."""
    return "no rate yet" if number is None else f"{size(number)}/s"


def count(number: int | None, one: str = "", many: str = "") -> str:
    """Write a number in groups of three, and what is counted."""
    if number is None:
        return "not known"
    word = one if number == 1 else many or f"{one}s"
    return f"{number:,} {word}" if one else f"{number:,}"


def moment(text: str | None) -> datetime | None:
    """Read an RFC 3339 time; None for none, and for what is no time."""
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def absolute(text: str | None) -> str:
    """Write a time as ``2026-01-17 14:30:52 UTC``; what is no time is written as it is."""
    found = moment(text)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if found else visible(text or "never")


def relative(text: str, now: str) -> str:
    """Write how far a time is from `now`: ``3 min ago``, ``in 2 h``. `static/live.js` says it in the same words."""
    at, here = moment(text), moment(now)
    if at is None or here is None:
        return absolute(text)
    seconds = round((at - here).total_seconds())
    far = abs(seconds)
    if far < _MINUTE:
        said = f"{far} s"
    elif far < 2 * _HOUR:
        said = f"{far // _MINUTE} min"
    elif far < 2 * _DAY:
        said = f"{far // _HOUR} h"
    else:
        said = f"{far // _DAY} days"
    return f"in {said}" if seconds > 0 else f"{said} ago"


def ago(text: str | None, now: str, absent: str = "never") -> Markup:
    """Return a time as ``<time>``: relative to read, absolute to be sure."""
    if moment(text) is None:
        return escape(absent if text is None else visible(text))
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        text, absolute(text), relative(text or "", now)
    )


def at(text: str | None, absent: str = "never") -> Markup:
    """Return a time as ``<time>``, absolute."""
    if moment(text) is None:
        return escape(absent if text is None else visible(text))
    return Markup('<time datetime="{}">{}</time>').format(text, absolute(text))


def url(*parts: object, **query: object) -> str:
    """Return an address on this server: every part quoted whole, whatever is in it; a query of None is left out."""
    path = "".join(f"/{_quoted(part)}" for part in parts) or "/"
    asked = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked, quote_via=quote, errors='replace')}" if asked else path


def _quoted(part: object) -> str:
    said = quote(str(part), safe="", errors="replace")
    # A browser takes a segment of only dots away, even a quoted one: such a part is no name of anything here.
    return "%E2%80%A4" * len(said) if said and not said.strip(".") else said


def run_url(ref: str, registry: str) -> str | None:
    """Return where the page of ``EXPERIMENT/RUN_ID`` is; None for what is no such reference."""
    experiment, _, run_id = ref.partition("/")
    return url("runs", registry, experiment, run_id) if is_name(experiment) and is_name(run_id) else None


def quoted(text: str) -> str:
    """Return a word of a shell's command line that means `text`."""
    return shlex.quote(text)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested values as ``a.b.c`` and text, in their order."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", said(value)


def said(value: object) -> str:
    """Write one value of a record: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
