"""What the pages on security say is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from tests.docs.pages import DOCS, ROOT, fences, reader_environment, shell

from sealrun.domain.curation.roles import ROLES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
POLICIES = DOCS / "how-to" / "bucket-policies.md"


def lower_bounds() -> dict[str, Version]:
    found = {}
    for line in PROJECT["project"]["dependencies"]:
        required = Requirement(line)
        found[required.name.lower()] = max(
            Version(each.version) for each in required.specifier if each.operator == ">="
        )
    return found


def rows(page: Path) -> list[list[str]]:
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.read_text().splitlines()
        if line.startswith("|")
    ]


def test_every_dependency_excludes_versions_with_known_vulnerabilities() -> None:
    bounds = lower_bounds()
    assert len(bounds) == len(PROJECT["project"]["dependencies"])
    listed = {row[0]: row[1] for row in rows(DOCS / "security.md") if "CVE-" in row[-1]}
    assert listed.keys() >= {"aiohttp", "jinja2"}
    for name, version in listed.items():
        assert bounds[name] >= Version(version), name


def test_bandit_leaves_out_only_what_ruff_looks_at() -> None:
    ignored = PROJECT["tool"]["ruff"]["lint"]["ignore"]
    assert not [rule for rule in ignored if rule.startswith("S")]
    skipped = set(PROJECT["tool"]["bandit"]["skips"])
    imports = {"B403": "B301", "B404": "B603"}  # importing is looked at where it is used
    assert {imports.get(test, test) for test in skipped} <= skipped
    text = (ROOT / "pyproject.toml").read_text()
    for test in skipped - imports.keys():
        assert f'"{test}", # S{test[1:]}' in text


def test_the_keys_of_each_role_are_those_on_the_page() -> None:
    shown = {
        row[0].strip("`"): row[1:]
        for row in rows(POLICIES)
        if len(row) == 3 and row[0].startswith("`") and "/" in row[0]
    }
    assert shown.keys() == {*ROLES["collector"].writes, *ROLES["collector"].deletes}
    for key, cells in shown.items():
        for role, cell in zip((ROLES["publisher"], ROLES["collector"]), cells, strict=True):
            assert ("write" in cell) == (key in role.writes), key
            assert ("delete" in cell) == (key in role.deletes), key


def test_the_commands_on_the_page_of_roles_run(tmp_path: Path) -> None:
    script = "".join(fence.text for fence in fences(POLICIES) if fence.mark.startswith("run: "))
    shell(script, tmp_path, reader_environment(tmp_path / "home"))
    assert '"s3:PutObject"' in (tmp_path / "publisher.json").read_text()
    assert (tmp_path / "registry").stat().st_mode & 0o7777 == 0o2775
    made = [path for path in (tmp_path / "registry").rglob("*") if path.is_dir() and path.name != ".sealrun"]
    for folder in made:
        assert folder.stat().st_mode & 0o2070 == 0o2070, folder


def test_the_threat_model_names_a_test_for_every_threat() -> None:
    page = DOCS / "threat-model.md"
    threats = [row for row in rows(page) if len(row) == 4 and re.fullmatch(r"[STRIDE](, [STRIDE])*", row[0])]
    assert len(threats) > 20
    for row in threats:
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", row[3]), row[1]
