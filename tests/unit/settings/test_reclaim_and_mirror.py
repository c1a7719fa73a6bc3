"""The settings that delete sources and fill mirrors."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.domain.watches.watch import ReclaimRule
from sealrun.settings import Settings, load_settings

HEAD = 'version = 1\n[registry.main]\nurl = "registry"\n[registry.cloud]\nurl = "s3://bucket/prefix"\n'
WATCH = '[[watch]]\nname = "training"\npath = "outputs"\n'


def settings_of(folder: Path, text: str) -> Settings:
    file = folder / "sealrun.toml"
    file.write_text(text)
    return load_settings(file, {}, Path("/"))


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(folder, text)
    return str(caught.value)


def test_a_watch_reclaims_only_if_it_says_so(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, HEAD + WATCH + 'reclaim = { after = "14d", copies = 2 }\n')
    assert settings.watches[0].reclaim == ReclaimRule(after_s=14 * 86400.0, copies=2)
    assert settings.warnings == ()
    assert settings_of(tmp_path, HEAD + WATCH).watches[0].reclaim is None
    assert settings_of(tmp_path, HEAD + WATCH + 'reclaim = { after = "0s" }\n').watches[0].reclaim == ReclaimRule(
        after_s=0.0, copies=1
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('reclaim = { after = "soon" }\n', "reclaim.after"),
        ("reclaim = { copies = 2 }\n", "after"),
        ('reclaim = { after = "1d", copies = 0 }\n', "copies"),
        ('reclaim = { after = "1d", copies = 3 }\n', "the watch publishes to 2 different registries"),
        ('registries = ["main"]\nreclaim = { after = "1d", copies = 2 }\n', "1 different registries"),
    ],
)
def test_a_reclaim_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, why: str) -> None:
    assert why in refusal(tmp_path, HEAD + WATCH + text)


def test_two_names_of_one_place_are_one_copy(tmp_path: Path) -> None:
    text = HEAD + f'[registry.again]\nurl = "{tmp_path}/registry/"\n' + WATCH
    text += 'registries = ["main", "again"]\nreclaim = { after = "1d", copies = 2 }\n'
    assert "1 different registries" in refusal(tmp_path, text)


def test_a_mirror_is_of_the_first_registry_and_keeps_everything_by_default(tmp_path: Path) -> None:
    (mirror,) = settings_of(tmp_path, HEAD + '[mirror.browse]\npath = "browse"\n').mirrors
    assert (mirror.name, mirror.path, mirror.registry) == ("browse", str(tmp_path / "browse"), "main")
    assert mirror.keeps_all
    assert (mirror.experiments, mirror.interval_s) == ((), 300.0)


def test_everything_of_a_mirror_can_be_said(tmp_path: Path) -> None:
    text = '[mirror.b]\npath = "file:///srv/b"\nregistry = "cloud"\nexperiments = ["e", "f"]\n'
    text += 'keep_last = 3\nkeep_within = "2d"\ninterval = "1h"\n'
    settings = settings_of(tmp_path, HEAD + text)
    (mirror,) = settings.mirrors
    assert (mirror.path, mirror.registry, mirror.experiments) == ("/srv/b", "cloud", ("e", "f"))
    assert (mirror.keep_last, mirror.keep_within_s, mirror.interval_s) == (3, 2 * 86400.0, 3600.0)
    assert settings.shown()["mirror"][0]["path"] == "/srv/b"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('path = "s3://bucket/browse"\n', "no such rename"),
        ('path = ""\n', "is empty"),
        ('path = "b"\nregistry = "nowhere"\n', "there is no [registry.nowhere]"),
        ('path = "b"\nkeep_last = 0\n', "keep_last"),
        ('path = "b"\nkeep_within = "x"\n', "keep_within"),
        ('path = "b"\ninterval = "0s"\n', "shorter than a second"),
        ('path = "b"\nexperiments = ["a/b"]\n', "experiments"),
        ('path = "registry"\n', "lie inside each other"),
        ('path = "registry/inside"\n', "lie inside each other"),
        ('path = ".sealrun"\n', "lie inside each other"),
        ('path = "outputs/browse"\n', "lie inside each other"),
        ('path = "b"\n[mirror.second]\npath = "b/c"\n', "lie inside each other"),
        ('path = "b"\nkeep_lst = 1\n', "did you mean 'keep_last'?"),
    ],
)
def test_a_mirror_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, why: str) -> None:
    assert why in refusal(tmp_path, HEAD + WATCH + "[mirror.browse]\n" + text)


def test_a_mirror_needs_a_registry(tmp_path: Path) -> None:
    assert "there is no [registry.NAME]" in refusal(tmp_path, 'version = 1\n[mirror.b]\npath = "b"\n')
