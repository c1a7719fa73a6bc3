"""Outputs that are declared, computed from sealed runs: by command, by the daemon, on engines; and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor as ParslThreads
from tests.builders.libraries import Library
from tests.conformance.libraries import KINDS, a_library

_SCRIPT = """echo ran >> $RAN; printf '{"words": %d}' $(wc -w < {inputs}/words.txt) > {output}/count.json"""
COUNT = f"""
[[derive]]
name = "count"
experiment = "train"
inputs = ["words.txt"]
command = ["sh", "-c", {json.dumps(_SCRIPT)}]
version = "1"
interval = "1s"
"""
TOTAL = """
[[derive]]
name = "total"
experiment = "train"
of = "count"
inputs = ["count.json"]
per = "experiment"
function = "sealrun.derivers.table:derive"
version = "1"
interval = "off"
"""


SECRET = "a-very-" + "secret-value"


class Lab:
    """A library with rules, and commands that are run as processes."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.ran = library.room / "ran.txt"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SEALRUN_")},
            "SEALRUN_CACHE": str(library.room / "cache"),
            "RAN": str(self.ran),
        }
        self.settings: Path

    def rules(self, text: str) -> None:
        self.settings = self.library.settings()
        with self.settings.open("a") as file:
            file.write(text)

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sealrun", "--config", str(self.settings), *words],
            env=self.environ,
            cwd=self.library.room,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def derive(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        done = self("derive", "--json", *words)
        assert done.returncode == code, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def publish(self, text: str, second: int, **more: Any) -> str:  # noqa: ANN401 - JSON
        at = f"2026-01-17T14:30:{second:02}Z"
        record = json.dumps({"status": "success", "finished_at": at, **more})
        return self.library.publish({"words.txt": text, ".sealrun/done.json": record})

    def times(self) -> int:
        return len(self.ran.read_text().splitlines()) if self.ran.exists() else 0

    def read(self, ref: str) -> str:
        done = self("cat", ref)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=KINDS)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    return Lab(a_library(request.param, tmp_path))


@pytest.fixture
def here(tmp_path: Path) -> Lab:
    return Lab(a_library("directory", tmp_path))


def states(outcomes: list[dict[str, Any]]) -> list[str]:
    return [outcome["state"] for outcome in outcomes]


def test_what_is_missing_is_computed_once_and_reused_by_content(lab: Lab) -> None:
    lab.rules(COUNT)
    first = lab.publish("a b c", 1)
    assert lab.derive("-n")[0]["state"] == "missing"
    (made,) = lab.derive()
    assert (made["state"], made["of"]) == ("made", [first])
    assert json.loads(lab.read(f"{made['ref']}:count.json")) == {"words": 3}
    assert made["ref"].startswith("train.count/count-")

    lab.publish("a b c", 2, params={"other": 1})  # the same words: nothing to compute
    lab.publish("a b c d", 3)
    assert states(lab.derive()) == ["reused", "made"]
    assert states(lab.derive()) == ["reused", "reused"]
    assert lab.times() == 2
    shown = json.loads(lab("show", made["ref"], "--json").stdout)["run"]
    assert shown["producer"]["inputs"][0]["ref"] == first
    assert shown["tags"] == ["derived"]
    assert shown["name"] == "count"


def test_an_experiment_becomes_one_table_and_what_it_needs_is_computed_first(lab: Lab) -> None:
    lab.rules(COUNT + TOTAL)
    refs = [lab.publish("word " * number, number, params={"lr": number / 10}) for number in (1, 2, 3)]
    outcomes = lab.derive("total")
    assert states(outcomes) == ["made"] * 4
    rows = _table(lab, outcomes[-1]["ref"])
    assert [row["of"] for row in rows] == refs
    assert [row["words"] for row in rows] == [1, 2, 3]
    assert [row["params.lr"] for row in rows] == [0.1, 0.2, 0.3]
    lab.publish("word " * 4, 4)
    assert states(lab.derive("total")) == ["reused", "reused", "reused", "made", "made"]


