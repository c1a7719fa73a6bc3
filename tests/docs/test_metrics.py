"""Metrics, their reference, the alerts, the dashboard and the runbook speak of the same things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.docs.pages import DOCS, ROOT
from tests.docs.test_pages import anchors

from sealrun.domain.oversight.metering import CATALOGUE, ENDS

ALERTS = ROOT / "deploy/prometheus/alerts.yml"
ALERT_TESTS = ROOT / "deploy/prometheus/alerts.test.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
REFERENCE = DOCS / "reference/metrics.md"
_ROW = re.compile(r"(?m)^\| `(sealrun_\w+)` \| (\w+) \| (.+?) \| (.+) \|$")
_NAME = re.compile(r"\bsealrun_[a-z_]+\b")
_SELECTOR = re.compile(r"(sealrun_[a-z_]+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_ALERT = re.compile(r"(?m)^ +- alert: (\w+)$")
_RUNBOOK = re.compile(r"runbook_url: (\S+)#(\S+)")
EXPOSED = {
    metric.name + suffix: metric
    for metric in CATALOGUE
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}
OF_PROMETHEUS = {"job", "instance", "le"}


def test_the_reference_names_every_metric_as_it_is_and_no_other() -> None:
    rows = [match.groups() for match in _ROW.finditer(REFERENCE.read_text())]
    meant = [
        (each.name, each.kind, ", ".join(f"`{label}`" for label in each.labels) or "\u2014", each.help)
        for each in CATALOGUE
    ]
    assert rows == meant


def test_the_reference_lists_every_fixed_word() -> None:
    text = REFERENCE.read_text()
    for metric in CATALOGUE:
        for label, words in metric.words:
            if words != ENDS:
                listed = ", ".join(f"`{word}`" for word in words)
                assert re.search(rf"(?m)^\| `{label}` of `sealrun_\w+` \| {listed} \|$", text), (metric.name, label)


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the alerts and the dashboard, and where it stands."""
    for block in re.split(r"(?m)^ +- alert: ", ALERTS.read_text())[1:]:
        yield f"alert {block.split()[0]}", re.split(r"\n +(?:for|labels):", block)[0]
    for panel in panels():
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"]
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["definition"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_alerts_and_panels_ask_for_exists_with_those_labels_and_words(where: str, expression: str) -> None:
    names = set(_NAME.findall(expression))
    assert names <= EXPOSED.keys(), where
    for name, matchers in _SELECTOR.findall(expression):
        metric = EXPOSED[name]
        for label, operator, value in _MATCHER.findall(matchers):
            assert label in {*metric.labels, *OF_PROMETHEUS}, (where, name, label)
            words = dict(metric.words).get(label)
            if words is not None and "$" not in value:
                wanted = value.split("|") if "~" in operator else [value]
                assert set(wanted) <= set(words), (where, label)


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for where, text in expressions() if where.startswith("panel") for name in _NAME.findall(text)}
    left = {metric.name for metric in CATALOGUE if not any(name.startswith(metric.name) for name in shown)}
    assert left == set()


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "sealrun"
    assert dashboard["id"] is None
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_every_alert_leads_to_a_section_of_the_runbook() -> None:
    names, links = _ALERT.findall(ALERTS.read_text()), _RUNBOOK.findall(ALERTS.read_text())
    assert len(names) == len(links) == len(set(names))
    assert {page for page, _ in links} == {"https://sealrun.example/docs/runbook.md"}
    assert {anchor for _, anchor in links} <= anchors(DOCS / "runbook.md")


def test_every_alert_is_tried_both_ways() -> None:
    text = ALERT_TESTS.read_text()
    fires, silent = text.split("none fires when all is well")
    for name in _ALERT.findall(ALERTS.read_text()):
        assert f"name: {name} fires" in fires
        assert f"alertname: {name}\n" in silent


@pytest.mark.parametrize("page", ["how-to/monitor.md", "runbook.md", "reference/metrics.md"])
def test_pages_name_only_metrics_that_exist(page: str) -> None:
    names = set(_NAME.findall((DOCS / page).read_text()))
    assert {name for name in names if not name.endswith("_")} <= EXPOSED.keys() | {each.name for each in CATALOGUE}
