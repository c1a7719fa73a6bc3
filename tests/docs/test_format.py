"""docs/format.md says enough: the sample is read by sealrun, made again byte for byte, and read by a stranger.

`Stranger` was written from docs/format.md alone, with a JSON parser and sha256. It uses nothing of sealrun.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.docs.make_sample import EXPERIMENT, PAGE, SAMPLE, make_sample, with_examples
from tests.docs.pages import shell
from tests.docs.test_recovery import publish
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.adapters.stores.posix import PosixStore
from sealrun.services.access.reading import Reader
from sealrun.services.access.restoring import restore
from sealrun.services.mending.verifying import Verifier

FIRST = "20260117T143052Z-ridge-a1b2c3"
REVISION = f"{FIRST}.r2"


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def reader() -> Reader:
    return Reader(PosixStore(SAMPLE), FakeClock(), FakeEntropy())


class Stranger:
    """Reads a registry with what docs/format.md says."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def record(self, key: str, kind: str) -> dict[str, Any]:
        body = (self.root / key).read_bytes()
        value: dict[str, Any] = json.loads(body)
        canonical = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
        assert body == canonical.encode(), key
        assert (value["format"], value["kind"]) == ("sealrun/1", kind), key
        return value

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.root / folder).iterdir())

    def standing_attempt(self, experiment: str, run_id: str) -> str:
        for name in reversed(self.names(f"experiments/{experiment}/runs/{run_id}/seals")):
            attempt = name.removesuffix(".json")
            outcome = self.record(f"attempts/{attempt}/outcome.json", "outcome")
            if outcome["decision"] == "sealed" and not (self.root / f"attempts/{attempt}/retired.json").exists():
                return attempt
        raise AssertionError(f"{run_id} is not there")

    def runs(self, experiment: str) -> list[str]:
        """Those that are there."""
        return [run for run in self.names(f"experiments/{experiment}/runs") if self.stands(experiment, run)]

    def stands(self, experiment: str, run_id: str) -> bool:
        try:
            self.standing_attempt(experiment, run_id)
        except AssertionError:
            return False
        return True

    def files(self, experiment: str, run_id: str) -> dict[str, bytes]:
        """Read a run in the four steps of "Reading a run"."""
        folder = f"experiments/{experiment}/runs/{run_id}"
        attempt = self.standing_attempt(experiment, run_id)
        outcome = self.record(f"attempts/{attempt}/outcome.json", "outcome")
        assert (outcome["experiment"], outcome["run_id"]) == (experiment, run_id)
        sums, root = self.sums((self.root / folder / "MANIFEST.sha256").read_bytes())
        assert root == outcome["root_sha256"]
        for record in ("run.json", "manifest.json"):
            assert sums[record] == hashlib.sha256((self.root / folder / record).read_bytes()).hexdigest()
        refs = self.record(f"attempts/{attempt}/refs.json", "refs")
        manifest = self.record(f"{folder}/manifest.json", "manifest")
        found = {}
        for entry in manifest["entries"]:
            body = self.content(refs, entry["sha256"])
            assert len(body) == entry["size"]
            assert hashlib.sha256(body).hexdigest() == entry["sha256"] == sums[f"artifacts/{entry['path']}"]
            found[entry["path"]] = body
        assert sums.keys() == {f"artifacts/{path}" for path in found} | {"run.json", "manifest.json"}
        assert manifest["tree_digest"] == self.tree_digest(found)
        return found

    def content(self, refs: dict[str, Any], digest: str) -> bytes:
        """The bytes of an object, or of a member of a pack."""
        for key, members in refs.get("packs", {}).items():
            if digest in members:
                offset, size = members[digest]
                pack: bytes = (self.root / key).read_bytes()
                named = hashlib.sha256(pack).hexdigest()
                assert key.startswith(f"store/packs/sha256/{named[:2]}/{named[2:4]}/{named[4:]}.")
                assert key.endswith(".zip")
                return pack[offset : offset + size]
        stored = refs["objects"][digest]
        assert stored["key"].startswith(self.object_prefix(digest))
        body: bytes = (self.root / stored["key"]).read_bytes()
        assert len(body) == stored["size"]
        return body

    @staticmethod
    def object_prefix(digest: str) -> str:
        return f"store/objects/sha256/{digest[:2]}/{digest[2:4]}/{digest[4:]}."

    @staticmethod
    def sums(body: bytes) -> tuple[dict[str, str], str]:
        *lines, last = body.decode().removesuffix("\n").split("\n")
        above = "".join(f"{line}\n" for line in lines)
        assert last == f"# ROOT_SHA256 {hashlib.sha256(above.encode()).hexdigest()}"
        found = {}
        for line in lines:
            escaped = line.startswith("\\")
            digest, name = line.removeprefix("\\").split("  ", 1) if escaped else line.split("  ", 1)
            if escaped:
                name = name.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
            found[name] = digest
        return found, last.split(" ")[2]

    @staticmethod
    def tree_digest(files: dict[str, bytes]) -> str:
        lines = []
        for path in sorted(files):
            name = f"./{path}".replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            mark = "\\" if name != f"./{path}" else ""
            lines.append(f"{mark}{hashlib.sha256(files[path]).hexdigest()}  {name}\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def generations(self, log: str) -> list[dict[str, Any]]:
        """Oldest first; checks that the log is dense and chained."""
        found: list[dict[str, Any]] = []
        before = None
        for number, name in enumerate(reversed(self.names(log)), start=1):
            assert name == f"{999_999_999_999 - number:012d}.json"
            found.append(self.record(f"{log}/{name}", "pointer"))
            assert found[-1]["generation"] == number
            assert found[-1].get("previous_sha256") == before
            before = hashlib.sha256((self.root / log / name).read_bytes()).hexdigest()
        return found

    def rows(self, experiment: str) -> dict[str, dict[str, Any]]:
        index = f"experiments/{experiment}/index"
        pending = self.names(f"{index}/pending")
        rows = [self.record(f"{index}/pending/{n}", "row") for n in pending if not n.endswith(".retired.json")]
        left_out = [self.record(f"{index}/pending/{n}", "dropped") for n in pending if n.endswith(".retired.json")]
        head = self.names(f"{index}/base")[0]
        for line in (self.root / index / "base" / head).read_text().splitlines():
            rows.append(json.loads(line))
            assert line == json.dumps(rows[-1], sort_keys=True, ensure_ascii=True)
        return {row["attempt"]: row for row in rows if row["attempt"] not in {left["attempt"] for left in left_out}}


def test_every_run_of_the_sample_is_read_with_the_format_page_alone() -> None:
    stranger = Stranger(SAMPLE)
    runs = stranger.runs(EXPERIMENT)
    files = {run: stranger.files(EXPERIMENT, run) for run in runs}
    assert len(runs) == 3
    assert files[FIRST]["notes with a space.txt"] == b"kept\n"
    assert files[FIRST]["tables/back\\slash.csv"] == files[FIRST]["tables/naïve.csv"]
    assert files[REVISION]["metrics.json"] != files[FIRST]["metrics.json"]


def test_bytes_that_two_runs_share_are_stored_once() -> None:
    weights = hashlib.sha256(Stranger(SAMPLE).files(EXPERIMENT, FIRST)["model/weights.bin"]).hexdigest()
    folder = SAMPLE / Stranger.object_prefix(weights).rpartition("/")[0]
    assert len(list(folder.iterdir())) == 1


def test_every_pointer_of_the_sample_is_dense_and_leads_to_a_sealed_run() -> None:
    stranger = Stranger(SAMPLE)
    logs = [f"experiments/{EXPERIMENT}/pointers/{name}" for name in ("best", "latest")]
    for log in (*logs, "names/training-metrics.json"):
        *_, newest = stranger.generations(log)
        target = newest["target"]
        outcome = stranger.record(f"attempts/{target['attempt']}/outcome.json", "outcome")
        assert (outcome["decision"], outcome["root_sha256"]) == ("sealed", target["root_sha256"])
        assert target["run_id"] == REVISION
        assert target.get("path") == ("metrics.json" if log.startswith("names/") else None)


def test_the_index_of_the_sample_has_one_row_per_attempt_that_is_sealed_and_not_retired() -> None:
    stranger = Stranger(SAMPLE)
    rows = stranger.rows(EXPERIMENT)
    outcomes = {path.parent.name: json.loads(path.read_bytes()) for path in SAMPLE.glob("attempts/*/outcome.json")}
    sealed = {attempt for attempt, outcome in outcomes.items() if outcome["decision"] == "sealed"}
    retired = {path.parent.name for path in SAMPLE.glob("attempts/*/retired.json")}
    assert rows.keys() == sealed - retired
    assert len(retired) == 2
    for attempt, row in rows.items():
        assert row["root_sha256"] == outcomes[attempt]["root_sha256"]


def test_every_key_of_the_sample_is_one_that_the_format_page_lists() -> None:
    table = PAGE.read_text().partition("## The layout")[2].partition("The four kinds")[0]
    names = [name for row in re.findall(r"(?m)^\| (`.+?) \|", table) for name in re.findall(r"`([^`]+)`", row)]
    forms = {name: re.compile(_pattern(name)) for name in names}
    seen = {name: [key for key in tree(SAMPLE) if form.fullmatch(key)] for name, form in forms.items()}
    for key in tree(SAMPLE):
        assert sum(key in keys for keys in seen.values()) == 1, key
    missing = {name for name, keys in seen.items() if not keys}
    # The sample's registry is plain; packs are read by a stranger in a registry of their own.
    packed = {"store/packs/sha256/<2>/<2>/<60>.<attempt>.zip", "quarantine/<digest>.<attempt>.zip.json"}
    # Nothing is built in the sample; tests/unit/services/test_building.py does that in a store that knows these keys.
    built = {"builds/<type>/<config digest>/log/<n>.json", "builds/<type>/<config digest>/beat.json"}
    # Nor has it schemas of users: tests/unit/services/test_schemata.py.
    kept = {"catalog/schemas/<name>/<version>.json"}
    # Nor is anything in it signed: tests/conformance/test_signing.py and tests/docs/test_sign_runs.py.
    signed = {"experiments/<e>/signatures/<run_id>/<digest>.sig"}
    assert missing == {"probe/<random>/…", *packed, *built, *kept, *signed}


def _pattern(name: str) -> str:
    """A key as the page writes it, as a regular expression."""
    parts = {
        **dict.fromkeys(("<attempt>", "<batch>", "<pin>"), r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}"),
        "<digest>": "[0-9a-f]{64}",
        "<2>": "[0-9a-f]{2}",
        "<60>": "[0-9a-f]{60}",
        "<n>": "[0-9]{12}",
        "…": ".+",
        **dict.fromkeys(("<e>", "<run_id>", "<random>"), r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"),
        "<name>": r"(?:(?!\.meta\.json)[^/])+",
    }
    pieces = re.split(r"(<\w+>|…)", name)
    return "".join(parts.get(piece) or re.escape(piece) for piece in pieces)


def test_what_the_sample_says_of_a_collection_is_so() -> None:
    stranger = Stranger(SAMPLE)
    (decided,) = (name for name in stranger.names("gc") if name != "condemned")
    (begun,) = (name.removesuffix(".json") for name in stranger.names("gc/condemned"))
    verdict = stranger.record(f"gc/{decided}/verdict.json", "verdict")
    assert (verdict["batch"], verdict["decision"]) == (decided, "sweep")
    assert stranger.names(f"gc/{decided}") == ["deleted.jsonl", "verdict.json"], (
        "the condemned record outlived the batch"
    )
    (line,) = [json.loads(line) for line in (SAMPLE / f"gc/{decided}/deleted.jsonl").read_text().splitlines()]
    assert (line["batch"], line["kind"]) == (decided, "deleted")
    assert not (SAMPLE / line["key"]).exists()
    experiment, _, run = line["used_by"].partition("/")
    assert not stranger.stands(experiment, run)
    assert not (SAMPLE / "experiments" / experiment / "runs" / run / "artifacts").exists()
    (condemned,) = stranger.record(f"gc/condemned/{begun}.json", "condemned")["objects"]
    assert (SAMPLE / condemned["key"]).stat().st_size == condemned["size"]


def test_a_run_of_the_sample_is_pinned_and_an_object_quarantined() -> None:
    stranger = Stranger(SAMPLE)
    pins = f"experiments/{EXPERIMENT}/pins/{FIRST}"
    names = stranger.names(pins)
    counting = [name for name in names if f"{name[:-5]}.lifted.json" not in names and ".lifted." not in name]
    assert [stranger.record(f"{pins}/{name}", "pin")["why"] for name in counting] == ["cited in the report"]
    (name,) = stranger.names("quarantine")
    digest, attempt, _ = name.split(".")
    assert stranger.record(f"quarantine/{name}", "quarantined")["key"] == stranger.object_prefix(digest) + attempt


def test_sealrun_reads_and_verifies_the_sample(reader: Reader) -> None:
    report = Verifier(reader).everything()
    assert report.damages == ()
    assert report.runs == 3
    assert report.bytes_read > 0


def test_sealrun_restores_a_run_of_the_sample(reader: Reader, tmp_path: Path) -> None:
    restore(reader, reader.load(reader.resolve("training@best")), LocalDestination(tmp_path / "run"), sealed=False)
    assert tree(tmp_path / "run") == {
        **Stranger(SAMPLE).files(EXPERIMENT, REVISION),
        "model/current.bin": (tmp_path / "run" / "model" / "weights.bin").read_bytes(),
    }
    assert (tmp_path / "run" / "predict.sh").stat().st_mode & 0o111
    assert (tmp_path / "run" / "plots").is_dir()


def test_the_tree_digest_is_what_the_documented_command_prints(reader: Reader, tmp_path: Path) -> None:
    view = reader.load(reader.resolve(f"training/{FIRST}"))
    restore(reader, view, LocalDestination(tmp_path / "run"), sealed=False)
    command = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    assert command in PAGE.read_text()
    assert shell(command, tmp_path / "run").split()[0] == view.manifest.tree_digest


def test_the_sample_is_verified_by_sha256sum_where_it_lies() -> None:
    for run in Stranger(SAMPLE).runs(EXPERIMENT):
        shell("sha256sum --check --quiet MANIFEST.sha256", SAMPLE / "experiments" / EXPERIMENT / "runs" / run)


def test_the_sample_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    """If not, the format has changed: mind what is stored already, then run ``python -m tests.docs.make_sample``."""
    make_sample(tmp_path / "again")
    assert tree(tmp_path / "again") == tree(SAMPLE)


def test_the_examples_of_the_format_page_are_the_records_of_the_sample() -> None:
    page = PAGE.read_text()
    assert with_examples(page, SAMPLE) == page
    assert page.count("<!-- sample: ") >= 10


def test_damage_to_the_sample_is_noticed_by_both_readers(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(SAMPLE, damaged)
    victim = next(path for path in damaged.rglob("store/objects/sha256/10/fc/*"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    with pytest.raises(AssertionError):
        Stranger(damaged).files(EXPERIMENT, FIRST)
    report = Verifier(Reader(PosixStore(damaged), FakeClock(), FakeEntropy())).everything()
    assert {damage.kind for damage in report.damages} == {"bytes"}


def test_a_stranger_reads_runs_in_packs(tmp_path: Path) -> None:
    source = tmp_path / "run"
    (source / "deep").mkdir(parents=True)
    files = {"a": b"alpha", "deep/b": b"beta" * 100, "deep/again": b"alpha", "empty": b"", "large": b"x" * (1 << 20)}
    for name, body in files.items():
        (source / name).write_bytes(body)
    publish(tmp_path / "registry", source, packed=True)
    stranger = Stranger(tmp_path / "registry")
    (run,) = stranger.runs(EXPERIMENT)
    assert stranger.files(EXPERIMENT, run) == files
    (pack,) = (tmp_path / "registry/store/packs").rglob("*.zip")
    with zipfile.ZipFile(pack) as archive:
        assert archive.testzip() is None
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    small = {body for body in files.values() if len(body) < 1 << 20}
    assert members == {hashlib.sha256(body).hexdigest(): body for body in small}
