"""The page on types, schemas, the catalogue and validation, run as it is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import DOCS, fences, reader_environment, shell

from sealrun.domain.schemas import PUBLISHED

PAGE = DOCS / "how-to" / "types-and-catalogue.md"


def test_every_published_schema_is_listed_with_what_it_is_of() -> None:
    page = (DOCS / "reference" / "schemas.md").read_text()
    rows = [f"| `{name}` | {title} |" for name, title in PUBLISHED.items()]
    assert [line.replace("\\", "") for line in page.splitlines() if line.startswith("| `")] == rows


def texts(mark: str) -> list[str]:
    return [fence.text for fence in fences(PAGE) if fence.mark == f"run: {mark}"]


def test_the_page_declares_validates_promotes_and_builds_the_catalogue(tmp_path: Path) -> None:
    here, environ = tmp_path / "here", reader_environment(tmp_path / "home")
    here.mkdir()
    shell("sealrun init . > /dev/null", here, environ)

    def python(text: str) -> str:
        done = subprocess.run([sys.executable, "-c", text], cwd=here, env=environ, check=True, capture_output=True)
        return done.stdout.decode().strip()

    declare, depends = texts("declare"), texts("depends")
    schema, validate, promote, catalog = texts("govern")
    shell(f"sealrun publish {python(declare[0])} --experiment status", here, environ)
    said = shell(schema + validate + promote, here, environ)
    assert "conforms to status/0.1" in said
    assert "status@active moved from nothing to status/" in said
    assert '"name": "command", "status": "pass"' in said
    shell(f"sealrun publish {python(depends[0])} --experiment drift", here, environ)
    assert "is active, and made before" in shell("sealrun validate drift@latest", here, environ)
    said = shell(catalog, here, environ)
    assert "2 registries, would be published" in said
    assert "status      STATUS    jsonl_registry  status/0.1" in said
    assert "status@active" in said
