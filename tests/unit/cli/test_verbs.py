"""Each verb on a small registry: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.builders.commands import go_to

from sealrun.adapters.machine.locking import hold
from sealrun.cli.main import run

BINARY = bytes(range(256))


class Answer(msgspec.Struct):
    """What one command did."""

    code: int
    out: bytes
    err: str

    def json(self) -> Any:  # noqa: ANN401 - whatever was printed
        return json.loads(self.out)


class Place:
    """A folder made by ``sealrun init``, in which commands are run by the entry point itself."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        self.folder = folder
        self._capture = capture

    def __call__(self, *arguments: str) -> Answer:
        self._capture.readouterr()
        code = run(list(arguments))
        out, err = self._capture.readouterr()
        return Answer(code, out, err.decode())

    def drop(self, name: str, **files: bytes) -> str:
        folder = self.folder / name
        folder.mkdir()
        for path, body in files.items():
            (folder / path).write_bytes(body)
        return name

    def publish(self, path: str, *options: str) -> dict[str, Any]:
        answer = self("publish", path, "--experiment", "e", "--json", *options)
        assert answer.code == 0, answer.err
        said: dict[str, Any] = answer.json()
        return said

    def objects(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (self.folder / "registry").rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Place:
    go_to(tmp_path, monkeypatch)
    made = Place(tmp_path, capsysbinary)
    assert made("init", ".").code == 0
    return made


def test_publish_tells_programs_what_they_need(place: Place) -> None:
    said = place.publish(place.drop("r", a=b"1"))
    assert {"ref", "run_id", "root_sha256", "registries"} <= set(said)
    assert said["registries"]["main"]["uploaded_objects"] == 1


def test_a_file_is_published_by_itself_and_found_by_its_name(place: Place) -> None:
    (place.folder / "plot.bin").write_bytes(BINARY)
    place.publish("plot.bin")
    assert place("cat", "plot.bin").out == BINARY
    assert place("get", "plot.bin", "copy.bin").code == 0
    assert (place.folder / "copy.bin").read_bytes() == BINARY
    (place.folder / "into").mkdir()
    assert place("get", "plot.bin", "into").code == 0
    assert (place.folder / "into" / "plot.bin").read_bytes() == BINARY


def test_files_are_also_found_by_the_names_they_are_given(place: Place) -> None:
    ref = place.publish(place.drop("r", a=BINARY), "--name", "a=result.bin")["ref"]
    assert place("cat", "result.bin").out == place("cat", f"{ref}:a").out == BINARY
    assert place("publish", "r", "--experiment", "e", "--name", "a").code == 2


def test_nothing_that_exists_is_overwritten_by_get(place: Place) -> None:
    ref = place.publish(place.drop("r", a=b"1"))["ref"]
    place.drop("there", mine=b"mine")
    (place.folder / "file").write_bytes(b"mine")
    assert place("get", ref, "there").code != 0
    assert place("get", f"{ref}:a", "file").code != 0
    assert [path.name for path in (place.folder / "there").iterdir()] == ["mine"]
    assert (place.folder / "file").read_bytes() == b"mine"


def test_what_is_got_sealed_is_checked_by_stock_tools(place: Place) -> None:
    ref = place.publish(place.drop("r", a=b"1", b=b""))["ref"]
    assert place("get", ref, "whole", "--sealed").code == 0
    subprocess.run(["sha256sum", "--quiet", "-c", "MANIFEST.sha256"], cwd=place.folder / "whole", check=True)
    assert place("get", f"{ref}:a", "more", "--sealed").code == 2


def test_resolve_prints_a_path_that_exists(place: Place) -> None:
    ref = place.publish(place.drop("r", a=b"1"))["ref"]
    path = Path(place("resolve", f"{ref}:a").out.decode().strip())
    assert path.read_bytes() == b"1"
    said = place("resolve", "e@latest", "--json").json()
    assert (said["ref"], said["sha256"]) == (ref, None)


def test_show_lists_every_file_and_escapes_what_could_steer_a_terminal(place: Place) -> None:
    ref = place.publish(place.drop("r", **{"a\x1b[2Jb\nc": b"1"}))["ref"]
    shown = place("show", ref).out.decode()
    assert "a\\x1b[2Jb\\nc" in shown
    assert "\x1b" not in shown
    assert place("show", ref, "--json").json()["files"][0]["path"] == "a\x1b[2Jb\nc"


def test_error_messages_cannot_steer_a_terminal_either(place: Place) -> None:
    answer = place("show", "e/\x1b[2Jx")
    assert answer.code != 0
    assert "\x1b" not in answer.err


@pytest.mark.parametrize("ref", ["e/nothing", "e@nothing", "nothing.csv", "nobody@latest"])
def test_what_is_not_there_is_said(place: Place, ref: str) -> None:
    place.publish(place.drop("r", a=b"1"))
    for verb in ("show", "cat", "resolve", "verify"):
        answer = place(verb, ref, "--json")
        assert (answer.code, answer.out) == (1, b"")
        assert json.loads(answer.err)["error"]["class"] == "NotFoundError"


def test_verify_finds_no_damage_and_then_the_damage(place: Place) -> None:
    ref = place.publish(place.drop("r", a=BINARY))["ref"]
    assert place("verify", "--all").code == place("verify", "--experiment", "e").code == place("verify", ref).code == 0
    for path in (place.folder / "registry" / "store").rglob("*"):
        if path.is_file() and path.read_bytes() == BINARY:
            path.unlink()
            path.write_bytes(BINARY[::-1])
    assert place("verify", ref, "--no-bytes").code == 0
    answer = place("verify", "--all", "--json")
    assert answer.code == 20
    assert answer.json()["damages"][0]["path"] == "a"
    assert place("cat", f"{ref}:a").code == 20


def test_an_experiment_that_is_not_there_is_never_called_undamaged(place: Place) -> None:
    place.publish(place.drop("r", a=b"1"))
    answer = place("verify", "--experiment", "f")
    assert (answer.code, answer.out) == (1, b"")
    assert "no experiment 'f'" in answer.err


@pytest.mark.parametrize("verb", [["set", "e", "active", "e@latest"], ["rollback", "e", "active"]])
def test_a_dry_run_writes_nothing_at_all(place: Place, verb: list[str]) -> None:
    refs = [place.publish(place.drop(name, a=name.encode()))["ref"] for name in ("r1", "r2")]
    for ref in (refs[1], refs[0]):
        assert place("promote", ref, "active").code == 0
    before = place.objects()
    answer = place("pointer", *verb, "--dry-run")
    assert (answer.code, b"would move" in answer.out) == (0, True), answer
    assert place("promote", refs[1], "active", "-n").code == 0
    assert place.objects() == before


def test_latest_moves_by_itself_only(place: Place) -> None:
    ref = place.publish(place.drop("r", a=b"1"))["ref"]
    for command in (["pointer", "set", "e", "latest", ref], ["promote", ref, "latest"]):
        answer = place(*command)
        assert answer.code == 2
        assert "latest" in answer.err


def test_publish_names_the_registry_that_failed_and_the_others_have_the_run(place: Place) -> None:
    with (place.folder / "sealrun.toml").open("a") as file:
        file.write('[registry.gone]\nurl = "gone"\ncreate = false\n')
    (place.folder / "gone").mkdir()
    place.drop("r", a=b"1")
    answer = place("publish", "r", "--experiment", "e", "--json")
    assert answer.code == 3
    assert "error" in answer.json()["registries"]["gone"]
    assert json.loads(answer.err)["error"]["registry"] == "gone"
    assert place("ls", "e", "--error-on-nothing").code == 0
    assert place("publish", "r", "--experiment", "e", "--registry", "main").code == 0
    assert place("publish", "r", "--experiment", "e", "--registry", "mian").code == 2


def test_scan_says_what_it_did_and_what_waits(place: Place) -> None:
    assert place("scan", "--once", "--error-on-nothing").code == 4
    place.drop("outbox/done", a=b"1", _SUCCESS=b"")
    place.drop("outbox/writing", **{"x.part": b"1"})
    said = place("scan", "--once", "--json").json()
    assert [run["registries"]["main"]["new"] for run in said["published"]] == [True]
    assert [Path(path).name for path in said["waiting"]] == ["writing"]
    assert place("scan").code == 2


def test_detect_seal_and_status_touch_nothing(place: Place) -> None:
    place.drop("outbox/r", a=b"1", _SUCCESS=b"")
    assert place("detect", "outbox/r", "--json").json()["complete"] is True
    said = place("seal", "outbox/r", "--experiment", "e", "--json", "-o", "records").json()
    records = sorted(path.name for path in (place.folder / "records").iterdir())
    assert records == ["MANIFEST.sha256", "manifest.json", "run.json"]
    assert len(said["root_sha256"]) == 64
    assert place("seal", "outbox/r", "--experiment", "e", "-o", "records").code == 2
    assert place("status", "--json").code == place("status").code == 0
    assert sorted(path.name for path in (place.folder / "outbox" / "r").iterdir()) == ["_SUCCESS", "a"]
    assert place("ls", "--error-on-nothing").code == 4


def test_a_second_daemon_on_one_state_folder_is_told_so(place: Place) -> None:
    with hold(place.folder / ".sealrun"):
        answer = place("daemon", "--json")
    assert answer.code == 11
    assert str(os.getpid()) in answer.err


def test_doctor_finds_all_well_and_then_what_is_not(place: Place) -> None:
    place.publish(place.drop("r", a=b"1"))
    findings = place("doctor", "--json", "--retry").json()["findings"]
    assert {finding["level"] for finding in findings} <= {"ok", "note"}
    shutil.rmtree(place.folder / "registry")
    (place.folder / "registry").mkdir()
    answer = place("doctor")
    assert answer.code == 1
    assert "there was one before" in answer.out.decode()
    assert list((place.folder / "registry").iterdir()) == []
    assert place("doctor", "--forget-registry", "main").code == 0
    assert place("doctor", "--forget-registry", "mian").code == 2


def test_wrong_toml_names_the_file_and_the_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "bad.toml").write_text("version = 1\n[registry.main\n")
    monkeypatch.setenv("SEALRUN_CONFIG", "bad.toml")
    answer = place("--json", "ls")
    assert answer.code == 78
    assert "bad.toml:2: " in json.loads(answer.err)["error"]["message"]