def _table(lab: Lab, ref: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    target = lab.library.room / "table.parquet"
    target.unlink(missing_ok=True)
    assert lab("get", f"{ref}:table.parquet", str(target)).returncode == 0
    rows: list[dict[str, Any]] = pq.read_table(target).to_pylist()
    return rows


def test_force_computes_again_and_the_same_bytes_are_the_same_run(here: Lab) -> None:
    here.rules(COUNT)
    here.publish("a b", 1)
    (made,) = here.derive()
    (again,) = here.derive("--force")
    assert (again["state"], again["ref"]) == ("made", made["ref"])
    assert here.times() == 2
    here.rules(COUNT.replace("count.json", "other.json"))
    (other,) = here.derive("--force")
    assert other["ref"] == f"{made['ref']}.r2"
    assert [outcome["ref"] for outcome in here.derive()] == [other["ref"]]


def test_each_mode_has_outputs_of_its_own(here: Lab) -> None:
    here.rules(COUNT.replace("count.json", "$SEALRUN_MODE.json"))
    here.publish("a b", 1)
    (light,) = here.derive()
    (full,) = here.derive("count", "--mode", "full")
    assert light["ref"] != full["ref"]
    assert here.read(f"{full['ref']}:full.json") == here.read(f"{light['ref']}:light.json")
    assert states(here.derive()) == states(here.derive("--mode", "full")) == ["reused"]


def test_only_the_runs_that_are_named_are_computed_from(here: Lab) -> None:
    here.rules(COUNT)
    refs = [here.publish("a " * number, number) for number in (1, 2, 3)]
    assert [outcome["of"] for outcome in here.derive("count", "--of", refs[1])] == [[refs[1]]]
    assert here("derive", "nothing").returncode == 2
    assert "no rule 'nothing'" in here("derive", "nothing").stderr


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo oh no; exit 3", "ended with 3; it said: oh no"),
        ("kill -9 $$$$", "was killed by SIGKILL"),
        ("true", "left its output folder empty"),
        ("sleep 60 & sleep 60", "was not done after 1 s"),
        ("echo token=$MY_TOKEN; exit 1", "it said: token="),
    ],
)
def test_a_failure_is_told_remembered_and_waits_before_it_is_tried_again(here: Lab, command: str, reason: str) -> None:
    here.environ["MY_TOKEN"] = SECRET
    here.rules(
        f'[[derive]]\nname = "bad"\nexperiment = "train"\ninputs = ["words.txt"]\nversion = "1"\ntimeout = "1s"\n'
        f"command = ['sh', '-c', '{command}']\n"
    )
    here.publish("a", 1)
    (failed,) = here.derive(code=3)
    assert failed["state"] == "failed"
    assert reason in failed["reason"]
    assert SECRET not in failed["reason"]
    assert here.derive("--due") == []
    (noted,) = [json.loads(line) for line in here("derive", "--failed", "--json").stdout.splitlines()]
    assert (noted["tries"], noted["reason"]) == (1, failed["reason"])
    here.derive(code=3)
    assert json.loads(here("derive", "--failed", "--json").stdout)["tries"] == 2
    assert not list((here.library.room / ".sealrun/scratch").iterdir())
    assert "train.bad" not in here("ls").stdout


def test_what_was_retired_is_computed_again_by_command_only(here: Lab) -> None:
    here.rules(COUNT)
    here.publish("a", 1)
    here.publish("a b", 2)
    assert states(here.derive()) == ["made", "made"]
    older = json.loads(here("ls", "train.count", "--json").stdout.splitlines()[0])["run_id"]
    done = here("retire", f"train.count/{older}", "--why", "a test")
    assert done.returncode == 0, done.stderr
    assert sorted(states(here.derive("-n"))) == ["fresh", "retired"]
    assert states(here.derive("--due")) == ["reused"]
    assert sorted(states(here.derive())) == ["made", "reused"]
    assert states(here.derive("-n")) == ["fresh", "fresh"]


@contextmanager
def a_daemon(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    daemon = subprocess.Popen(
        [sys.executable, "-m", "sealrun", "--config", str(lab.settings), "daemon"],
        env=lab.environ,
        cwd=lab.library.room,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield daemon
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) in {0, -signal.SIGTERM}


def eventually(holds: Callable[[], object], patience_s: float = 90.0) -> None:
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, "did not come true"
        time.sleep(0.2)


def test_the_daemon_computes_what_is_missing_by_itself(here: Lab) -> None:
    here.rules(COUNT)
    here.publish("a b", 1)
    with a_daemon(here):
        eventually(lambda: states(here.derive("-n")) == ["fresh"])
        here.publish("a b c", 2)
        eventually(lambda: states(here.derive("-n")) == ["fresh", "fresh"])
    assert here.times() == 2


def test_the_daemon_says_what_failed_and_goes_on(here: Lab) -> None:
    bad = COUNT.replace('name = "count"', 'name = "bad"').replace(json.dumps(_SCRIPT), '"echo oh no; exit 3"')
    here.rules(bad + COUNT)
    here.publish("a b", 1)
    with a_daemon(here):
        eventually(lambda: states(here.derive("-n", "count")) == ["fresh"])
        eventually(lambda: "derive.failed" in here("status", "--json").stdout)
    assert states(here.derive("-n", "bad")) == ["failed"]


def test_a_daemon_that_is_stopped_ends_the_command_and_leaves_nothing(here: Lab) -> None:
    here.rules(COUNT.replace("echo ran >> $RAN;", "echo ran >> $RAN; sleep 300;"))
    here.publish("a b", 1)
    with a_daemon(here):
        eventually(lambda: here.times() == 1)
    assert not subprocess.run(
        ["pgrep", "-f", f"sleep 300.*{here.library.room}"], check=False, capture_output=True
    ).stdout
    assert not list((here.library.room / ".sealrun/scratch").iterdir())
    assert states(here.derive("-n")) == ["missing"]


def parsl() -> Config:
    """Parsl as somebody configures it."""
    return Config(executors=[ParslThreads(max_threads=2)], run_dir=str(Path.cwd() / "parsl"))


ENGINES = ["threads", "processes", "dask", "parsl", "parsl:tests.e2e.test_deriving:parsl"]


@pytest.mark.parametrize("engine", ENGINES)
def test_commands_run_on_any_engine_with_the_same_results(here: Lab, engine: str) -> None:
    here.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    here.rules(COUNT)
    for number in range(1, 6):
        here.publish("a " * number, number)
    if engine == "processes":  # the settings may say it as well
        here.settings.write_text(f'engine = "{engine}"\n{here.settings.read_text()}')
        outcomes = here.derive()
    else:
        outcomes = here.derive("--engine", engine)
    assert states(outcomes) == ["made"] * 5
    counted = [json.loads(here.read(f"{outcome['ref']}:count.json"))["words"] for outcome in outcomes]
    assert counted == [1, 2, 3, 4, 5]
    assert here.times() == 5
