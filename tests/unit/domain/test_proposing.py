"""Which watches are proposed for what lies below a folder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.address import is_name
from sealrun.domain.watches.proposing import Proposal, names_for, propose

_A_RUN = "0123456789abcdef0123456789abcdef"


def the_one(*names: str, inside: bool = False) -> Proposal:
    """The only proposal for these names, with nothing to note."""
    found = propose(names, inside=inside)
    assert found.notes == ()
    (proposal,) = found.watches
    return proposal


@pytest.mark.parametrize(
    ("mark", "path", "glob", "preset"),
    [
        ("outputs/2026-01-17/14-30-52/.hydra/config.yaml", "outputs", "*/*", "hydra"),
        ("multirun/2026-01-17/14-30-52/multirun.yaml", "multirun", "*/*", "hydra"),
        ("out/named/.hydra/config.yaml", "out", "*", "hydra"),
        ("lightning_logs/version_0/hparams.yaml", "lightning_logs", "version_*", "lightning"),
        (f"mlruns/0/{_A_RUN}/meta.yaml", "mlruns", "*/" + "?" * 32, "mlflow"),
        ("wandb/offline-run-20260117_143052-abc/run-abc.wandb", "wandb", "*run-*", "wandb"),
        ("sacred/1/cout.txt", "sacred", "[0-9]*", "sacred"),
        ("launches/a/.nextflow/history", "launches", "*", "nextflow"),
        ("analyses/a/.snakemake/log/x.log", "analyses", "*", "snakemake"),
        ("tables/t/_temporary/", "tables", "*", "success-file"),
        ("results/tune/experiment_state-x.json", "results", "*", "ray-tune"),
        ("models/bert/checkpoint-10/trainer_state.json", "models", "*", "hf-trainer"),
        ("runs/first/events.out.tfevents.1", "runs", "*", "tensorboard"),
        ("jobs/1/12_submitted.pkl", "jobs", "*", "submitit"),
    ],
)
def test_each_framework_is_recognised_where_it_usually_leaves_its_runs(
    mark: str, path: str, glob: str, preset: str
) -> None:
    proposal = the_one("README.md", mark)
    assert (proposal.path, proposal.glob, proposal.preset, proposal.by) == (path, glob, preset, mark)


def test_folders_of_run_context_take_their_experiments_from_the_folder_above() -> None:
    proposal = the_one("artifacts/experiments/train/runs/20260117-a/.sealrun/done.json")
    assert (proposal.path, proposal.glob, proposal.experiment) == ("artifacts/experiments", "*/runs/*", "{1}")
    assert proposal.preset == "auto"


def test_what_starts_others_decides_and_what_it_starts_is_part_of_it() -> None:
    jobs = [f"multirun/2026-01-17/14-30-52/{number}/.hydra/config.yaml" for number in range(3)]
    inside = "multirun/2026-01-17/14-30-52/0/lightning_logs/version_0/hparams.yaml"
    assert the_one("multirun/2026-01-17/14-30-52/multirun.yaml", *jobs, inside).glob == "*/*"


def test_several_frameworks_get_a_watch_each() -> None:
    found = propose(["outputs/2026-01-17/14-30-52/.hydra/config.yaml", f"mlruns/0/{_A_RUN}/meta.yaml"])
    assert [watch.preset for watch in found.watches] == ["mlflow", "hydra"]
    assert names_for(found.watches, "study", None) == [("mlruns", "study-mlruns"), ("outputs", "study-outputs")]


def test_two_frameworks_side_by_side_in_one_folder_share_a_watch_that_asks_each() -> None:
    proposal = the_one("runs/a/events.out.tfevents.1", "runs/b/checkpoint-1/trainer_state.json")
    assert (proposal.path, proposal.preset, proposal.settle) == ("runs", "auto", "30m")
    assert proposal.found == "tensorboard, hf-trainer"


def test_folders_of_one_framework_beside_each_other_name_experiments() -> None:
    proposal = the_one("out/a/1/cout.txt", "out/b/2/cout.txt")
    assert (proposal.path, proposal.glob, proposal.experiment) == ("out", "*/[0-9]*", "{1}")


def test_no_proposal_lies_inside_another() -> None:
    found = propose(["runs/a/events.out.tfevents.1", "runs/x/deep/b/cout.txt"])
    assert [watch.path for watch in found.watches] == ["runs"]
    assert "runs/x/deep" in found.notes[0]


def test_a_project_is_never_watched_itself() -> None:
    found = propose(["model/checkpoint-1/trainer_state.json", ".nextflow/history"])
    assert found.watches == ()
    assert "this folder is itself a run of nextflow" in found.notes[0]
    assert "model: a run of hf-trainer" in found.notes[1]


def test_a_folder_that_is_named_may_hold_the_runs_itself() -> None:
    assert the_one("a/cout.txt", inside=True).path == ""
    assert the_one("version_0/hparams.yaml", inside=True).glob == "version_*"
    assert the_one("x/a/cout.txt", "y/b/cout.txt", inside=True).glob == "*/*"


def test_a_script_that_borrowed_the_marker_is_not_taken_for_spark() -> None:
    assert the_one("out/a/_SUCCESS", "out/a/model.bin").preset == "auto"
    assert the_one("out/a/_SUCCESS", "out/a/part-00000.parquet").preset == "success-file"


def test_what_holds_no_run_is_not_proposed() -> None:
    assert propose(["src/main.py", "data/x/y.csv", "wandb/", "mlruns/meta.yaml", "a/meta.yaml"]).watches == ()


_PARTS = st.sampled_from(
    ["a", "b.c", "runs", "2026-01-17", "14-30-52", ".hydra", "config.yaml", "multirun.yaml", "version_1", "_SUCCESS",
     "hparams.yaml", _A_RUN, "meta.yaml", "cout.txt", "run-x", "run-x.wandb", ".nextflow", "history", "_temporary",
     ".snakemake", "checkpoint-1", "trainer_state.json", "events.out.tfevents.1", ".sealrun", "done.json", "\n", "ü '"]
)  # fmt: skip
_PATHS = st.lists(_PARTS, min_size=1, max_size=6).map("/".join)


@given(st.lists(_PATHS, max_size=30), st.booleans(), st.text(max_size=20), st.none() | st.just("mine"))
def test_whatever_lies_there_the_proposals_can_stand_side_by_side(
    names: list[str], inside: bool, project: str, experiment: str | None  # noqa: FBT001 - drawn
) -> None:  # fmt: skip
    found = propose(names, inside=inside)
    paths = [watch.path for watch in found.watches]
    for path in paths:
        assert path or inside
        others = [other for other in paths if other != path]
        assert not any(other.startswith(f"{path}/" if path else "") for other in others)
    assert len(set(paths)) == len(paths)
    named = names_for(found.watches, project, experiment)
    assert len({name for name, _ in named}) == len(found.watches)
    assert all(is_name(name) for name, _ in named)
    assert all(is_name(given) or given == "{1}" for _, given in named)