@pytest.mark.parametrize("name", ["\x7f", 'a\'b $HOME "c"', "tab\there"])
def test_init_writes_odd_names_so_that_they_are_read_back(place: Place, name: str) -> None:
    answer = place("init", f"new {name}", "--watch", f"runs {name}")
    assert answer.code == 0, answer.err
    shown = place("config", "show", "--json", "-c", f"new {name}/sealrun.toml").json()
    assert shown["watch"][0]["path"] == str(place.folder / f"runs {name}")


def test_init_with_a_name_that_settings_cannot_hold_leaves_nothing_behind(place: Place) -> None:
    answer = place("init", "new", "--watch", "runs \udcff")
    assert answer.code == 2
    assert "not UTF-8" in answer.err
    assert not (place.folder / "new").exists()


def test_an_interrupt_ends_a_command_with_130(place: Place) -> None:
    fifo = place.folder / "never"
    os.mkfifo(fifo)
    with (place.folder / "sealrun.toml").open("a") as file:
        file.write('[registry.other]\nurl = "s3://bucket"\nstorage_options = { secret = { file = "never" } }\n')
    with (
        subprocess.Popen(
            [sys.executable, "-m", "sealrun", "config", "show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
        fifo.open("wb"),
    ):  # opens when the command reads its secret, for which it then waits
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
