"""Settings: what is understood, what is refused, and in which words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.settings import Settings, load_settings
from sealrun.settings.checking import check_real_places
from sealrun.settings.quantities import duration_text, parse_duration, parse_share
from sealrun.settings.schema import json_schema

EXAMPLES = Path(__file__).parents[2] / "config"
REGISTRY = 'version = 1\n[registry.main]\nurl = "registry"\n'
WATCH = '[[watch]]\nname = "training"\npath = "outputs"\n'


def settings_of(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Load `text` as the settings file of `folder`."""
    file = folder / "sealrun.toml"
    file.write_text(text)
    return load_settings(file, environ or {}, Path("/"))


def refusal(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """Load `text`, which must be refused, and return the message without the file's name that begins it."""
    with pytest.raises(ConfigurationError) as caught:
        settings_of(folder, text, environ)
    message = str(caught.value)
    file = str(folder / "sealrun.toml")
    assert message.startswith(file), message
    return message.removeprefix(file)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_example_is_valid_and_warns_of_nothing(file: Path) -> None:
    settings = load_settings(file, {}, Path("/"))
    assert settings.registries
    assert settings.watches
    assert settings.warnings == ()


def test_the_examples_are_the_three_that_are_promised() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.toml")} == {"embedded", "s3", "nfs-and-s3"}


def test_relative_paths_are_relative_to_the_settings_file_wherever_it_is_loaded_from(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, REGISTRY + WATCH)
    assert settings.registries["main"].url == str(tmp_path / "registry")
    assert settings.watches[0].path == str(tmp_path / "outputs")
    assert settings.state == tmp_path / ".sealrun"


def test_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, REGISTRY + '[[watch]]\nname = "t"\npath = "~/runs"\n', {"HOME": "/home/somebody"})
    assert settings.watches[0].path == "/home/somebody/runs"


def test_a_watch_has_the_defaults_that_are_documented(tmp_path: Path) -> None:
    (watch,) = settings_of(tmp_path, REGISTRY + '[[watch]]\npath = "outputs"\n').watches
    assert (watch.name, watch.experiment, watch.registries) == ("outputs", "outputs", ("main",))
    assert (watch.unit, watch.glob, watch.preset, watch.on_failed) == ("folder", "*", "auto", "seal")
    assert (watch.settle_s, watch.stale_after_s) == (30.0, 72 * 3600.0)


def test_every_setting_of_a_watch_arrives(tmp_path: Path) -> None:
    text = (
        REGISTRY
        + WATCH
        + 'experiment = "e"\nunit = "file"\nglob = "*.csv"\npreset = "hydra"\nsettle = "1m30s"\nmarkers = ["DONE"]\n'
        + 'require = ["a"]\nforbid = ["b"]\ninclude = ["c"]\nexclude = ["d"]\non_failed = "skip"\nstale_after = 60\n'
        + 'registries = ["main"]\nnames = { "a.csv" = "newest.csv" }\n'
    )
    (watch,) = settings_of(tmp_path, text).watches
    assert (watch.experiment, watch.unit, watch.glob, watch.preset) == ("e", "file", "*.csv", "hydra")
    assert (watch.settle_s, watch.stale_after_s, watch.on_failed) == (90.0, 60.0, "skip")
    assert (watch.markers, watch.require, watch.forbid) == (("DONE",), ("a",), ("b",))
    assert (watch.include, watch.exclude, dict(watch.names)) == (("c",), ("d",), {"a.csv": "newest.csv"})


