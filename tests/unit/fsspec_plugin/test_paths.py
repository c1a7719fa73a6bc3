from __future__ import annotations

import pytest

from sealrun.fsspec_plugin.paths import Location, locate, options_of, strip

_URN = f"urn:sealrun:run:sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sealrun://train@latest/a/b.csv", "train@latest/a/b.csv"),
        ("sealrun:///train@latest//a/", "train@latest/a"),
        ("train@latest:a/b.csv", "train@latest/a/b.csv"),
        ("sealrun://train/r1:a.csv", "train/r1/a.csv"),
        ("train/r1/a:b", "train/r1/a:b"),
        ("train@latest/a:b", "train@latest/a:b"),
        ("train@latest:a:b", "train@latest/a:b"),
        ("sealrun://", ""),
        (_URN, _URN),
        (f"{_URN}:a/b", f"{_URN}/a/b"),
        (f"sealrun://{_URN}/a:b", f"{_URN}/a:b"),
        ("sealrun://train@latest/part-?.parquet", "train@latest/part-?.parquet"),
        ("sealrun://train@latest/a?registry=cloud", "train@latest/a"),
        ("train@latest/a?registry=cloud", "train@latest/a?registry=cloud"),
    ],
)
def test_a_path_has_one_spelling(url: str, path: str) -> None:
    assert strip(url) == path
    assert strip(path) == path


def test_the_end_of_a_url_may_say_which_registry_is_meant() -> None:
    assert options_of("sealrun://train@latest/a?registry=cloud") == {"registry": "cloud"}
    assert options_of("sealrun://m.csv?registry=s3%3A%2F%2Fbucket%2Fprefix") == {"registry": "s3://bucket/prefix"}
    assert options_of("sealrun://train@latest/part-?.parquet") == {}
    assert options_of("sealrun://train@latest/a?registry=b/c") == {}
    assert options_of("a?registry=b") == {}


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("", Location("", "", bare=False)),
        ("train", Location("train", "", bare=True)),
        ("train/r1", Location("train/r1", "", bare=False)),
        ("train/r1/a/b", Location("train/r1", "a/b", bare=False)),
        ("train@latest", Location("train@latest", "", bare=False)),
        ("train@latest/a/b", Location("train@latest", "a/b", bare=False)),
        (f"{_URN}/a", Location(_URN, "a", bare=False)),
    ],
)
def test_a_path_is_a_reference_and_a_path_inside(path: str, location: Location) -> None:
    assert locate(path) == location
