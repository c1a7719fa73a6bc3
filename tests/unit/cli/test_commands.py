"""The command line as a program: exit codes, streams, help, and what starting it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sealrun.cli import exits
from sealrun.cli.main import root, run
from sealrun.domain import errors

HEAVY = ("fsspec", "s3fs", "aiobotocore", "botocore", "watchdog", "apscheduler", "sqlite3", "pathspec", "asyncio")


SLOW = (
    "pydantic",
    "structlog",
    "concurrent",
    "zipfile",
    "ssl",
    "socket",
    "http",
    "email",
    "multiprocessing",
    "tomllib",
)
"""Beyond these, what no listing of commands needs."""


def sealrun(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the program with nothing of our own environment but what Python needs."""
    return subprocess.run(
        [sys.executable, "-m", "sealrun", *arguments],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONPATH": ":".join(sys.path), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from every_command(child, (*path, name))


COMMANDS = list(every_command(root))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_ends_with_one_example_that_can_be_copied(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(root, [*path, "--help"])
    assert done.exit_code == 0
    last = done.output.rstrip().splitlines()[-1].strip()
    assert last.startswith("Example: ")
    assert "sealrun" in last
    assert " ".join(path) in last


@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_every_command_that_does_something_takes_the_global_options(path: tuple[str, ...]) -> None:
    command: click.Command | None = root
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    if isinstance(command, click.Group):
        return
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--config", "--verbose", "--quiet", "--json"} <= options


def test_the_listing_of_commands_names_each_of_them() -> None:
    text = CliRunner().invoke(root, ["--help"]).output
    assert [name for name in root.list_commands(click.Context(root)) if f"\n  {name} " not in text] == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ls", "--help"], ["config", "schema"]])
def test_small_questions_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom sealrun.cli.main import run\n"
        f"assert run({arguments!r}) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert done.stderr.strip() == "[]"


def imported_by(code: str) -> set[str]:
    """Top-level names of the modules that `code` imports, in an interpreter of its own."""
    code = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return {name.split(".")[0] for name in done.stderr.split()}


def test_the_package_itself_imports_nothing() -> None:
    assert imported_by("import sealrun") == {"sealrun"}


def test_the_listing_of_commands_imports_no_more_than_it_prints_with() -> None:
    code = "from sealrun.cli.main import run\nassert run(['--help']) == 0"
    assert imported_by(code) & {*HEAVY, *SLOW} == set()
    code += "\nassert [name for name in sys.modules if name.startswith('sealrun.') and name.split('.')[1] in "
    code += "{'services', 'adapters', 'bootstrap', 'settings'}] == []"
    assert "sealrun" in imported_by(code)


@pytest.mark.parametrize(("command", "often"), [("ls", False), ("daemon", True)])
def test_only_a_daemon_looks_for_cycles_as_often_as_python_does(command: str, tmp_path: Path, *, often: bool) -> None:
    code = (
        "import gc, sys\nfrom sealrun.cli.main import main\nusual = gc.get_threshold()\n"
        f"sys.argv = ['sealrun', {command!r}, '--config', {str(tmp_path / 'missing.toml')!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    print(end.code, gc.get_threshold() == usual, gc.get_freeze_count() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(exits.CONFIGURATION), str(often), "True"]


CODES = {
    errors.SealrunError: 1,
    errors.UsageError: 2,
    errors.RunChangedError: 1,
    errors.RunRejectedError: 1,
    errors.ConflictError: 1,
    errors.NotFoundError: 1,
    errors.UnsafeStoreError: 1,
    errors.NoSpaceError: 1,
    errors.UnavailableError: 5,
    errors.OutcomeUnknownError: 5,
    errors.NoRegistryError: 10,
    errors.RetiredError: 1,
    errors.HeldError: 11,
    errors.BuildFailedError: 1,
    errors.CollectionRefusedError: 1,
    errors.RequirementError: 20,
    errors.AccessDeniedError: 12,
    errors.IntegrityError: 20,
    errors.DigestMismatchError: 20,
    errors.UnsupportedFormatError: 20,
    errors.StorageError: 1,
    errors.ConfigurationError: 78,
}


def test_every_error_has_the_exit_code_that_is_documented() -> None:
    assert {getattr(errors, name) for name in errors.__all__} == set(CODES)
    assert {kind: exits.exit_code(kind("x")) for kind in CODES} == CODES


def failing_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Have every command that needs its settings end with `error`."""

    def fail(*_: object) -> object:
        raise error

    monkeypatch.setattr("sealrun.settings.load_settings", fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.HeldError("held"), 11),
        (errors.UnavailableError("down"), 5),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 1),
        (ZeroDivisionError("our own mistake"), 1),
    ],
)
def test_whatever_a_command_raises_becomes_an_exit_code_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    failing_with(monkeypatch, error)
    assert run(["config", "show"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert not str(error) or str(error) in shown.err


@pytest.mark.parametrize("flags", [["-vv"], ["-v", "-v"]])
def test_a_traceback_is_shown_to_who_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    failing_with(monkeypatch, errors.HeldError("held"))
    assert run(["config", "show", *flags]) == 11
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--json", "config", "show"], ["config", "show", "--json"]])
def test_with_json_an_error_is_one_object_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    failing_with(monkeypatch, errors.HeldError("held by 7"))
    assert run(arguments) == 11
    assert json.loads(capsys.readouterr().err) == {
        "error": {"class": "HeldError", "message": "held by 7", "exit_code": 11}
    }


@pytest.mark.parametrize("arguments", [["nonsense"], ["ls", "--nonsense"], ["get"], ["verify"], ["completion", "cmd"]])
def test_wrong_usage_is_answered_with_2_on_stderr(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Usage: sealrun" in shown.err
    assert run([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["exit_code"] == 2


def test_config_stands_before_or_after_the_command(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("version = 1\n")
    for arguments in (("-c", "my.toml", "config", "validate"), ("config", "validate", "--config", "my.toml")):
        done = sealrun(*arguments, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"file": str(tmp_path / "my.toml"), "valid": True, "warnings": []}


def test_wrong_settings_are_answered_with_78_and_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "sealrun.toml").write_text("version = 1\nnonsense = 1\n")
    done = sealrun("config", "validate", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"sealrun: {tmp_path}/sealrun.toml: unknown setting 'nonsense'")


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m sealrun config schema | true"
    done = subprocess.run(  # noqa: S602 - a pipe is the point
        command,
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_back_the_program(shell: str) -> None:
    done = CliRunner().invoke(root, ["completion", shell])
    assert done.exit_code == 0
    assert "_SEALRUN_COMPLETE" in done.output


def test_completion_offers_commands_and_their_options(tmp_path: Path) -> None:
    done = sealrun(cwd=tmp_path, _SEALRUN_COMPLETE="bash_complete", COMP_WORDS="sealrun po", COMP_CWORD="1")
    assert "pointer" in done.stdout
    done = sealrun(cwd=tmp_path, _SEALRUN_COMPLETE="bash_complete", COMP_WORDS="sealrun ls --js", COMP_CWORD="2")
    assert "--json" in done.stdout


def written(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "sealrun.toml").read_text())


def test_init_writes_the_embedded_default_which_is_valid_at_once(tmp_path: Path) -> None:
    done = sealrun("init", "place", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["registries"]) == ["main"]
    assert (tmp_path / "place" / "outbox").is_dir()
    assert (tmp_path / "place" / "registry" / "registry.json").is_file()
    settings = written(tmp_path / "place")
    assert settings["registry"] == {"main": {"url": "registry"}}
    assert settings["watch"][0]["path"] == "outbox"
    assert sealrun("config", "validate", cwd=tmp_path / "place").returncode == 0


def test_init_takes_what_it_is_told_and_odd_names_survive(tmp_path: Path) -> None:
    watch = tmp_path / 'out "puts" $HOME ü'
    other = tmp_path / "other registry"
    done = sealrun(
        "init", "place", "--watch", str(watch), "--registry", str(tmp_path / "r"), "--registry", str(other),
        "--experiment", "mine", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert watch.is_dir()
    assert (other / "registry.json").is_file()
    shown = json.loads(sealrun("config", "show", "--json", cwd=tmp_path / "place").stdout)
    assert [registry["url"] for registry in shown["registry"].values()] == [str(tmp_path / "r"), str(other)]
    assert (shown["watch"][0]["path"], shown["watch"][0]["experiment"]) == (str(watch), "mine")


def test_init_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "sealrun.toml").write_text("# mine\n")
    done = sealrun("init", ".", cwd=tmp_path)
    assert done.returncode == 78
    assert "sealrun.toml" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sealrun.toml"]
    assert (tmp_path / "sealrun.toml").read_text() == "# mine\n"


def test_the_main_verbs_work_together_and_print_what_programs_expect(tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    (run_folder / "sub").mkdir(parents=True)
    (run_folder / "a b.txt").write_text("hello\n")
    (run_folder / "sub" / "x").write_bytes(b"\x00\xff")
    assert sealrun("init", "place", cwd=tmp_path).returncode == 0
    place = tmp_path / "place"

    done = sealrun("publish", "../run", "--experiment", "e", "--tag", "t", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["ref"] == f"e/{said['run_id']}"
    assert set(said["registries"]) == {"main"}

    (row,) = [json.loads(line) for line in sealrun("ls", "e", "--json", cwd=place).stdout.splitlines()]
    assert (row["run_id"], row["root_sha256"]) == (said["run_id"], said["root_sha256"])
    assert sealrun("ls", "nothing-there", "--error-on-nothing", cwd=place).returncode == 4
    assert sealrun("cat", "e@latest:a b.txt", cwd=place).stdout == "hello\n"

    assert sealrun("get", said["ref"], "back", cwd=place).returncode == 0
    assert subprocess.run(["diff", "-r", "back", "../run"], cwd=place, check=False).returncode == 0
    assert sealrun("get", "--sealed", said["ref"], "whole", cwd=place).returncode == 0
    assert (
        subprocess.run(["sha256sum", "--quiet", "-c", "MANIFEST.sha256"], cwd=place / "whole", check=False).returncode
        == 0
    )

    assert sealrun("verify", "--all", cwd=place).returncode == 0
    (damaged,) = [
        path for path in (place / "registry" / "store").rglob("*") if path.is_file() and path.stat().st_size == 6
    ]
    damaged.unlink()
    damaged.write_bytes(b"HELLO\n")
    assert sealrun("verify", said["ref"], cwd=place).returncode == 20
    (tmp_path / "empty").mkdir()
    assert sealrun("ls", "e", "--registry", str(tmp_path / "empty"), cwd=place).returncode == 10
    assert sealrun("ls", "e", "--registry", str(tmp_path / "not-mounted"), cwd=place).returncode == 5


def test_a_dry_run_moves_no_pointer_and_a_rollback_adds_a_generation(tmp_path: Path) -> None:
    assert sealrun("init", "place", cwd=tmp_path).returncode == 0
    place = tmp_path / "place"
    refs = []
    for number in range(2):
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "a").write_text(str(number))
        done = sealrun("publish", f"../run{number}", "--experiment", "e", "--json", cwd=place)
        refs.append(json.loads(done.stdout)["ref"])

    dry = sealrun("pointer", "set", "e", "active", refs[0], "--dry-run", "--json", cwd=place)
    assert json.loads(dry.stdout)["changes"] is True
    assert sealrun("pointer", "get", "e", "active", cwd=place).returncode == 1

    for ref in refs:
        assert sealrun("promote", ref, "active", "-m", "because", cwd=place).returncode == 0
    assert sealrun("pointer", "get", "e", "active", cwd=place).stdout.strip() == refs[1]
    assert sealrun("pointer", "rollback", "e", "active", cwd=place).returncode == 0
    assert sealrun("pointer", "get", "e", "active", cwd=place).stdout.strip() == refs[0]
    lines = sealrun("pointer", "history", "e", "active", "--json", cwd=place).stdout.splitlines()
    assert [json.loads(line)["generation"] for line in lines] == [3, 2, 1]
    assert sealrun("pointer", "set", "e", "latest", refs[0], cwd=place).returncode == 2


@pytest.mark.parametrize("command", ["status", "alarms", "doctor"])
def test_without_settings_nobody_takes_silence_for_a_daemon_that_is_well(command: str, tmp_path: Path) -> None:
    answer = sealrun(command, cwd=tmp_path, HOME=str(tmp_path))
    assert "no settings were found" in answer.stderr
    assert "--config FILE" in answer.stderr
    assert "no settings" not in sealrun(command, cwd=tmp_path, SEALRUN_STORE="registry").stderr


def test_a_daemon_without_settings_does_not_start(tmp_path: Path) -> None:
    answer = sealrun("daemon", cwd=tmp_path, HOME=str(tmp_path))
    assert answer.returncode == exits.CONFIGURATION
    assert "sealrun init" in answer.stderr
    assert not (tmp_path / ".sealrun").exists()
