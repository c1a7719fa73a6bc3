"""What is written is what Prometheus' own parsers read, whatever the names hold."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from sealrun.adapters.telling.exposition import answer_of, text_of
from sealrun.adapters.telling.textfiles import write_textfile
from sealrun.domain.errors import AccessDeniedError
from sealrun.domain.oversight.metering import ALARMS, CATALOGUE, DELIVERY_SECONDS, QUEUED, SEALED, Sample, Spread

HOSTILE = 'a"b\\c\nd{x="y"} 1\n# EOF\n\u00e9\U0001f9ea'
SAMPLES = [Sample(SEALED, ("w",), 3), Sample(QUEUED, ("main",), 2), Sample(ALARMS, (HOSTILE,), 1)]
SPREADS = [Spread(DELIVERY_SECONDS, ("main",), (1, 2, 0, 0, 0, 0, 0, 0, 0, 1), 100.5)]
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_text_format_is_read_back_as_it_was_meant_also_with_hostile_names() -> None:
    found = read(text_of(SAMPLES, SPREADS).decode())
    assert found[("sealrun_watch_runs_sealed_total", (("watch", "w"),))] == 3
    assert found[("sealrun_alarms", (("kind", HOSTILE),))] == 1
    buckets = {
        dict(labels)["le"]: value for (name, labels), value in found.items() if name.endswith("duration_seconds_bucket")
    }
    assert (buckets["1.0"], buckets["5.0"], buckets["86400.0"], buckets["+Inf"]) == (1, 3, 3, 4)
    assert found[("sealrun_registry_delivery_duration_seconds_sum", (("registry", "main"),))] == 100.5
    assert found[("sealrun_registry_delivery_duration_seconds_count", (("registry", "main"),))] == 4


def test_a_textfile_holds_no_metrics_of_the_process_which_its_reader_has_itself() -> None:
    assert all(name.startswith("sealrun_") for name, _ in read(text_of(SAMPLES, SPREADS).decode()))


def test_more_labels_are_on_every_series() -> None:
    found = read(text_of(SAMPLES, SPREADS, {"user": HOSTILE}).decode())
    assert found[("sealrun_watch_runs_sealed_total", (("user", HOSTILE), ("watch", "w")))] == 3
    assert all(("user", HOSTILE) in labels for _, labels in found)


def test_whoever_asks_for_openmetrics_gets_it_and_everybody_else_the_text_format() -> None:
    body, content_type = answer_of(SAMPLES, SPREADS, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    families = openmetrics.text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call] # the library's
    names = {family.name for family in families}
    assert {"sealrun_watch_runs_sealed", "sealrun_alarms", "process_cpu_seconds", "python_info"} <= names
    for accept in ("", "*/*", "text/html", "nonsense;;=,"):
        body, content_type = answer_of(SAMPLES, SPREADS, accept)
        assert content_type.startswith("text/plain")
        assert ("process_resident_memory_bytes", ()) in read(body.decode())


def test_every_metric_can_be_written_and_has_a_help_text() -> None:
    samples = [Sample(each, each.labels, 1) for each in CATALOGUE if each.kind != "histogram"]
    spreads = [
        Spread(each, each.labels, (0,) * (len(each.buckets) + 1), 0.0) for each in CATALOGUE if each.kind == "histogram"
    ]
    families = {each.name: each for each in text_string_to_metric_families(text_of(samples, spreads).decode())}
    assert len(families) == len(CATALOGUE)
    for metric in CATALOGUE:
        family = families[metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)


def test_names_follow_the_conventions() -> None:
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert metric.name.startswith("sealrun_")
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        assert metric.help.endswith(".")
        assert not {"run", "run_id", "path", "error", "reason"} & set(metric.labels)
        for banned in ("_age", "_ms", "_minutes", "_percent", "_mb", "_kib", "_milliseconds"):
            assert banned not in metric.name
        assert not metric.buckets or (metric.kind == "histogram" and list(metric.buckets) == sorted(metric.buckets))


def test_a_textfile_is_replaced_whole_readable_by_everybody_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "sealrun.prom"
    write_textfile(path, b"first\n")
    held = path.open("rb")
    write_textfile(path, b"second\n")
    with held:
        assert held.read() == b"first\n"
    assert path.read_bytes() == b"second\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["nowhere/sealrun.prom", "file/sealrun.prom"])
def test_a_place_that_is_none_is_an_error_that_names_it_and_the_setting(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AccessDeniedError, match=r"sealrun\.prom: metrics cannot be written there .*textfile"):
        write_textfile(tmp_path / where, b"")


def test_what_was_half_written_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "sealrun.prom").mkdir()
    with pytest.raises(Exception, match="cannot be written"):
        write_textfile(tmp_path / "sealrun.prom", gzip.compress(b"x"))
    assert [path.name for path in tmp_path.iterdir()] == ["sealrun.prom"]
