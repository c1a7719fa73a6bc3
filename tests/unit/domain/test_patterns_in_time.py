"""Patterns of whoever writes a run take a bounded time, and mean what git's would."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from sealrun.domain.errors import ConfigurationError
from sealrun.domain.patterns import Patterns, check_patterns, matches, without_looking_back

_PARTS = st.sampled_from(["a", "b", "*", "?", "/", "**/", "/**/", "/**", "[ab]", "[!a]", "ab", "\\*", "."])
_PATHS = st.lists(st.text("ab*.", min_size=1, max_size=5), min_size=1, max_size=5).map("/".join)


@contextmanager
def seconds_of_cpu(most: float) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        msg = "took too long"
        raise AssertionError(msg)

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@settings(max_examples=400, deadline=None)
@given(line=st.lists(_PARTS, min_size=1, max_size=9).map("".join), path=_PATHS)
def test_a_pattern_matches_what_it_matches_in_the_library(line: str, path: str) -> None:
    try:
        theirs = GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return
    assert matches((line,), path) == (theirs.check_file(path).include is True)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*a" * 30 + "*b", "a" * 250),
        ("a*" * 100 + "b", "a" * 255),
        ("?*" * 60 + "b", "a" * 255),
        ("*[a/]" * 40 + "*b", "a" * 250),
        ("a/**/" * 30 + "b", "a/" * 1500 + "a"),
        ("**/a/" * 30 + "b", "a/" * 1500 + "a"),
        ("*a*a*/**/*a*a*/**/" * 8 + "b", "/".join(["aaaaaaaa"] * 300)),
    ],
)
def test_no_pattern_takes_long_on_any_name(line: str, path: str) -> None:
    with seconds_of_cpu(10.0):
        assert not Patterns(inner=(line,)).excludes(path, folder=False)
        assert not Patterns(include=("nothing",), outer=(line,), outer_prefix="x").excludes("y", folder=True)


@pytest.mark.parametrize("line", ["[z-a]", "[b-a]*", "***[9-0]"])
def test_an_impossible_range_is_named(line: str) -> None:
    with pytest.raises(ConfigurationError, match="not a pattern in gitignore syntax"):
        check_patterns([line], ".sealignore")


def test_what_has_no_two_stars_is_left_alone() -> None:
    regex = r"^(?:.+/)?[^/]*\.tmp(?:(?P<ps_d>/)|$)"
    assert without_looking_back(regex) == regex
