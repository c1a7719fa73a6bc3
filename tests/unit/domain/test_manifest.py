from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealrun.domain.address import Digest
from sealrun.domain.errors import IntegrityError, RunRejectedError, UnsupportedFormatError
from sealrun.domain.paths import path_problem
from sealrun.domain.records import sha256
from sealrun.domain.runs.links import link_problem
from sealrun.domain.runs.manifest import Entry, Link, Manifest, Sums, parse_sum_line, sum_line, tree_digest

ODD_NAMES = ["plain", "with space", " lead", "trail ", "new\nline", "back\\slash", "re\rturn", "\\n", "é", "日本", "-x"]
ODD_NAMES += [
    "# ROOT_SHA256 x",
    "*star",
    "tab\t",
    "\x7f",
    "\x01",
    "\u2028",
    "A",
    "a",
    "a.b",
    "a-b",
    "a0",
    "𝄞",
    "\uffff",
]

_PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda part: part not in {".", ".."}
)
_PATHS = st.lists(_PARTS, min_size=1, max_size=3).map("/".join)
_DIGESTS = st.binary(min_size=32, max_size=32).map(lambda body: Digest(body.hex()))


def entries_of(files: dict[str, bytes]) -> list[Entry]:
    return [Entry(path, len(body), sha256(body)) for path, body in files.items()]


def on_disk(root: Path, files: dict[str, bytes]) -> Path:
    for path, body in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    return root


def shell(command: str, folder: Path) -> str:
    """Run a documented command line in the C locale."""
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def test_the_tree_digest_is_what_stock_tools_print(tmp_path: Path) -> None:
    names = ["b", "a/b", "a-b", "a.b", "a/b2/c", "A", "é", "日本", "z~", "a0"]
    files = {name: name.encode() for name in names}
    printed = shell("find . -type f | sort | xargs sha256sum | sha256sum", on_disk(tmp_path, files))
    assert printed.split()[0] == tree_digest(sorted(entries_of(files)))


def test_the_tree_digest_is_what_stock_tools_print_for_odd_names_too(tmp_path: Path) -> None:
    files = {name: name.encode() for name in ODD_NAMES} | {f"d/{name}": b"" for name in ODD_NAMES}
    printed = shell("find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum", on_disk(tmp_path, files))
    assert printed.split()[0] == tree_digest(sorted(entries_of(files)))


def test_times_links_folders_and_modes_do_not_enter_the_tree_digest() -> None:
    plain = Manifest.build([Entry("a", 1, sha256(b"a"))])
    rich = Manifest.build([Entry("a", 1, sha256(b"a"), executable=True)], ["empty"], [Link("l", "a")])
    assert plain.tree_digest == rich.tree_digest
    assert plain.encode() != rich.encode()


def test_sums_verify_with_sha256sum_for_odd_names_too(tmp_path: Path) -> None:
    files = {f"{place}{name}": name.encode() for name in ODD_NAMES for place in ("", "d/")}
    manifest = Manifest.build(entries_of(files))
    run_json, manifest_json = b"{}\n", manifest.encode()
    sums = Sums.build(run_json, manifest_json, manifest)
    on_disk(tmp_path / "artifacts", files)
    on_disk(tmp_path, {"run.json": run_json, "manifest.json": manifest_json, "MANIFEST.sha256": sums.encode()})
    assert shell("sha256sum --strict --quiet -c MANIFEST.sha256", tmp_path) == ""
    printed = shell("sha256sum -c MANIFEST.sha256 | wc -l", tmp_path)
    assert int(printed) >= len(files) + 2
    root = shell("grep -v '^# ROOT_SHA256' MANIFEST.sha256 | sha256sum", tmp_path).split()[0]
    assert root == sums.root
    assert shell("tail -n 1 MANIFEST.sha256", tmp_path) == f"# ROOT_SHA256 {root}\n"


def test_sha256sum_notices_a_changed_file(tmp_path: Path) -> None:
    manifest = Manifest.build(entries_of({"a": b"1"}))
    sums = Sums.build(b"{}", manifest.encode(), manifest)
    on_disk(tmp_path, {"artifacts/a": b"2", "run.json": b"{}", "manifest.json": manifest.encode()})
    (tmp_path / "MANIFEST.sha256").write_bytes(sums.encode())
    with pytest.raises(subprocess.CalledProcessError):
        shell("sha256sum -c MANIFEST.sha256", tmp_path)


