"""Every parser of what comes from outside: valid input to begin with, the call, and the errors it may raise.

`tests/fuzz/test_parsers.py` mutates the seeds in the suite; `tests/fuzz/with_atheris.py` lets coverage guide it.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from tests.builders.frameworks import HeldLook, held, recorded_names
from tests.fuzz.seeds import (
    DIGEST,
    DONE,
    KEYS,
    LISTING,
    POINTERS,
    REFERENCES,
    SAMPLE,
    SETTINGS,
    SIGNATURE,
    YAML,
    files_like,
    record_kinds,
    sample,
)

from sealrun.adapters.stores.s3_address import parse_place
from sealrun.domain import address
from sealrun.domain.curation.signing import parse_signature
from sealrun.domain.curation.tabulating import parse_condition
from sealrun.domain.curation.validating import content_problems
from sealrun.domain.errors import ConfigurationError, IntegrityError, RunRejectedError, SealrunError, UsageError
from sealrun.domain.oversight.previews import MOST_COLUMNS, MOST_ROWS, picture_type, table_of, text_of
from sealrun.domain.paths import path_problem
from sealrun.domain.patterns import Patterns, check_patterns
from sealrun.domain.presets import recognise
from sealrun.domain.presets.event_files import Events, read_events
from sealrun.domain.presets.pickles import enum_number, first_string, text_after
from sealrun.domain.presets.plain_yaml import read_yaml, read_yaml_parts
from sealrun.domain.presets.wandb_log import WandbLog, read_wandb_log
from sealrun.domain.records import Record, sha256
from sealrun.domain.reference import parse_reference
from sealrun.domain.registry.indexing import Rows, lines_of, ordering_of_line, row_of_line
from sealrun.domain.registry.publication import Refs
from sealrun.domain.runs.declarations import parse_time, read_json, read_producer, read_sums
from sealrun.domain.runs.foreign import listing_problems, read_foreign_seal, read_pointers
from sealrun.domain.runs.links import links_problem
from sealrun.domain.runs.manifest import Manifest, Sums
from sealrun.domain.runs.recorder import pulse_time, read_recorder
from sealrun.domain.types.artifact import TypedArtifact, parse_schema_id
from sealrun.domain.types.declaring import read_declared
from sealrun.domain.urn import parse_urn
from sealrun.fsspec_plugin import paths
from sealrun.services.mending import comparing
from sealrun.services.oversight import run_lists
from sealrun.settings import http, load_settings
from sealrun.settings.quantities import parse_duration, parse_share, parse_size
from sealrun.web.gate import own_path
from sealrun.web.guarding import host_name

WHERE = "some/key.json"


class Target(NamedTuple):
    """A parser. `errors` is what it may raise; everything else, and endless work, is a mistake."""

    seeds: Sequence[bytes]
    call: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = ()


def text(call: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of text, which may hold what Python makes of bytes that are not UTF-8."""
    return lambda body: call(body.decode("utf-8", "surrogateescape"))


def _decode(kind: type[Record], body: bytes) -> None:
    """What a reader does with a record: decode it, and say it again."""
    record = kind.decode(body, WHERE)
    record.encode()


def _manifest(body: bytes) -> None:
    manifest = Manifest.decode(body, WHERE)
    for entry in manifest.entries:
        assert path_problem(entry.path) is None
        assert not Path(entry.path).is_absolute()
        assert ".." not in entry.path.split("/")
    assert links_problem({link.path: link.target for link in manifest.links}) is None
    manifest.encode()


def _refs(body: bytes) -> None:
    refs = Refs.decode(body, WHERE)
    for name in refs.__struct_fields__:
        getattr(refs, name)
    refs.encode()


def _sums(body: bytes) -> None:
    """As it is, and with the root that its lines have, or nothing would be looked at but the root."""
    with contextlib.suppress(IntegrityError):
        len(Sums.decode(body, WHERE).lines)
    len(Sums.decode(_rooted(body), WHERE).lines)


def _rooted(body: bytes) -> bytes:
    head = body.rpartition(b"# ROOT_SHA256 ")[0]
    return head + b"# ROOT_SHA256 " + sha256(head).encode() + b"\n"


