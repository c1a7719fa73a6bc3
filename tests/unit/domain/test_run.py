from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.address import Digest, RunId, is_name
from sealrun.domain.errors import UsageError
from sealrun.domain.runs.run import (
    Completion,
    Envelope,
    Producer,
    choose_run_id,
    derive_run_id,
    names_itself,
    next_revision,
)

CONTENT = Digest("ab" * 32)
A_TIME = "2026-01-17T14:30:52Z"
_ANY_NAME = st.text(min_size=1, max_size=300)


@pytest.mark.parametrize(
    "name",
    [
        "20260117T143052Z__P2-Backfill__a1b2c3d",
        "20251116T034945Z-build_target-tgt_6f6eef-ebd938",
        "20251116T091234Z-hmc-chain0-a3f2d1",
        "20251116T091234Z-hmc-a3f2d1",
    ],
)
def test_both_forms_of_run_ids_in_use_name_the_run(name: str) -> None:
    assert names_itself(name)
    assert choose_run_id("e", name, Producer(), A_TIME, CONTENT) == name


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "20260117T143052Z",
        "20260117T143052Z__P2__xyz",
        "20260117T143052Z__P2__a1b2c3d\n",
        "2026-01-17__a__a1b2c3d",
    ],
)
def test_other_folder_names_do_not_name_the_run(name: str) -> None:
    assert not names_itself(name)


def test_the_runs_own_record_comes_before_its_folders_name() -> None:
    own = Producer(run_id="mine")
    assert choose_run_id("e", "20251116T091234Z-hmc-a3f2d1", own, A_TIME, CONTENT) == "mine"


@pytest.mark.parametrize("bad", ["", "a/b", "../x", ".hidden", "a b", "x" * 129])
def test_an_impossible_own_run_id_is_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        choose_run_id("e", "n", Producer(run_id=bad), A_TIME, CONTENT)


@given(_ANY_NAME)
def test_a_derived_id_is_a_name_whatever_the_folder_is_called(name: str) -> None:
    derived = derive_run_id("e", name, A_TIME, CONTENT)
    assert is_name(derived)
    assert derived.startswith("20260117T143052Z-")
    assert derived == derive_run_id("e", name, A_TIME, CONTENT)


@given(_ANY_NAME)
def test_every_derived_id_can_have_revisions(name: str) -> None:
    assert is_name(next_revision(derive_run_id("e", name, A_TIME, CONTENT)))


def test_experiment_name_time_and_content_each_make_another_id() -> None:
    base = ("e", "n", A_TIME, CONTENT)
    others = [
        ("f", "n", A_TIME, CONTENT),
        ("e", "m", A_TIME, CONTENT),
        ("e", "n", "2026-01-17T14:30:53Z", CONTENT),
        ("e", "n", A_TIME, Digest("cd" * 32)),
    ]
    assert len({derive_run_id(*each) for each in [base, *others]}) == 5


def test_revisions_count_up() -> None:
    ids = [RunId("a")]
    for _ in range(10):
        ids.append(next_revision(ids[-1]))
    assert ids[1:4] == ["a.r2", "a.r3", "a.r4"]
    assert ids[-1] == "a.r11"


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True))
def test_revisions_of_any_id_are_names_and_all_different(run_id: str) -> None:
    seen = [RunId(run_id)]
    for _ in range(12):
        seen.append(next_revision(seen[-1]))
    assert all(is_name(each) for each in seen)
    assert len(set(seen)) == len(seen)


def test_an_envelope_is_read_back_as_it_was_written() -> None:
    envelope = Envelope(
        run_id=RunId("r"),
        experiment="e",
        name="n",
        unit="folder",
        status="success",
        finished_at=A_TIME,
        completion=Completion("quiet", "30 s", "inferred"),
        tree_digest=CONTENT,
        manifest_sha256=CONTENT,
        urn=f"urn:sealrun:run:sha256:{CONTENT}",
        files=1,
        size=2,
        publish_names={"a": "b"},
        producer={"metrics": {"loss": 0.1, "x": 1e-9, "é": "ü"}},
        tags=("t",),
    )
    again = Envelope.decode(envelope.encode(), "run.json")
    assert again == envelope
    assert again.encode() == envelope.encode()
    assert again.order == (A_TIME, "r")
