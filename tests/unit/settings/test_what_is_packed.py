"""Which small files a registry stores together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.errors import ConfigurationError
from sealrun.domain.registry.packing import PackOptions
from sealrun.settings import load_settings
from sealrun.settings.quantities import parse_size


def packs_of(folder: Path, line: str, url: str = "s3://bucket/prefix") -> object:
    (folder / "sealrun.toml").write_text(f'version = 1\n[registry.main]\nurl = "{url}"\n{line}\n')
    return load_settings(None, {}, folder).registries["main"].packs


def test_the_kind_of_store_decides_where_nothing_is_said(tmp_path: Path) -> None:
    assert packs_of(tmp_path, "") is None
    assert packs_of(tmp_path, "packs = true") is None


def test_a_registry_can_be_told_to_stay_plain(tmp_path: Path) -> None:
    assert packs_of(tmp_path, "packs = false") is False


@pytest.mark.parametrize(
    ("url", "least"), [("registry", 64), ("/srv/registry", 64), ("file:///srv/registry", 64), ("s3://b/p", 2)]
)
def test_what_a_table_leaves_out_is_as_without_it(tmp_path: Path, url: str, least: int) -> None:
    expected = PackOptions(below=100 << 10, size=32 << 20, least=least)
    assert packs_of(tmp_path, 'packs = { below = "100KiB" }', url) == expected
    full = packs_of(tmp_path, 'packs = { below = 10, size = "2MB", least = 7 }', url)
    assert full == PackOptions(below=10, size=2_000_000, least=7)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('packs = { below = "1GiB" }', "packs.below must be between 1 byte and 64 MiB"),
        ('packs = { size = "1KiB" }', "packs.size must be between 1 MiB and 1 GiB"),
        ('packs = { below = "small" }', 'expected a size such as "32MiB"'),
        ("packs = { least = 0 }", "least"),
        ("packs = { lest = 3 }", "did you mean"),
    ],
)
def test_what_makes_no_good_pack_is_refused_with_the_reason(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        packs_of(tmp_path, line)


def test_what_is_packed_is_shown(tmp_path: Path) -> None:
    (tmp_path / "sealrun.toml").write_text(
        'version = 1\n[registry.a]\nurl = "a"\npacks = false\n[registry.b]\nurl = "b"\n'
    )
    shown = load_settings(None, {}, tmp_path).shown()["registry"]
    assert (shown["a"]["packs"], shown["b"]["packs"]) == (False, True)


@given(st.integers(0, 10**15))
def test_bytes_are_read_as_they_are_written(number: int) -> None:
    assert parse_size(number) == parse_size(str(number)) == parse_size(f"{number} B") == number
    assert parse_size(f"{number}KiB") == 1024 * parse_size(f"{number}") == 1024 * number


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5", "1 PiB", "1e3", "12 MiBs"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)
