"""Seals of other tools: a run folder with ``MANIFEST.sha256``, whose ROOT_SHA256 is that of its lines.

Taken as such: lines as ``sha256sum`` prints them, and one that says ``ROOT_SHA256 <hex>`` (as a comment, with ``:`` or
``=``, or as a sum named ROOT_SHA256). The root is the sha256 of the sum lines as they stand, with or without the last
newline, or of all that is above it, or of the digests alone; as they stand or sorted. Nothing is guessed beyond that:
what does not add up is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.errors import IntegrityError, RunRejectedError, SealrunError
from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, parse_sum_line

_ROOT = re.compile(
    r"\s*#?\s*(?:ROOT_SHA256\s*[:=]?\s*([0-9a-f]{64})|([0-9a-f]{64})\s+\*?ROOT_SHA256)\s*\Z", re.IGNORECASE
)
_OWN = ".sealrun/"
_LISTS = ("files", "entries", "artifacts", "outputs")
_PATHS = ("path", "name", "file", "relpath")
_SUMS = ("sha256", "hash", "digest", "sha256_hex")
_SIZES = ("size", "bytes", "size_bytes")


class ForeignSeal(msgspec.Struct, frozen=True):
    """What a MANIFEST.sha256 with a root says: the root, and the sums by path. The root is that of the lines."""

    root: Digest
    sums: Mapping[str, Digest]


def is_root_line(line: str) -> bool:
    """Tell whether a line of MANIFEST.sha256 says its ROOT_SHA256."""
    return _ROOT.match(line) is not None


def read_foreign_seal(body: bytes, where: str) -> ForeignSeal | None:
    """Read a MANIFEST.sha256; None if it says no root. `IntegrityError` if the root is not that of its lines."""
    try:
        lines = body.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        msg = f"{where}: is not UTF-8"
        raise IntegrityError(msg) from error
    roots = [match[1] or match[2] for line in lines if (match := _ROOT.match(line))]
    if not roots:
        return None
    sums = [line for line in lines if line and not line.lstrip().startswith("#") and not is_root_line(line)]
    root = Digest(roots[-1].lower())
    if root not in _roots_of(sums, lines):
        msg = f"{where}: ROOT_SHA256 {root} is not that of the lines: they, or it, were changed after sealing"
        raise IntegrityError(msg)
    try:
        found = dict(parse_sum_line(line) for line in sums)
    except (ValueError, SealrunError) as error:
        msg = f"{where}: {error}"
        raise IntegrityError(msg) from error
    return ForeignSeal(root, {path.removeprefix("./"): digest for path, digest in found.items()})


def _roots_of(sums: list[str], lines: list[str]) -> set[str]:
    """Digests that may be the root: of the sums, and of all lines above the last root, remarks included."""
    last = max(number for number, line in enumerate(lines) if is_root_line(line))
    digests = [line.lstrip("\\")[:64] for line in sums]
    texts = ["\n".join(each) for each in (sums, sorted(sums), lines[:last], digests, sorted(digests))]
    texts += ["".join(each) for each in (digests, sorted(digests))]
    return {sha256(f"{text}{end}".encode()) for text in texts for end in ("", "\n")}


class ForeignPointer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pointer's file leads: a run folder, and what is said of it."""

    run_root: str
    run_id: str | None = None
    root_sha256: str | None = None


def read_pointers(body: bytes, name: str) -> list[ForeignPointer]:
    """Read a pointer's file: every object with a ``run_root`` in a JSON file, or the first line of a text.

    `IntegrityError` if there is nothing to follow.
    """
    found: list[ForeignPointer] = []
    if name.endswith(".json"):
        try:
            ahead: list[object] = [json.loads(body)]
        except (ValueError, RecursionError) as error:
            msg = f"{name}: is not valid JSON ({error})"
            raise IntegrityError(msg) from error
        while ahead:
            value = ahead.pop()
            if isinstance(value, dict) and isinstance(value.get("run_root"), str):
                found.append(_pointer(value))
            ahead += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    elif text := body.decode("utf-8", "replace").strip():
        found.append(ForeignPointer(run_root=text.splitlines()[0].strip()))
    if not found:
        msg = f"{name}: says no run_root: it leads nowhere"
        raise IntegrityError(msg)
    return sorted(found, key=lambda pointer: pointer.run_root)


