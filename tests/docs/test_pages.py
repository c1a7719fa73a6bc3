"""What the pages show is true: links lead somewhere, commands run, settings load, named tests exist."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, ROOT, all_pages, fences, reader_environment, shell
from tests.docs.sessions import SESSIONS

from sealrun.settings import load_settings

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"(?m)^#+ (.+)$")
_NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_fences(text: str) -> str:
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", text)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found = set()
    for heading in _HEADING.findall(without_fences(page.read_text())):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", all_pages(), ids=relative)
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(without_fences(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert ROOT in target.parents, link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(page.read_text()) if "://" not in link)
        ahead += [(page.parent / link).resolve() for link in links if link]
    assert set(DOCS.rglob("*.md")) <= reached


def test_every_console_fence_is_played_by_a_test() -> None:
    for page in all_pages():
        marks = [fence.mark for fence in fences(page) if fence.language == "console"]
        assert all(mark.split()[0] == "session" for mark in marks), page
        assert bool(marks) == (page in SESSIONS), page


def test_every_toml_fence_is_valid_settings(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    count = 0
    for page in all_pages():
        for fence in fences(page):
            if fence.language != "toml":
                continue
            count += 1
            head = "" if "version = 1" in fence.text else "version = 1\n"
            file = tmp_path / "sealrun.toml"
            file.write_text(head + fence.text.replace("/etc/sealrun/s3-secret", str(secret)))
            settings = load_settings(file, {"S3_KEY": "k"}, tmp_path)
            assert settings.registries, f"{page}: {fence.text}"
    assert count > 5


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.toml")), ids=lambda file: file.name)
def test_every_example_in_config_is_valid_settings(file: Path) -> None:
    settings = load_settings(file, {}, file.parent)
    assert settings.registries
    assert settings.watches


def test_every_json_fence_is_json() -> None:
    for page in all_pages():
        for fence in fences(page):
            if fence.language == "json":
                json.loads(fence.text)


def test_the_python_examples_run(tmp_path: Path) -> None:
    environ = reader_environment(tmp_path / "home")
    here = tmp_path / "here"
    here.mkdir()
    shell("sealrun init .\nmkdir run-1\necho '{\"loss\": 0.1}' > run-1/metrics.json", here, environ)
    examples = [fence.text for fence in fences(DOCS / "reference" / "python.md") if fence.language == "python"]
    assert len(examples) == 4
    for example in examples:
        subprocess.run([sys.executable, "-c", example], cwd=here, env=environ, check=True)
    assert "run-3" in shell("sealrun detect run-3 --explain", here, environ)
    assert "complete: marker: _SUCCESS" in shell("sealrun detect run-2", here, environ)
    assert "complete: marker: .sealrun/done.json" in shell("sealrun detect run-3", here, environ)


def test_every_test_that_a_page_names_exists() -> None:
    named = {match for page in all_pages() for match in _NAMED_TEST.findall(page.read_text())}
    assert len(named) > 15
    for path, name in sorted(named):
        functions = {
            node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, f"{path}::{name}"


def test_every_invariant_names_its_test_or_the_version_that_brings_it() -> None:
    rows = re.findall(r"(?m)^\| I(\d+) \| (.+) \| (.+) \|$", (DOCS / "design.md").read_text())
    assert [int(number) for number, _, _ in rows] == list(range(1, 13))
    for number, _, proof in rows:
        assert _NAMED_TEST.search(proof) or "later version" in proof, f"I{number}"
    later = {int(number) for number, _, proof in rows if not _NAMED_TEST.search(proof)}
    assert later == set()
