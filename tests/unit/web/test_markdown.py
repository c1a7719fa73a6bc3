"""Our own documentation as HTML."""

from __future__ import annotations

from tests.builders.pages import Taken

from sealrun.domain.oversight.headings import slug
from sealrun.web.pages.markdown import as_html

PAGE = """## What to do

First *this*, then
**that** or [that](#what-to-do), see [there](elsewhere.md).

- one
  and more
- two

1. a
2. b

| a | b |
|---|---|
| `x` | <b> |

```sh
sealrun gc --dry-run   # <not> *marked*
```
"""


def test_blocks_and_marks_become_elements() -> None:
    taken = Taken(str(as_html(PAGE)))
    tags = [element.tag for element in taken.elements if element.tag not in {"div", "tr", "thead", "tbody", "table"}]
    assert tags == [
        *["h2", "p", "em", "strong", "a", "ul", "li", "li", "ol", "li", "li"],
        *["th", "th", "td", "code", "td", "pre"],
    ]
    assert "sealrun gc --dry-run # <not> *marked*" in taken.text
    assert "one and more" in taken.text


def test_only_links_within_the_page_are_links() -> None:
    (link,) = Taken(str(as_html(PAGE))).all("a")
    assert link.attributes == {"href": "#what-to-do"}


def test_anchors_are_those_of_code_hosts() -> None:
    assert slug("The state folder's: `x` is *lost*") == "the-state-folders-x-is-lost"
