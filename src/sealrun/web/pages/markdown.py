"""The Markdown of our own documentation as HTML: headings, paragraphs, lists, tables, code, links within the page.

Pure. Every text is escaped. What it does not know it shows as it is written; a link to anywhere else is only its words,
since nothing but this daemon is there for certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from sealrun.domain.oversight.headings import slug

_HEADING = re.compile(r"(#{1,4}) (.+)")
_ITEM = re.compile(r"(?:[-*]|\d+\.) +(.*)")
_FENCE = "```"
_INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<strong>.+?)\*\*|\*(?P<emphasis>[^*\s][^*]*)\*|\[(?P<text>[^\]]+)\]\((?P<link>[^)\s]+)\)",
    re.DOTALL,
)


def as_html(text: str) -> Markup:
    """Return a page's text as HTML. A heading of level n is an ``<hn>`` with an anchor."""
    return Markup("\n").join(_blocks(text.splitlines()))


def _blocks(rows: Sequence[str]) -> Iterator[Markup]:
    at = 0
    while at < len(rows):
        row = rows[at]
        end = at + 1
        if not row.strip():
            pass
        elif row.startswith(_FENCE):
            while end < len(rows) and not rows[end].startswith(_FENCE):
                end += 1
            yield Markup('<pre class="text" tabindex="0">{}</pre>').format("\n".join(rows[at + 1 : end]))
            end += 1
        elif found := _HEADING.match(row):
            level, title = len(found[1]), found[2]
            yield Markup('<h{0} id="{1}">{2}</h{0}>').format(level, slug(title), inline(title))
        else:
            while end < len(rows) and rows[end].strip() and not rows[end].startswith((_FENCE, "#")):
                end += 1
            yield _block(rows[at:end])
        at = end


def _block(rows: Sequence[str]) -> Markup:
    if rows[0].startswith("|"):
        return _table(rows)
    if _ITEM.match(rows[0]):
        items: list[str] = []
        for row in rows:
            found = _ITEM.match(row)
            if found:
                items.append(found[1])
            else:
                items[-1] += f" {row.strip()}"
        kind = "ol" if rows[0][0].isdigit() else "ul"
        body = Markup("").join(Markup("<li>{}</li>").format(inline(item)) for item in items)
        return Markup("<{0}>{1}</{0}>").format(kind, body)
    return Markup("<p>{}</p>").format(inline(" ".join(row.strip() for row in rows)))


def _table(rows: Sequence[str]) -> Markup:
    head, *body = (
        [cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows if not set(row) <= set("|-: ")
    )
    heads = Markup("").join(Markup('<th scope="col">{}</th>').format(inline(cell)) for cell in head)
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup('<td class="long">{}</td>').format(inline(cell)) for cell in row)
        )
        for row in body
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="Table">'
        "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(heads, lines)


def inline(text: str) -> Markup:
    """Return the text of one paragraph, with what is marked in it."""
    parts, done = [], 0
    for found in _INLINE.finditer(text):
        parts += [escape(text[done : found.start()]), _marked(found)]
        done = found.end()
    return Markup("").join([*parts, escape(text[done:])])


def _marked(found: re.Match[str]) -> Markup:
    code, strong, emphasis, link = found["code"], found["strong"], found["emphasis"], found["link"]
    if code is not None:
        return Markup("<code>{}</code>").format(code)
    if strong is not None:
        return Markup("<strong>{}</strong>").format(inline(strong))
    if emphasis is not None:
        return Markup("<em>{}</em>").format(inline(emphasis))
    words = inline(found["text"])
    return Markup('<a href="{}">{}</a>').format(link, words) if link.startswith("#") else words
