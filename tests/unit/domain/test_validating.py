"""What the content of a registry artifact has to be, and which seals of other tools are believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.address import Digest
from sealrun.domain.curation.gating import Gate, gate_of, parse_requirements
from sealrun.domain.curation.validating import content_problems, schema_files
from sealrun.domain.errors import IntegrityError, UsageError
from sealrun.domain.runs.declarations import read_sums
from sealrun.domain.runs.foreign import listing_problems, read_foreign_seal, read_pointers, seal_problems
from sealrun.domain.types import TypedArtifact

JSONL = TypedArtifact(path="r.jsonl", type="jsonl_registry")
TABLE = TypedArtifact(path="index.csv", type="index")
SNAPSHOT = TypedArtifact(path="S_v1.json", type="json_snapshot")
A, B = Digest("a" * 64), Digest("b" * 64)


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@given(st.lists(st.one_of(st.dictionaries(st.text(), st.integers()), st.integers())), st.integers(1, 9), st.booleans())
def test_lines_are_judged_one_by_one_however_the_bytes_arrive(values: list[object], size: int, end: bool) -> None:  # noqa: FBT001 - drawn
    body = "\n".join(json.dumps(value) for value in values).encode() + (b"\n" if end else b"")
    wrong = [number for number, value in enumerate(values, 1) if not isinstance(value, dict)]
    told = list(content_problems(JSONL, pieces(body, size), None))
    assert told == [f"line {number}: is not a JSON object" for number in wrong]


def test_each_line_is_shown_to_the_schema_with_its_number() -> None:
    told = content_problems(JSONL, [b'{"a": 1}\n\n{"a": 2}\n'], lambda value: [] if value == {"a": 1} else ["no"])
    assert list(told) == ["line 3: no"]


def test_a_table_has_a_heading_and_rows_as_long() -> None:
    assert (
        list(
            content_problems(TABLE, [b"id,path\n1,a\n"], lambda row: [] if row == {"id": "1", "path": "a"} else ["no"])
        )
        == []
    )
    assert list(content_problems(TABLE, [b"id,path\n1,a\n2\n3,b,c\n"], None)) == [
        "row 3: has not as many fields as the heading",
        "row 4: has not as many fields as the heading",
    ]
    assert "is empty" in next(content_problems(TABLE, [b""], None))
    assert "not a CSV file" in next(content_problems(TABLE, [b"\xff\xfe"], None))


def test_a_snapshot_is_one_json_document() -> None:
    assert list(content_problems(SNAPSHOT, [b"[1,", b" 2]"], None)) == []
    assert "not valid JSON" in next(content_problems(SNAPSHOT, [b"[1"], None))


def test_the_schema_beside_a_file_is_found_by_its_names() -> None:
    artifact = TypedArtifact(path="out/RUNS_v0_1.jsonl", type="jsonl_registry")
    for name in ("out/RUNS_v0_1.schema.json", "out/RUNS.schema.json", "out/schemas/REGISTRY_RUNS.schema.json"):
        assert schema_files(artifact, [name, "RUNS.schema.json"]) == [name]
    assert schema_files(artifact, ["RUNS.schema.json"]) == []


def sealed(lines: str, root: str | None = None) -> bytes:
    value = hashlib.sha256(lines.encode()).hexdigest() if root is None else root
    return f"{lines}ROOT_SHA256 {value}\n".encode()


def test_a_root_is_that_of_the_lines_and_nothing_else() -> None:
    lines = f"{A}  b\n{B}  ./a\n"
    seal = read_foreign_seal(sealed(lines), "M")
    assert seal is not None
    assert seal.sums == {"b": A, "a": B}
    for root in (lines.removesuffix("\n"), f"{A}  b\n{B}  ./a\n", f"{A}\n{B}\n", f"{A}{B}", f"{A}\n{B}"):
        assert read_foreign_seal(sealed(lines, hashlib.sha256(root.encode()).hexdigest()), "M") is not None
    with pytest.raises(IntegrityError, match="not that of the lines"):
        read_foreign_seal(sealed(lines, str(A)), "M")
    with pytest.raises(IntegrityError, match="not a line of sha256sum"):
        read_foreign_seal(sealed("nonsense\n"), "M")
    assert read_foreign_seal(lines.encode(), "M") is None
    assert read_sums(sealed(lines)) == {"b": A, "a": B}


def test_what_differs_from_a_seal_is_named() -> None:
    seal = read_foreign_seal(sealed(f"{A}  a\n{A}  b\n"), "M")
    assert seal is not None
    assert list(seal_problems(seal, {"a": A, "b": A, "MANIFEST.sha256": B, "run.json": B, ".sealrun/x": B})) == []
    told = "\n".join(seal_problems(seal, {"b": B, "c": A}))
    assert "a: is sealed, and not there" in told
    assert "b: was changed" in told
    assert "c: was added" in told


@pytest.mark.parametrize(
    "listing",
    [
        {"files": [{"path": "a", "sha256": A, "size": 1}]},
        {"entries": [{"name": "./a", "hash": f"sha256:{A}"}]},
        {"files": {"a": A}},
        {"outputs": {"a": {"digest": A, "bytes": 1}}},
        {"inputs": [{"path": "elsewhere", "sha256": B}], "outputs": [{"type": "file", "ref": "b"}]},
        [],
    ],
)
def test_a_structured_manifest_is_read_as_far_as_it_is_understood(listing: object) -> None:
    assert list(listing_problems(json.dumps(listing).encode(), {"a": A}, {"a": 1})) == []


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ({"files": [{"path": "a", "sha256": B}]}, "another sha256"),
        ({"files": [{"path": "a", "sha256": A, "size": 2}]}, "has 2 bytes"),
        ({"files": {"b": A}}, "lists b, which is not there"),
    ],
)
def test_a_structured_manifest_that_contradicts_the_files_is_told(listing: object, told: str) -> None:
    assert told in next(listing_problems(json.dumps(listing).encode(), {"a": A}, {"a": 1}))


def test_pointers_are_read_wherever_they_stand_in_a_file() -> None:
    body = json.dumps({"x": [{"y": {"run_root": "b", "run_id": "r", "ROOT_SHA256": A}}], "run_root": "a"}).encode()
    first, second = read_pointers(body, "P.json")
    assert (first.run_root, second.run_root, second.run_id, second.root_sha256) == ("a", "b", "r", A)
    (latest,) = read_pointers(b"runs/r1\n", "LATEST.txt")
    assert latest.run_root == "runs/r1"
    for broken in (b"", b"{}"):
        with pytest.raises(IntegrityError):
            read_pointers(broken, "P.json")


def test_the_gate_that_names_an_experiment_comes_before_the_one_that_does_not() -> None:
    gates = {"active": Gate(require=("seal",)), "e@active": Gate(require=("checks",))}
    assert gate_of(gates, "e", "active").require == ("checks",)
    assert gate_of(gates, "f", "active").require == ("seal",)
    assert gate_of(gates, "f", "best") == gate_of(gates, "catalog", "active") == Gate()
    both = gates["active"].and_also(Gate(require=("checks", "seal"), command=("true",)))
    assert both == Gate(require=("seal", "checks"), command=("true",))
    with pytest.raises(UsageError, match="'nonsense'"):
        parse_requirements(["seal", "nonsense"])
