"""Which registries a watch publishes to, and what the settings never say aloud."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.settings import Settings, load_settings
from sealrun.settings.schema import json_schema

REGISTRY = 'version = 1\n[registry.main]\nurl = "registry"\n'
WATCH = '[[watch]]\npath = "outputs"\n'


def settings_of(folder: Path, text: str, **environ: str) -> Settings:
    file = folder / "sealrun.toml"
    file.write_text(text)
    return load_settings(file, environ, folder)


def test_a_watch_that_would_publish_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[\[watch\]\] 'outputs': registries: names none"):
        settings_of(tmp_path, REGISTRY + WATCH + "registries = []\n")


def test_a_registry_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, REGISTRY + WATCH + 'registries = ["main", "main"]\n')
    assert settings.watches[0].registries == ("main",)


def test_no_text_form_of_the_settings_tells_a_secret_however_it_was_written(tmp_path: Path) -> None:
    options = 'storage_options = { secret = "${S3_SECRET}", token = "hunter2" }\n'
    (tmp_path / "sealrun.toml").write_text(
        f'version = 1\n[registry.main]\nurl = "s3://me:hunter2@bucket/prefix"\n{options}'
    )
    settings = load_settings(None, {"S3_SECRET": "hunter2"}, tmp_path)
    registry = settings.registries["main"]
    assert registry.revealed_options() == {"secret": "hunter2", "token": "hunter2"}
    assert "hunter2" not in f"{settings!r} {settings} {registry!r} {settings.shown()} {[registry]}"
    assert "main" in repr(registry)


def test_a_schema_accepts_every_key_that_the_examples_use() -> None:

    schema = json_schema()
    tables = schema["$defs"]
    for file in (Path(__file__).parents[3] / "config").glob("*.toml"):
        written = tomllib.loads(file.read_text())
        assert set(written) <= set(tables["SettingsFile"]["properties"])
        for registry in written["registry"].values():
            assert set(registry) <= set(tables["RegistryTable"]["properties"])
        for watch in written["watch"]:
            assert set(watch) <= set(tables["WatchTable"]["properties"])
            assert set(tables["WatchTable"]["required"]) <= set(watch)