def test_a_watch_without_registries_publishes_to_all_that_may_be_written(tmp_path: Path) -> None:
    others = '[registry.old]\nurl = "old"\nread_only = true\n[registry.cloud]\nurl = "s3://bucket/prod"\n'
    (watch,) = settings_of(tmp_path, REGISTRY + others + WATCH).watches
    assert watch.registries == ("main", "cloud")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SEALRUN_HOME": "/home-of-state", "STATE_DIRECTORY": "/var/lib/sealrun"}, "/home-of-state"),
        ({"STATE_DIRECTORY": "/var/lib/sealrun:/var/lib/other"}, "/var/lib/sealrun"),
    ],
)
def test_the_state_folder_comes_from_the_environment_unless_the_settings_name_it(
    tmp_path: Path, environ: Mapping[str, str], expected: str
) -> None:
    assert settings_of(tmp_path, REGISTRY, environ).state == Path(expected)
    assert settings_of(tmp_path, 'version = 1\nstate = "here"\n', environ).state == tmp_path / "here"


def test_the_search_order_is_option_variable_here_user(tmp_path: Path) -> None:
    files = [tmp_path / name / "sealrun.toml" for name in ("option", "variable", "here", "user/sealrun")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("version = 1\n")
    option, variable, here, user = files
    environ = {"SEALRUN_CONFIG": str(variable), "XDG_CONFIG_HOME": str(tmp_path / "user")}
    assert load_settings(option, environ, here.parent).file == option
    assert load_settings(None, environ, here.parent).file == variable
    environ.pop("SEALRUN_CONFIG")
    assert load_settings(None, environ, here.parent).file == here
    here.unlink()
    assert load_settings(None, environ, here.parent).file == user


@pytest.mark.parametrize(("explicit", "environ"), [(Path("no.toml"), {}), (None, {"SEALRUN_CONFIG": "no.toml"})])
def test_settings_that_are_named_have_to_be_there(
    tmp_path: Path, explicit: Path | None, environ: Mapping[str, str]
) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.toml: no such settings file"):
        load_settings(explicit, environ, tmp_path)


def test_without_a_file_the_environment_names_the_one_registry(tmp_path: Path) -> None:
    settings = load_settings(None, {"SEALRUN_STORE": "s3://bucket/x"}, tmp_path)
    assert settings.file is None
    assert {name: registry.url for name, registry in settings.registries.items()} == {"main": "s3://bucket/x"}


REFUSALS = [
    ("x = = 1\n", (":1: not valid TOML",)),
    ("version = 1\n\nx = [\n", (":3: ", "not valid TOML")),
    ("state = 'x'\n", ("version", "missing")),
    ("version = 2\n", ("version", "2", "reads version 1")),
    ("version = true\n", ("version", "True")),
    (REGISTRY + WATCH + "setle = '3s'\n", ("'setle'", "[[watch]] 'training'", "did you mean 'settle'", "stale_after")),
    ("version = 1\nwatches = []\n", ("'watches'", "at the top level", "did you mean 'watch'")),
    (REGISTRY + "single_writter = true\n", ("[registry.main]", "did you mean 'single_writer'")),
    (REGISTRY + "[gc]\nshedule = '@daily'\n", ("[gc]", "did you mean 'schedule'")),
    (REGISTRY + WATCH + "reclaim = { after = '1d', copys = 1 }\n", ("'copys'", "did you mean 'copies'")),
    (REGISTRY + "single_writer = 'yes'\n", ("[registry.main]: single_writer", "true or false", "a string")),
    (REGISTRY + WATCH + "settle = []\n", ("[[watch]] 'training': settle", "an array")),
    (REGISTRY + WATCH + "require = ['a', 1]\n", ("[[watch]] 'training': require[1]", "a string", "an integer")),
    (REGISTRY + WATCH + "names = { a = 1 }\n", ("[[watch]] 'training'", "a string")),
    (REGISTRY + WATCH + "on_failed = 'sel'\n", ("on_failed", "'skip'", "did you mean 'seal'")),
    (REGISTRY + "[watch]\npath = 'x'\n", ("watch", "[[")),
    (REGISTRY + "[[watch]]\nname = 'x'\n", ("[[watch]] 'x'", "'path' is missing")),
    (REGISTRY + "[[watch]]\nname = 'x'\npath = ''\n", ("path", "empty")),
    ("version = 1\n[registry.main]\n", ("[registry.main]", "'url' is missing")),
    ("version = 1\n[registry.'a b']\nurl = 'x'\n", ("[registry.a b]", "'a b'")),
    (REGISTRY + WATCH + "settle = 'soon'\n", ("settle", "'soon'", '"30s"')),
    (REGISTRY + WATCH + "settle = -1\n", ("settle", "-1")),
    (REGISTRY + WATCH + "experiment = 'a/b'\n", ("experiment", "'a/b'")),
    (REGISTRY + "[[watch]]\npath = 'my runs'\n", ("'my runs'",)),
    (REGISTRY + WATCH + "preset = 'hydro'\n", ("preset", "did you mean 'hydra'")),
    (REGISTRY + WATCH + "preset = 'lightening'\n", ("preset", "did you mean 'lightning'")),
    (REGISTRY + WATCH + "preset = 'ray'\n", ("preset", "Known: auto, none, nextflow")),
    (REGISTRY + WATCH + "glob = '**'\n", ("glob", "'**'")),
    (REGISTRY + WATCH + "glob = '../*'\n", ("glob", "'../*'")),
    (REGISTRY + WATCH + "experiment = '{1}'\n", ("experiment", "{1}", "folder 1 below the path")),
    (REGISTRY + WATCH + "glob = '*/runs/*'\nexperiment = '{3}'\n", ("experiment", "{3}")),
    (REGISTRY + WATCH + "experiment = '{x}'\n", ("experiment", "{x}")),
    (REGISTRY + WATCH + 'unit = "file"\nseal = "in-place"\n', ("seal", 'unit = "folder"')),
    (REGISTRY + WATCH + 'gone_after = "soon"\n', ("gone_after",)),
    (REGISTRY + WATCH + "names = { '../a' = 'b' }\n", ("names", "'../a'")),
    (REGISTRY + WATCH + "names = { 'a' = 'b/c' }\n", ("names.a", "'b/c'")),
    (REGISTRY + WATCH + "registries = ['mian']\n", ("registries", "[registry.mian]", "main")),
    (REGISTRY + "read_only = true\n" + WATCH + "registries = ['main']\n", ("registries", "read-only")),
    ("version = 1\n" + WATCH, ("'training'", "no registry")),
    (REGISTRY + "[gc]\nschedule = 'nope'\n", ("[gc] schedule", "'nope'", "five cron fields")),
    (REGISTRY + "[gc]\nmax_delete_ratio = 2.0\n", ("[gc] max_delete_ratio", "2.0")),
    (REGISTRY + "[verify]\nsubset = '500%'\n", ("[verify] subset", "'500%'")),
    (REGISTRY + "[http]\nlisten = 'localhost'\n", ("[http] listen", "HOST:PORT")),
    (REGISTRY + "[retention.default]\nkeep_last = 0\n", ("[retention.default]: keep_last", ">= 1")),
    (REGISTRY + "[retention.default]\nkeep_within = 'x'\n", ("[retention.default] keep_within", "'x'")),
    (REGISTRY + WATCH + "reclaim = { after = 'x' }\n", ("'training'", "reclaim.after", "'x'")),
    (REGISTRY + "[[notify]]\non = 'a'\nurl = 'x'\n", ("[[notify]]", "on", "an array")),
]


@pytest.mark.parametrize(("text", "words"), REFUSALS, ids=[words[0] + words[-1] for _, words in REFUSALS])
def test_a_mistake_is_refused_by_file_and_setting(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    message = refusal(tmp_path, text)
    assert [word for word in words if word not in message] == [], message


def test_a_watch_may_seal_in_place_and_name_experiments_by_folders(tmp_path: Path) -> None:
    text = WATCH + 'glob = "*/runs/*"\nexperiment = "{1}"\nseal = "in-place"\ngone_after = "1h"\n'
    (watched,) = settings_of(tmp_path, REGISTRY + text).watches
    assert (watched.seal, watched.gone_after_s, watched.rules.sealed_here) == ("in-place", 3600.0, True)
    assert watched.experiment_of(f"{watched.path}/dev/runs/a") == "dev"


def watch(path: str, unit: str = "folder", glob: str = "*", name: str = "other") -> str:
    return f'[[watch]]\nname = "{name}"\npath = "{path}"\nunit = "{unit}"\nglob = "{glob}"\n'


@pytest.mark.parametrize(
    "other",
    [
        watch("outputs"),
        watch("outputs", glob="run-*"),
        watch("outputs", glob="*/*"),
        watch("outputs/run-7"),
        watch("."),
    ],
)
def test_two_watches_that_would_take_the_same_files_are_refused(tmp_path: Path, other: str) -> None:
    text = 'version = 1\n[registry.main]\nurl = "s3://bucket/x"\n' + WATCH + other
    assert "training" in refusal(tmp_path, text)


@pytest.mark.parametrize("other", [watch("more"), watch("outputs-2"), watch("outputs", unit="file")])
def test_watches_that_cannot_meet_live_side_by_side(tmp_path: Path, other: str) -> None:
    assert len(settings_of(tmp_path, REGISTRY + WATCH + other).watches) == 2


def test_one_folder_may_be_divided_among_watches_by_their_globs(tmp_path: Path) -> None:
    text = REGISTRY + watch("outputs", glob="train-*", name="a") + watch("outputs", glob="eval-*", name="b")
    assert len(settings_of(tmp_path, text).watches) == 2


def test_two_watches_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "two watches" in refusal(tmp_path, REGISTRY + WATCH + watch("more", name="training"))


@pytest.mark.parametrize("path", ["registry", "registry/experiments", ".", "state", "state/below"])
def test_a_watch_and_what_sealrun_writes_never_lie_inside_each_other(tmp_path: Path, path: str) -> None:
    text = f'version = 1\nstate = "state"\n[registry.main]\nurl = "file://{tmp_path}/registry"\n' + watch(path)
    assert "lie inside each other" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[registry.main]\nurl = "regl"\n' + watch("c/w"), "lie inside each other"),
        ('[registry.main]\nurl = "r"\n' + watch("w"), None),
        ('[registry.main]\nurl = "r"\n' + watch("c/w", name="a") + watch("w", name="b"), "takes the same runs"),
    ],
)
def test_who_watches_is_told_of_folders_that_meet_by_way_of_links(
    tmp_path: Path, text: str, problem: str | None
) -> None:
    (tmp_path / "c/w/hidden").mkdir(parents=True)
    (tmp_path / "regl").symlink_to("c/w/hidden")
    (tmp_path / "w").symlink_to("c/w")
    settings = settings_of(tmp_path, "version = 1\n" + text)
    if problem is None:
        check_real_places(settings)
    else:
        with pytest.raises(ConfigurationError, match=problem):
            check_real_places(settings)


def test_the_schema_is_json_and_knows_every_table() -> None:
    schema = json.loads(json.dumps(json_schema()))
    tables = schema["$defs"]["SettingsFile"]
    assert tables["additionalProperties"] is False
    assert {"version", "registry", "watch", "retention", "gc", "verify", "notify", "http"} <= tables[
        "properties"
    ].keys()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("72h", 259200),
        ("14d", 1209600),
        ("1h30m", 5400),
        ("500ms", 0.5),
        (7, 7),
        (0.5, 0.5),
        ("2w", 1209600),
    ],
)
def test_durations_are_read_as_people_write_them(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "s", "30", "1h x", "-1s", "1y", -1, float("inf"), float("nan")])
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_shares_are_percentages_or_fractions() -> None:
    assert [parse_share(share) for share in ("5%", "100%", 0.2, 0)] == [0.05, 1.0, 0.2, 0.0]
    for wrong in ("5", "101%", 1.5, -0.1, "x%"):
        with pytest.raises(ValueError, match="expected a share"):
            parse_share(wrong)