def _foreign_seal(body: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        read_foreign_seal(body, WHERE)
    read_foreign_seal(_rooted(body), WHERE)


@cache
def _folder() -> Path:
    """A folder of this process's own."""
    folder = Path(tempfile.mkdtemp(prefix="sealrun-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _settings(body: bytes) -> None:
    folder = _folder()
    file = folder / "sealrun.toml"
    file.write_bytes(body)
    load_settings(file, {"HOME": str(folder), "SECRET": "s"}, folder).shown()


def _patterns(body: bytes) -> None:
    lines = tuple(body.decode("utf-8", "surrogateescape").splitlines()[:50])
    check_patterns(lines, ".sealignore")
    patterns = Patterns(inner=lines, include=lines[:1])
    for path in ("a/b/c.txt", "a" * 200, "x/" * 50 + "y"):
        patterns.excludes(path, folder=False)
        patterns.excludes(path, folder=True)


def _location(url: str) -> None:
    paths.options_of(url)
    location = paths.locate(paths.strip(url))
    assert not location.ref.startswith("/")


def _producer(body: bytes) -> None:
    read_producer({"run.json": body, "manifest.json": body, ".sealrun/done.json": body, "checks.json": body})


def _framework(name: str, body: bytes) -> None:
    """One file of a recorded run is replaced, whichever the first byte says."""
    look = held(name)
    files = sorted(look.bodies)
    changed = HeldLook({**look.bodies, files[body[0] % len(files) if body else 0]: body[1:]}, look.folders)
    found = recognise(changed, "auto")
    assert found.status is None or found.status.state
    found.facts(changed)


def _framework_seeds(name: str) -> list[bytes]:
    look = held(name)
    return [bytes([number % 256]) + look.bodies[path][:20_000] for number, path in enumerate(sorted(look.bodies))]


def _pickle(body: bytes) -> None:
    first_string(body)
    text_after(body, "status")
    enum_number(body, "JobStatus")


def _declared(body: bytes) -> None:
    for artifact in read_declared(read_json(body), WHERE):
        assert path_problem(artifact.path) is None or artifact.path == "."


def _registry_artifact(path: str, kind: str, body: bytes) -> None:
    list(content_problems(TypedArtifact(path=path, type=kind), [body[:7], body[7:]], None))  # type: ignore[arg-type] # a literal


def _table(name: str, body: bytes) -> None:
    for truncated in (False, True):
        found = table_of(name, body, truncated=truncated)
        assert len(found.columns) <= MOST_COLUMNS
        assert len(found.rows) <= MOST_ROWS


def _keys(key: str) -> None:
    for parse in (
        address.parse_object_key,
        address.generation_of,
        address.attempt_of,
        address.batch_of,
        address.quarantined_object,
        address.parse_digest,
        address.parse_artifact_name,
        partial(address.parse_name, what="run id"),
    ):
        try:
            parse(key)
        except SealrunError:
            continue


def _quantities(value: str) -> None:
    for parse in (parse_duration, parse_size, parse_share):
        try:
            parse(value)
        except ValueError:
            continue


def _listing(body: bytes) -> None:
    digests = {"a.txt": address.Digest(DIGEST), "b/c.txt": address.Digest(DIGEST)}
    list(listing_problems(body, digests, {"a.txt": 1, "b/c.txt": 2}))


def _of_an_index() -> Iterator[tuple[str, Target]]:
    lines = [line for path in sorted(SAMPLE.rglob("*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)]
    yield "index line", Target(lines, lambda body: row_of_line(body, WHERE), (IntegrityError,))
    yield "index name", Target(lines, lambda body: ordering_of_line(body, WHERE), (IntegrityError,))
    base = [b"".join(lines)]
    yield "index base", Target(base, lambda b: list(Rows(lines_of((b,)), WHERE)), (IntegrityError,))
    yield "listed base", Target(base, lambda b: list(run_lists._rows_of_base((b,), WHERE)), (IntegrityError,))
    yield "listed row", Target(lines, lambda body: run_lists._row(body, WHERE), (IntegrityError,))


def _targets() -> Iterator[tuple[str, Target]]:
    for kind, cls in sorted(record_kinds().items()):
        yield f"record {kind}", Target(sample(kind), partial(_decode, cls), (IntegrityError,))
    yield "manifest.json", Target(sample("manifest"), _manifest, (IntegrityError,))
    yield "refs.json", Target(sample("refs"), _refs, (IntegrityError,))
    sums = [path.read_bytes() for path in sorted(SAMPLE.rglob("MANIFEST.sha256"))]
    yield "MANIFEST.sha256", Target(sums, _sums, (IntegrityError,))
    yield "sums by anybody", Target(sums, read_sums)
    yield "seal by anybody", Target(sums, _foreign_seal, (IntegrityError,))
    yield "pointers by anybody", Target(POINTERS, lambda body: read_pointers(body, "x.json"), (IntegrityError,))
    yield "pointer text", Target((b"runs/one\n",), lambda body: read_pointers(body, "LATEST.txt"), (IntegrityError,))
    yield "listing by anybody", Target(LISTING, _listing)
    yield from _of_an_index()
    yield "sidecar", Target([b'{"sha256": "x"}'], comparing._digest_in)
    yield "settings", Target([SETTINGS], _settings, (ConfigurationError,))
    yield "patterns", Target([b"*.tmp\n!keep.tmp\n/a/**/b\n[a-z]?\n"], _patterns, (ConfigurationError,))
    yield "reference", Target(REFERENCES, text(parse_reference), (UsageError,))
    yield "urn", Target(REFERENCES, text(parse_urn), (UsageError,))
    yield "location", Target([b"sealrun://" + ref + b"?registry=main" for ref in REFERENCES], text(_location))
    yield "keys", Target(KEYS, text(_keys))
    yield "S3 URL", Target([b"s3://bucket/prefix"], text(parse_place), (ConfigurationError,))
    yield "quantities", Target([b"30s", b"1d 2h", b"20 MB", b"10%"], text(_quantities))
    yield "time", Target([b"2026-01-17T14:00:00+01:00"], text(parse_time))
    yield "condition", Target([b"metrics.loss<0.3"], text(parse_condition), (UsageError,))
    yield "schema id", Target([b"run-registry/0.1"], text(parse_schema_id), (UsageError,))
    yield "producer", Target(DONE, _producer)
    yield "recording.json", Target([b'{"pid": 1, "host": "h", "started_at": "x"}'], read_recorder)
    yield "pulse", Target([b"2026-01-17T14:00:00Z 0000000001\n"], text(pulse_time))
    declared = [b'[{"path": "a.jsonl", "type": "jsonl_registry", "schema": "s/1", "depends_on": ["e@p"]}]']
    yield "declared artifacts", Target(declared, _declared, (RunRejectedError,))
    for path, kind in (("r.jsonl", "jsonl_registry"), ("index.csv", "index"), ("x_v1.json", "json_snapshot")):
        seeds = [b'{"a": 1}\n{"b": 2}\n', b"a,b\n1,2\n"]
        yield f"registry {path}", Target(seeds, partial(_registry_artifact, path, kind))
    for name in ("x.csv", "x.tsv", "x.jsonl"):
        seeds = [b'{"a": 1}\n{"b": [2]}\n', b"a,b\n1,2\n", b'a\t"b\nc"\n']
        yield f"preview of {name}", Target(seeds, partial(_table, name), (UsageError,))
    yield "preview of text", Target([b"a text\n"], lambda body: text_of(body, truncated=False), (UsageError,))
    yield "picture", Target([b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP"], picture_type)
    yield "host header", Target([b"localhost:9478", b"[::1]:9478"], text(host_name))
    yield "own path", Target([b"/runs/a?x=y"], text(own_path))
    yield "http place", Target([b"127.0.0.1:9478", b"unix:/run/x"], text(http.parse_place), (ValueError,))
    yield "signature", Target([SIGNATURE], lambda body: parse_signature(body, WHERE), (IntegrityError,))
    yield "YAML", Target([*YAML, *files_like("*.yaml")], read_yaml)
    yield "YAML in parts", Target([*YAML, *files_like("*.yaml")], read_yaml_parts)
    yield "pickle", Target([*files_like("*.pkl"), *files_like("*.pickle"), b"\x80\x04\x8c\x06status."], _pickle)
    events = [*files_like("events.out.tfevents*"), b"\x18" + bytes(40)]
    yield "event file", Target(events, lambda body: read_events(body, Events(), begins=True))
    logs = [*files_like("*.wandb"), b":W&B" + bytes(40)]
    yield "W&B log", Target(logs, lambda body: read_wandb_log(body, WandbLog(), begins=True))
    for name in recorded_names():
        yield f"framework {name}", Target(_framework_seeds(name), partial(_framework, name))


TARGETS: Mapping[str, Target] = dict(_targets())


def attempt(target: Target, body: bytes) -> None:
    """Parse `body`; an error that is documented is an answer."""
    try:
        target.call(body)
    except target.errors:
        return