def _pointer(value: Mapping[str, object]) -> ForeignPointer:
    texts = {key.lower(): item for key, item in value.items() if isinstance(item, str)}
    return ForeignPointer(run_root=texts["run_root"], run_id=texts.get("run_id"), root_sha256=texts.get("root_sha256"))


def seal_problems(seal: ForeignSeal, digests: Mapping[str, Digest]) -> Iterator[str]:
    """Say how a folder's files, by path, differ from what its seal says."""
    for path, digest in sorted(seal.sums.items()):
        if path not in digests:
            yield f"{path}: is sealed, and not there"
        elif digests[path] != digest:
            yield f"{path}: was changed after it was sealed: its sha256 is {digests[path]}, not {digest}"
    records = {SUMS_FILE, RUN_FILE, MANIFEST_FILE}
    for path in sorted(digests.keys() - seal.sums.keys() - records):
        if not path.startswith(_OWN):
            yield f"{path}: was added after the folder was sealed: {SUMS_FILE} does not name it"


def listing_problems(
    body: bytes | None, digests: Mapping[str, Digest], sizes: Mapping[str, int], prefix: str = ""
) -> Iterator[str]:
    """Say where a structured ``manifest.json`` contradicts the files, as far as its listing is understood.

    Its paths are below `prefix`.
    """
    try:
        value = json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        yield f"{MANIFEST_FILE}: is not valid JSON ({error})"
        return
    for listed, said_digest, said_size in _listed(value):
        path = prefix + listed
        if path not in digests:
            yield f"{MANIFEST_FILE}: lists {path}, which is not there"
            continue
        if said_digest is not None and said_digest.removeprefix("sha256:") != digests[path]:
            yield f"{MANIFEST_FILE}: says another sha256 of {path} than it has"
        if said_size is not None and said_size != sizes[path]:
            yield f"{MANIFEST_FILE}: says that {path} has {said_size} bytes; it has {sizes[path]}"


def _listed(value: object) -> Iterator[tuple[str, str | None, int | None]]:
    if not isinstance(value, dict):
        return
    for name in _LISTS:
        listing = value.get(name)
        if isinstance(listing, dict):
            yield from (_item(path, said) for path, said in sorted(listing.items()) if isinstance(said, str | dict))
        elif isinstance(listing, list):
            for item in listing:
                path = _first(item, _PATHS) if isinstance(item, dict) else None
                if isinstance(path, str) and _first(item, _SUMS) is not None:
                    yield _item(path, item)


def _item(path: str, said: object) -> tuple[str, str | None, int | None]:
    if isinstance(said, str):
        return path.removeprefix("./"), said, None
    digest, size = _first(said, _SUMS), _first(said, _SIZES)
    whole = size if isinstance(size, int) and not isinstance(size, bool) else None
    return path.removeprefix("./"), digest if isinstance(digest, str) else None, whole


def _first(item: object, names: Iterable[str]) -> object:
    return next((item[name] for name in names if name in item), None) if isinstance(item, dict) else None


def refuse_broken_seal(body: bytes, where: str, digests: Mapping[str, Digest]) -> None:
    """Raise `RunRejectedError` if a folder that says a ROOT_SHA256 is not what was sealed: it is not taken in."""
    try:
        seal = read_foreign_seal(body, f"{where}/{SUMS_FILE}")
    except IntegrityError as error:
        raise RunRejectedError(str(error)) from error
    problem = None if seal is None else next(seal_problems(seal, digests), None)
    if problem is not None:
        msg = f"{where}: {problem}; it is not taken in: restore it, or remove {SUMS_FILE} to seal it anew"
        raise RunRejectedError(msg)
