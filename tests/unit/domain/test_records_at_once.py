"""Records are decoded at once where nothing in them is unknown; piece by piece they come out the same."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.builders.runs import a_run

from sealrun.domain.address import AttemptId, Key, RunId
from sealrun.domain.errors import IntegrityError, UnsupportedFormatError
from sealrun.domain.records import Record, canonical_json, parse_object, sha256
from sealrun.domain.registry.pointing import Generation, Target
from sealrun.domain.registry.publication import Intent, Outcome, Refs, Stored
from sealrun.domain.runs.manifest import Manifest
from sealrun.domain.runs.run import Envelope
from sealrun.domain.upkeep.collection import Condemned, CondemnedObject

_ATTEMPT = AttemptId("20260117T000000Z-0123456789abcdef")
_RUN, _ = a_run({"a.txt": b"a", "b/c.bin": b"c", "b/\N{SNOWMAN}": b""}, executable=["a.txt"], links={"l": "a.txt"})
_SOME = sha256(b"some")
_TARGET = Target(
    experiment="e", run_id=RunId("r"), attempt=_ATTEMPT, root_sha256=_SOME, finished_at="2026-01-17T00:00:00Z"
)
_STAMP = "2026-01-17T00:00:00Z"
RECORDS: list[Record] = [
    _RUN.envelope(),
    _RUN.manifest(),
    Refs(attempt=_ATTEMPT, objects={_SOME: Stored(Key("k"), 3)}),
    Refs(attempt=_ATTEMPT, objects={_SOME: Stored(Key("k.zip"), 3, 7)}),
    Intent(
        attempt=_ATTEMPT,
        nonce="n",
        owner="o",
        purpose="publish",
        experiment="e",
        run_id="r",
        created_at=_STAMP,
        heartbeat_at=_STAMP,
        digests=(_SOME,),
    ),
    Outcome(attempt=_ATTEMPT, nonce="n", decision="void", decided_at=_STAMP, by="b", why="silent"),
    Generation(pointer="e@latest", generation=1, target=_TARGET, moved_at=_STAMP, by="b", why="w", nonce="n"),
    Condemned(batch=_ATTEMPT, by="b", condemned_at=_STAMP, objects=(CondemnedObject(key=Key("k"), size=1),)),
]


def kind(record: Record) -> str:
    return type(record).__name__


def changed(record: Record, change: Callable[[dict[str, object]], object]) -> bytes:
    value = json.loads(record.encode())
    change(value)
    return canonical_json(value)


@pytest.mark.parametrize("record", RECORDS, ids=kind)
def test_a_record_comes_back_as_it_was_written(record: Record) -> None:
    assert type(record).decode(record.encode(), "here") == record
    assert type(record).from_json(parse_object(record.encode(), "here"), "here") == record


@pytest.mark.parametrize("record", RECORDS, ids=kind)
@pytest.mark.parametrize("name", ["extra", "later_field"])
def test_what_is_unknown_is_kept(record: Record, name: str) -> None:
    body = changed(record, lambda value: value.update({name: {"more": [1, 2.5, None]}}))

    assert type(record).decode(body, "here").encode() == body


@pytest.mark.parametrize("record", RECORDS, ids=kind)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.update(format="sealrun/2"), "not readable by this version"),
        (lambda value: value.update(kind="other"), "record belongs"),
        (lambda value: value.pop("format"), "not readable by this version"),
    ],
    ids=["newer", "another kind", "no format"],
)
def test_what_is_no_such_record_is_refused(
    record: Record, change: Callable[[dict[str, object]], object], said: str
) -> None:
    with pytest.raises(UnsupportedFormatError, match=rf"here: .*{said}"):
        type(record).decode(changed(record, change), "here")


def test_a_minor_format_is_read() -> None:
    body = changed(_RUN.manifest(), lambda value: value.update(format="sealrun/1.7"))

    assert Manifest.decode(body, "here") == _RUN.manifest()


@pytest.mark.parametrize("extra", [{}, {"later_field": 1}], ids=["at once", "by pieces"])
def test_a_manifest_that_contradicts_itself_is_refused_either_way(extra: dict[str, object]) -> None:
    body = changed(_RUN.manifest(), lambda value: value.update(size=99, **extra))

    with pytest.raises(IntegrityError, match=r"here: the size does not match"):
        Manifest.decode(body, "here")


def test_a_wrong_field_is_named() -> None:
    body = changed(_RUN.envelope(), lambda value: value.update(files="many"))

    with pytest.raises(UnsupportedFormatError, match=r"here: .*files"):
        Envelope.decode(body, "here")
