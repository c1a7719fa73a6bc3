"""What is planned for folders on disk: recorded runs at their usual places, and settings that take them."""

from __future__ import annotations

import re
import socket
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builders.frameworks import laid_out
from tests.docs.test_frameworks import NO_RUNS, PLACES

from sealrun.adapters.run_folders.glancing import list_names
from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.bootstrap.proposing import Plan, free_listen, plan_watches
from sealrun.settings import load_settings
from sealrun.settings.composing import RegistryLines, WatchLines, compose

_USUAL = {"hydra": "outputs", "lightning": "lightning_logs", "mlflow": "mlruns", "wandb": "wandb"}


def text_of(plan: Plan) -> str:
    registry = RegistryLines(url="/srv/registry")
    return compose([registry], [planned.lines for planned in plan.watches], plan.notes, "127.0.0.1:9478")


@pytest.mark.parametrize("preset", sorted(PLACES))
def test_recorded_runs_are_found_and_the_settings_take_them_and_nothing_else(preset: str, tmp_path: Path) -> None:
    root = tmp_path / _USUAL.get(preset, "things")
    for place, name in PLACES[preset]:
        laid_out(name, root / place)
    for place in NO_RUNS.get(preset, ()):
        (root / place).mkdir(parents=True)
        (root / place / "file").write_text("x")
    plan = plan_watches(tmp_path, None, "outbox", "mine")
    (tmp_path / "sealrun.toml").write_text(text_of(plan))
    (watch,) = load_settings(tmp_path / "sealrun.toml", {}, tmp_path).watches
    assert (watch.path, watch.preset, watch.experiment) == (str(root), preset, "mine")
    taken = LocalFolderSource(watch, NoHashes()).candidates() or ()
    assert set(taken) == {str(root / place) for place, _ in PLACES[preset]}
    assert plan.watches[0].there == len(taken)


def test_where_nothing_is_recognised_an_outbox_is_planned(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (planned,) = plan_watches(tmp_path, None, "outbox", None).watches
    assert (planned.lines.path, planned.lines.experiment, planned.there) == ("outbox", "outbox", 0)


def test_folders_that_are_there_already_are_counted_and_named_in_the_settings(tmp_path: Path) -> None:
    for name in ("a", "b", ".hidden"):
        (tmp_path / "out" / name).mkdir(parents=True)
    plan = plan_watches(tmp_path, tmp_path / "out", "out", None)
    assert plan.watches[0].there == 2
    assert "were there when this was written: 2" in text_of(plan)


def test_every_example_in_the_settings_is_valid_once_its_mark_is_gone(tmp_path: Path) -> None:
    plan = plan_watches(tmp_path, None, "outbox", None)
    lines = [planned.lines for planned in plan.watches]
    written = compose([RegistryLines(url="s3://bucket/x")], lines, plan.notes, "127.0.0.1:9478")
    text = re.sub(r"(?m)^#(?=[\w\[])", "", written)
    (tmp_path / "sealrun.toml").write_text(text)
    found = load_settings(tmp_path / "sealrun.toml", {}, tmp_path)
    assert found.keeping.retention
    assert found.targets
    assert found.http is not None
    assert found.watches[0].reclaim is not None


@given(st.text(), st.text(), st.lists(st.text(), max_size=2))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_folders_are_called_the_settings_are_valid_and_say_so(path: str, url: str, notes: list[str]) -> None:
    watch = WatchLines(name="w", path=path, experiment="e", glob=path or "*", remarks=tuple(notes), exclude=(path,))
    options = {"endpoint_url": url, "profile": path}
    text = compose(
        [RegistryLines(url="s3://b", options=options), RegistryLines(url=url)], [watch], notes, "[::1]:1", path
    )
    said = tomllib.loads(text.encode("utf-8", "replace").decode())
    if text.isascii() or text.encode("utf-8", "replace").decode() == text:
        assert said["watch"][0]["path"].replace("$$", "$") == path
        assert said["registry"]["registry2"]["url"].replace("$$", "$") == url
        assert said["registry"]["main"]["storage_options"]["profile"].replace("$$", "$") == path
    assert set(said) == {"version", "state", "registry", "watch", "http"}


def test_a_glance_is_bounded_and_enters_no_registry_and_no_environment(tmp_path: Path) -> None:
    for path in ("venv/lib", "registry/store", "a/.git/x", "a/.hydra/deep/er", "a/b/c"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "registry/registry.json").write_text("{}")
    (tmp_path / "a/link").symlink_to("/")
    assert set(list_names(str(tmp_path))) == {
        "venv/", "registry/", "a/", "a/.git/", "a/.hydra/", "a/.hydra/deep/", "a/b/", "a/b/c/",
    }  # fmt: skip
    for number in range(100):
        (tmp_path / "a" / str(number)).mkdir()
    assert len(list_names(str(tmp_path), most=10)) == 10
    assert list_names(str(tmp_path / "nowhere")) == []


def test_a_port_that_is_taken_is_not_proposed() -> None:
    first = free_listen()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(first.rpartition(":")[2])))
        taken.listen(1)
        assert free_listen() != first
