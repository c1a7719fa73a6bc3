"""A real daemon is scraped: what it counted is what was dropped, exactly; moments outlive it, counters do not."""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.deployment import Deployment, make_run, wait_for

Scraped = dict[tuple[str, tuple[tuple[str, str], ...]], float]
_ADDRESS = re.compile(r"answering on (http://127\.0\.0\.1:\d+)/")
_HTTP = '[http]\nlisten = "127.0.0.1:0"\n'
WEIRD = ["a space", 'quote"and\\back', "{curly}=1", "caf\u00e9-\U0001f9ea", "new\nline"]


def parsed(text: str) -> Scraped:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Watched:
    """A deployment whose daemon answers, with two registries, of which one cannot be reached at first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.there = root / "there"
        registries = {name: {"url": str(root / name), "packs": False} for name in ("main", "later")}
        watch = {"name": "outbox", "path": str(root / "outbox"), "experiment": "e", "settle": "0s"}
        (root / "outbox").mkdir()
        self.deployment = Deployment(root, registries, watch)
        self.write(_HTTP)

    def write(self, extra: str) -> None:
        self.deployment.write_settings(extra)

    def start(self) -> None:
        """Start a daemon and wait until it answers."""
        before = self.log().count("answering on")
        self.deployment.start()
        wait_for("the daemon answers", lambda: self.log().count("answering on") > before)

    def log(self) -> str:
        return self.deployment.log.read_text() if self.deployment.log.exists() else ""

    def text(self) -> str:
        address = _ADDRESS.findall(self.log())[-1]
        with urllib.request.urlopen(f"{address}/metrics", timeout=60) as answer:  # noqa: S310 - our own address
            body: bytes = answer.read()
        return body.decode()

    def scrape(self) -> Scraped:
        return parsed(self.text())

    def value(self, name: str, **labels: str) -> float:
        return self.scrape()[name, tuple(sorted(labels.items()))]

    def drop(self, name: str, files: dict[str, bytes]) -> None:
        make_run(self.root / "outbox" / name, files)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def until(watched: Watched, condition: Callable[[Scraped], bool]) -> Scraped:
    found: Scraped = {}

    def holds() -> bool:
        nonlocal found
        found = watched.scrape()
        return condition(found)

    wait_for("the metrics say so", holds)
    return found


def of_main(found: Scraped, name: str, **labels: str) -> float:
    return found[f"sealrun_registry_{name}", tuple(sorted({"registry": "main", **labels}.items()))]


def test_counts_are_exact_and_after_a_restart_they_begin_again_while_moments_last(watched: Watched) -> None:
    began = time.time()
    watched.start()
    assert watched.value("sealrun_watch_runs_sealed_total", watch="outbox") == 0
    for number in range(5):
        watched.drop(f"run-{number}", {"same": b"shared by all\n", "own": b"%d\n" % number})
    (watched.root / "outbox/broken").mkdir()
    (watched.root / "outbox/broken/out").symlink_to("/etc/hostname")
    (watched.root / "outbox/broken/_SUCCESS").touch()
    found = until(
        watched,
        lambda now: (
            of_main(now, "runs_published_total") == 5
            and of_main(now, "queued_runs") == 0  # of one answer, the queue may have been looked at a moment earlier
            and now["sealrun_registry_runs_published_total", (("registry", "later"),)] == 5
            and now["sealrun_watch_runs_rejected_total", (("watch", "outbox"),)] == 1
        ),
    )
    watch = (("watch", "outbox"),)
    assert found["sealrun_watch_runs_sealed_total", watch] == 5
    assert found["sealrun_watch_seal_duration_seconds_count", watch] == 5
    assert found["sealrun_watch_hashed_bytes_total", watch] == 5 * (14 + 2)
    assert found["sealrun_watch_candidates", (("state", "sealed"), *watch)] == 5
    assert found["sealrun_watch_candidates", (("state", "rejected"), *watch)] == 1
    uploaded, reused = (of_main(found, "contents_total", how=how) for how in ("uploaded", "reused"))
    assert uploaded + reused == 5 * 3  # two files and the marker
    assert uploaded == of_main(found, "uploaded_objects_total") >= 7
    assert of_main(found, "delivery_duration_seconds_count") == 5
    assert of_main(found, "deliveries_retried_total") == of_main(found, "deliveries_parked_total") == 0
    assert of_main(found, "queued_runs") == of_main(found, "queued_bytes") == 0
    assert of_main(found, "oldest_queued_timestamp_seconds") == 0
    assert of_main(found, "requests_total", operation="put_many", outcome="ok") >= 5
    assert of_main(found, "requests_total", operation="create", outcome="error") == 0
    assert of_main(found, "state", state="up") == 1
    moments = {
        key: value
        for key, value in found.items()
        if key[0] in {"sealrun_registry_last_success_timestamp_seconds", "sealrun_watch_last_sealed_timestamp_seconds"}
    }
    assert all(began - 1 <= moment <= time.time() + 1 for moment in moments.values())
    watched.deployment.stop()
    watched.start()
    again = watched.scrape()
    assert again["sealrun_watch_runs_sealed_total", watch] == 0
    assert of_main(again, "runs_published_total") == 0
    assert again["sealrun_watch_candidates", (("state", "sealed"), *watch)] == 5
    assert {key: again[key] for key in moments} == moments
    started = "sealrun_start_timestamp_seconds", ()
    assert again[started] > found[started]
    watched.deployment.stop()


def test_no_label_ever_holds_a_runs_name(watched: Watched) -> None:
    watched.start()
    for name in WEIRD:
        watched.drop(name, {"a": name.encode()})
    sealable = [name for name in WEIRD if "\n" not in name and "\\" not in name]
    until(
        watched,
        lambda now: (
            of_main(now, "runs_published_total") >= len(sealable)
            and of_main(now, "queued_runs") == 0
            and now["sealrun_watch_candidates", (("state", "settling"), ("watch", "outbox"))] == 0
        ),
    )
    ids = [run["run_id"] for run in watched.deployment.runs("main")]
    assert len(ids) >= len(sealable)
    values = {value for _, labels in watched.scrape() for _, value in labels}
    for name in (*WEIRD, *ids):
        assert not [value for value in values if name in value]
    watched.deployment.stop()


def test_a_reload_that_is_refused_is_seen_and_one_that_is_taken_changes_what_is_there(watched: Watched) -> None:
    watched.start()
    (daemon,) = watched.deployment.daemons
    good = watched.deployment.settings.read_text()
    watched.deployment.settings.write_text("version = 2\n")
    daemon.send_signal(signal.SIGHUP)
    until(watched, lambda now: now["sealrun_settings_reload_successful", ()] == 0)
    textfile = watched.root / "node/sealrun.prom"
    textfile.parent.mkdir()
    more = f'[registry.third]\nurl = "{watched.root}/third"\n[metrics]\ntextfile = "{textfile}"\ninterval = "1s"\n'
    watched.deployment.settings.write_text(good + more)
    daemon.send_signal(signal.SIGHUP)
    found = until(watched, lambda now: now["sealrun_settings_reload_successful", ()] == 1)
    assert found["sealrun_settings_reloads_total", (("outcome", "failed"),)] == 1
    assert found["sealrun_registry_queued_runs", (("registry", "third"),)] == 0
    wait_for("the textfile is there", textfile.exists)
    assert parsed(textfile.read_text())["sealrun_registry_queued_runs", (("registry", "third"),)] == 0
    watched.deployment.stop()


def test_a_scan_writes_the_textfile_and_its_counters_go_on(watched: Watched) -> None:
    textfile = watched.root / "sealrun.prom"
    watched.write(f'[metrics]\ntextfile = "{textfile}"')
    for number in (1, 2):
        watched.drop(f"run-{number}", {"a": b"%d" % number})
        watched.deployment.run("scan", "--once")
        found = parsed(textfile.read_text())
        assert found["sealrun_watch_runs_sealed_total", (("watch", "outbox"),)] == number
        assert of_main(found, "runs_published_total") == number
    assert textfile.stat().st_mode & 0o777 == 0o644
    textfile.unlink()
    textfile.mkdir()
    watched.drop("run-3", {"a": b"3"})
    done = watched.deployment.run("scan", "--once")
    assert "metrics cannot be written" in done.stderr
    assert "published e/" in done.stdout