@settings(deadline=None)
@given(st.dictionaries(_PATHS, _DIGESTS, max_size=5))
def test_sums_are_read_back_as_they_were_written(lines: dict[str, Digest]) -> None:
    entries = [Entry(path, 1, digest) for path, digest in lines.items()]
    manifest = Manifest(entries=tuple(entries), tree_digest=Digest("0" * 64), size=0)
    sums = Sums.build(b"run", b"manifest", manifest)
    assert Sums.decode(sums.encode(), "x") == sums


@given(_PATHS, _DIGESTS)
def test_a_line_of_sha256sum_is_read_back(path: str, digest: Digest) -> None:
    line = sum_line(digest, path)
    assert line.count("\n") == 1
    assert parse_sum_line(line.removesuffix("\n")) == (path, digest)


def test_lines_made_in_binary_mode_are_read() -> None:
    assert parse_sum_line("0" * 64 + " *a b") == ("a b", "0" * 64)


@pytest.mark.parametrize("damage", ["root", "line", "no root", "not a digest", "empty", "not a line"])
def test_damaged_sums_are_refused(damage: str) -> None:
    manifest = Manifest.build(entries_of({"a": b"1"}))
    body = Sums.build(b"{}", manifest.encode(), manifest).encode()
    bad_digest = b"XY" + b"0" * 62 + b"  a\n"
    broken = {
        "root": body[:-3] + b"00\n",
        "line": body.replace(b"artifacts/a", b"artifacts/b"),
        "no root": body[: body.index(b"#")],
        "not a digest": bad_digest + b"# ROOT_SHA256 " + hashlib.sha256(bad_digest).hexdigest().encode() + b"\n",
        "not a line": b"x\n# ROOT_SHA256 " + hashlib.sha256(b"x\n").hexdigest().encode() + b"\n",
        "empty": b"",
    }[damage]
    with pytest.raises(IntegrityError, match="here"):
        Sums.decode(broken, "here")


def test_the_bytes_of_a_manifest_do_not_depend_on_the_order_of_listing() -> None:
    entries = entries_of({"b": b"1", "a": b"2", "c/d": b"3"})
    links = [Link("y", "a"), Link("x", "b")]
    one = Manifest.build(entries, ["q", "p"], links)
    other = Manifest.build(reversed(entries), ["p", "q"], reversed(links))
    assert one.encode() == other.encode()


_TREES = st.dictionaries(_PATHS, st.tuples(st.integers(0, 2**53), _DIGESTS, st.booleans()), max_size=5)


@settings(deadline=None)
@given(_TREES)
def test_a_manifest_is_read_back_as_it_was_written(files: dict[str, tuple[int, Digest, bool]]) -> None:
    entries = [Entry(path, size, digest, executable=bit) for path, (size, digest, bit) in files.items()]
    try:
        manifest = Manifest.build(entries)
    except RunRejectedError:
        return  # a path that is both a file and a folder
    assert Manifest.decode(manifest.encode(), "x") == manifest
    assert manifest.size == sum(entry.size for entry in entries)


@pytest.mark.parametrize(
    ("entries", "folders", "links", "reason"),
    [
        (["a", "a"], [], [], "same path"),
        (["a"], ["a"], [], "same path"),
        (["a"], [], [Link("a", "b")], "same path"),
        (["a", "a/b"], [], [], "both a leaf and a folder"),
        (["x"], ["a", "a/b"], [], "both a leaf and a folder"),
        (["../a"], [], [], "component"),
        (["/a"], [], [], "component"),
        (["a//b"], [], [], "component"),
        (["a/./b"], [], [], "component"),
        (["x" * 256], [], [], "longer than"),
        (["é" * 128], [], [], "longer than"),
        (["\udc80"], [], [], "UTF-8"),
        (["a\0"], [], [], "NUL"),
        (["a"], [], [Link("l", "/etc/passwd")], "absolute"),
        (["a"], [], [Link("d/l", "../../x")], "leaves"),
    ],
)
def test_content_that_is_impossible_or_unsafe_is_rejected(
    entries: list[str], folders: list[str], links: list[Link], reason: str
) -> None:
    with pytest.raises(RunRejectedError, match=reason):
        Manifest.build([Entry(path, 0, sha256(b"")) for path in entries], folders, links)


