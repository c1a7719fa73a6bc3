"""The README and the tutorials, played from top to bottom: what their commands print is what the pages show."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.sessions import SESSIONS, alike, played, shown, steps, with_what_was_printed


@pytest.mark.slow
@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.stem)
def test_every_command_prints_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    expected = list(shown(page.read_text()))
    printed = played(page.read_text(), tmp_path)
    assert len(printed) == len(expected) > 10
    for step, said, wanted in zip(expected, alike(printed), alike([step.shown for step in expected]), strict=True):
        assert said == wanted, f"$ {step.command}\n(if the page is wrong: python -m tests.docs.sessions)"


def test_what_differs_each_time_is_alike_and_what_is_another_is_not() -> None:
    id_1, id_2 = "20260117T143052Z-logistic-C1.0-ab0f5d", "20260117T143052Z-logistic-C1.0-ab0f5e"
    assert alike([f"{id_1} 10 B", id_1, id_2]) == ["<1> <size>", "<1>", "<2>"]
    assert alike(["a" * 64 + " 2026-01-17T14:30:52Z", "a" * 12, "b" * 12]) == ["<1> <time>", "<1>", "<2>"]
    assert alike(["loss 0.1"]) != alike(["loss 0.2"])


def test_a_page_is_taken_apart_and_put_together_again() -> None:
    page = "<!-- session when true -->\n```console\n$ a\n1\n$ b \\\n  c\n2\n```\ntext\n```sh\n$ no\n```\n"
    assert [step.command for step in shown(page)] == ["a", "b \\\n  c"]
    assert [step.shown for step in steps("$ a\n1\n\n2\n")] == ["1\n\n2\n"]
    assert with_what_was_printed(page, ["1\n", "2\n"]) == page
    assert with_what_was_printed(page, ["", "3\n"]) == page.replace("\n1\n", "\n").replace("\n2\n", "\n3\n")
