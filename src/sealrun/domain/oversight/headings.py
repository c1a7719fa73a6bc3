"""Headings of a Markdown page, and what stands below each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADING = re.compile(r"(#{1,6}) (.+)")
_FENCE = "```"


def slug(heading: str) -> str:
    """Return the anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def section(text: str, anchor: str) -> str | None:
    """Return the section with that anchor, with its heading and all below it; None if there is none."""
    rows = text.splitlines()
    found = list(_headings(rows))
    for number, (row, level, name) in enumerate(found):
        if name == anchor:
            end = next((each[0] for each in found[number + 1 :] if each[1] <= level), len(rows))
            return "\n".join(rows[row:end]).rstrip() + "\n"
    return None


def anchors(text: str) -> list[str]:
    """Return the anchors of all headings but the page's title, in order."""
    return [name for _, level, name in _headings(text.splitlines()) if level > 1]


def _headings(rows: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield each heading's row, level and anchor."""
    fenced = False
    for number, row in enumerate(rows):
        if row.startswith(_FENCE):
            fenced = not fenced
        elif not fenced and (found := _HEADING.match(row)):
            yield number, len(found[1]), slug(found[2])
