"""Every alarm leads to its section of the runbook, which says what an operator asks; and no section is for nothing."""

from __future__ import annotations

import re

import pytest
from tests.docs.pages import DOCS
from tests.docs.test_pages import anchors

from sealrun.adapters.content.runbook import runbook_text
from sealrun.domain.oversight.alarming import KINDS, help_of
from sealrun.domain.oversight.headings import section

RUNBOOK = DOCS / "runbook.md"


def alarms() -> dict[str, str]:
    """Text of each section about an alarm, by its heading."""
    _, _, text = RUNBOOK.read_text().partition("\n## Alarms\n")
    text, _, _ = text.partition("\n## ")
    _, *parts = re.split(r"(?m)^### ", text)
    return {heading: body for heading, _, body in (part.partition("\n") for part in parts)}


def test_every_alarm_has_its_section_and_every_section_its_alarm() -> None:
    assert list(alarms()) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_help_of_an_alarm_leads_there(kind: str) -> None:
    command, _, anchor = help_of(kind).rpartition(" ")
    assert command == "sealrun runbook"
    assert anchor in anchors(RUNBOOK)
    assert section(runbook_text(), anchor) == f"### {anchor}\n{alarms()[anchor].rstrip()}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_says_what_it_means_what_is_safe_how_to_see_it_what_to_do_and_when_it_is_over(kind: str) -> None:
    text = alarms()[kind]
    asked = ["Meaning", "Safe", "See", "Do", "Over"]
    found = [text.lower().find(f"*{word.lower()}") for word in asked]
    if kind == "collector-refused":
        found[3] = text.find("*See and do,*")
        found[2] = found[3] - 1
    assert -1 not in found
    assert found == sorted(found)
    assert KINDS[kind].severity in text.lower()  # type: ignore[index] # pytest hands on the keys themselves
