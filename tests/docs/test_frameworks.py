"""The page on frameworks and the reference name every preset, and the page in the order in which they are asked."""

from __future__ import annotations

import re

from tests.docs.pages import DOCS, fences

from sealrun.domain.presets import PRESETS

_ALIASES = ("spark", "hadoop", "huggingface")


def test_the_table_of_frameworks_lists_every_preset_in_the_order_of_asking() -> None:
    page = (DOCS / "how-to" / "frameworks.md").read_text()
    listed = re.findall(r"(?m)^\| `([\w-]+)` \|", page)
    assert ("auto", "none", *listed, *_ALIASES) == PRESETS
    assert all(f"`{alias}`" in page for alias in _ALIASES)


def test_every_preset_has_a_section_with_settings() -> None:
    text = "\n".join(fence.text for fence in fences(DOCS / "how-to" / "frameworks.md") if fence.language == "toml")
    assert sorted(re.findall(r'(?m)^preset = "([\w-]+)"', text)) == sorted(set(PRESETS) - {"auto", "none", *_ALIASES})


def test_the_reference_of_settings_names_every_preset() -> None:
    (row,) = re.findall(r"(?m)^\| `preset` \|.*$", (DOCS / "reference" / "settings.md").read_text())
    assert {preset for preset in PRESETS if f'`"{preset}"`' in row} == set(PRESETS)
