"""The reference of the Python interface says what the docstrings say, of every public name."""

from __future__ import annotations

import re

from tests.docs.make_python_reference import PAGE, page_with, reference

import sealrun


def test_the_page_is_what_the_docstrings_say_now() -> None:
    page = PAGE.read_text()
    assert page == page_with(page, reference()), "run: python -m tests.docs.make_python_reference"


def test_every_public_name_has_its_section_and_says_something() -> None:
    _, *parts = re.split(r"(?m)^## sealrun\.", PAGE.read_text())
    found = {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}
    assert found.keys() == {name for name in sealrun.__all__ if not name.startswith("_")}
    assert all(len(re.sub(r"(?ms)^```.*?^```$", "", text).split()) > 2 for text in found.values())