def _altered(manifest: Manifest, **changes: object) -> bytes:
    return msgspec.structs.replace(manifest, **changes).encode()


def test_a_stored_manifest_that_is_unsafe_or_contradicts_itself_is_refused() -> None:
    good = Manifest.build(entries_of({"a": b"1", "b": b"2"}))
    evil = (Entry("../../root/.profile", 0, sha256(b"")),)
    with pytest.raises(IntegrityError, match="component"):
        Manifest.decode(_altered(good, entries=evil, tree_digest=tree_digest(evil)), "x")
    with pytest.raises(IntegrityError, match="tree digest"):
        Manifest.decode(_altered(good, tree_digest=Digest("0" * 64)), "x")
    with pytest.raises(IntegrityError, match="tree digest"):
        Manifest.decode(_altered(good, entries=good.entries[::-1]), "x")
    short = (Entry("a", 0, Digest("abc")),)
    with pytest.raises(UnsupportedFormatError, match="digest"):
        Manifest.decode(_altered(good, entries=short, tree_digest=tree_digest(short)), "x")
    with pytest.raises(IntegrityError, match="size"):
        Manifest.decode(_altered(good, size=7), "x")
    negative = (Entry("a", -1, sha256(b"")),)
    with pytest.raises(IntegrityError, match="size"):
        Manifest.decode(_altered(good, entries=negative, tree_digest=tree_digest(negative), size=-1), "x")


@pytest.mark.parametrize("target", ["a", "./a", "../d/a", "..", "d/../../x/a", "", "a\0", "/a", "../..", "\udc80"])
def test_a_link_is_a_problem_exactly_when_it_can_leave_the_run(target: str) -> None:
    inside = target in {"a", "./a", "../d/a", "..", "d/../../x/a"}
    assert (link_problem("d/link", target) is None) is inside


@given(_PATHS, st.lists(st.sampled_from(["..", ".", "a", "b"]), min_size=1, max_size=8).map("/".join))
def test_a_link_without_a_problem_never_resolves_outside(path: str, target: str) -> None:
    assert path_problem(path) is None
    if link_problem(path, target) is None:
        resolved = os.path.normpath(os.path.join("/run", os.path.dirname(path), target))  # noqa: PTH118, PTH120 - lexical
        assert resolved == "/run" or resolved.startswith("/run/")


def test_digests_of_a_manifest_are_distinct_contents() -> None:
    manifest = Manifest.build(entries_of({"a": b"same", "b": b"same", "c": b""}))
    assert manifest.digests() == {sha256(b"same"): 4, sha256(b""): 0}


def _shuffled(items: Iterable[str]) -> list[str]:
    return sorted(items, key=lambda name: hashlib.sha256(name.encode("utf-8")).digest())


def test_entries_sort_like_the_c_locale(tmp_path: Path) -> None:
    names = [name for name in ODD_NAMES if "\n" not in name]
    on_disk(tmp_path, dict.fromkeys(names, b""))
    printed = shell("find . -type f | sort", tmp_path).split("\n")[:-1]
    manifest = Manifest.build([Entry(name, 0, sha256(b"")) for name in _shuffled(names)])
    assert printed == [f"./{entry.path}" for entry in manifest.entries]


PIECES = st.sampled_from(["a", "B/", "/", ".", "..", "\n", "\0", "é", "-", " ", "x" * 255, "x" * 256, "\udc80", ".x"])


@settings(max_examples=300, deadline=None)
@given(st.sets(st.lists(PIECES, max_size=4).map("".join), max_size=3))
def test_paths_that_are_looked_at_together_are_refused_like_each_by_itself(paths: set[str]) -> None:
    ordered = sorted(paths)
    problem = next(filter(None, map(path_problem, ordered)), None)
    manifest = Manifest(
        entries=tuple(Entry(path, 1, sha256(b"x")) for path in ordered), tree_digest=Digest(""), size=len(ordered)
    )
    folders = {"/".join(path.split("/")[:end]) for path in paths for end in range(1, path.count("/") + 1)}
    if not paths & folders:  # which is said first
        assert manifest.problem() == problem
