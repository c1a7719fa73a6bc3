from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sealrun


def test_every_public_name_is_there_and_no_other_is_invented() -> None:
    assert sealrun.__all__ == sorted(sealrun.__all__)
    assert all(getattr(sealrun, name) is not None for name in sealrun.__all__)
    assert set(sealrun.__all__) <= set(dir(sealrun))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sealrun.nothing


def test_type_checkers_are_told_the_same_names_from_the_same_homes() -> None:
    tree = ast.parse(Path(sealrun.__file__).read_text())
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sealrun")
        for alias in node.names
    }
    assert typed == sealrun._HOMES
    assert typed.keys() | {"__version__"} == set(sealrun.__all__)


def test_importing_sealrun_alone_loads_nothing_heavy() -> None:
    script = "import sys, sealrun; print([m for m in sys.modules if m.startswith(('sealrun.', 'fsspec', 'msgspec'))])"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout == b"[]\n"


def test_recording_loads_neither_settings_nor_stores_nor_tables() -> None:
    heavy = "('sealrun.settings', 'sealrun.services', 'sealrun.adapters', 'fsspec', 'click', 'polars', 'pyarrow')"
    script = f"import sys, sealrun; sealrun.RunContext; print([m for m in sys.modules if m.startswith({heavy})])"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout == b"[]\n"
