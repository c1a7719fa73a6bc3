from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.errors import RunRejectedError
from sealrun.domain.runs.links import link_problem, links_problem
from sealrun.domain.runs.manifest import Link, Manifest


@pytest.mark.parametrize("target", ["a", "../a", ".", "..", "x/../..", "missing/file"])
def test_a_link_that_stays_inside_is_fine(target: str) -> None:
    assert link_problem("folder/link", target) is None


@pytest.mark.parametrize("target", ["/etc/passwd", "../..", "x/../../..", "", "\0"])
def test_a_link_that_leaves_or_cannot_be_stored_is_named(target: str) -> None:
    assert "folder/link" in str(link_problem("folder/link", target))


def test_links_that_leave_the_run_together_are_refused() -> None:
    assert links_problem({"s": ".", "l": "s/s/../../x"}) == "the link 'l' leaves the run (it points to 's/s/../../x')"
    with pytest.raises(RunRejectedError, match="leaves the run"):
        Manifest.build([], links=[Link("s", "."), Link("l", "s/s/../../x")])


def test_a_loop_leads_nowhere_and_is_kept() -> None:
    assert links_problem({"a": "b", "b": "a"}) is None


targets = st.lists(st.sampled_from(["..", ".", "a", "b", "d"]), min_size=1, max_size=6).map("/".join)


@given(st.dictionaries(st.sampled_from(["a", "b", "d/a", "d/b"]), targets, max_size=4))
def test_links_that_are_accepted_resolve_inside_on_a_real_file_system(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]
) -> None:
    if links_problem(links) is not None:
        return
    root = tmp_path_factory.mktemp("run")
    (root / "d").mkdir()
    for path, target in links.items():
        (root / path).symlink_to(target)
    for path in links:
        with contextlib.suppress(OSError):  # a loop, or nothing there: the kernel leads nowhere
            assert Path(os.path.realpath(root / path, strict=True)).is_relative_to(root)
