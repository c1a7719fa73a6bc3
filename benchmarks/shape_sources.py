"""Folders of unusual shapes, made quickly and without holes, and compared with what was restored of them."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

GB = 10**9
_BLOCK = 1 << 26
_LOG_LINES = 1 << 16


def noise(size: int, seed: int = 0) -> Iterator[bytes]:
    """Yield `size` random bytes, none of it twice: one random block, its values dealt anew each time. 1 GB/s or so."""
    source = random.Random(seed)  # noqa: S311 - the same bytes every time is the point
    block, values = source.randbytes(min(_BLOCK, size)), bytearray(range(256))
    while size > 0:
        source.shuffle(values)
        yield block.translate(values)[:size]
        size -= len(block)


def tiny_files(folder: Path, scale: float) -> None:
    """A million files of 200 bytes, a thousand in each folder."""
    for number in range(max(1, int(1_000_000 * scale))):
        if number % 1000 == 0:
            inner = folder / f"{number // 1000:04}"
            inner.mkdir(parents=True)
        (inner / f"{number % 1000:03}").write_bytes(f"{number} ".encode().ljust(200, b"."))


def one_large_file(folder: Path, scale: float) -> None:
    """One file of 20 GB, random throughout."""
    folder.mkdir(parents=True)
    with (folder / "checkpoint.bin").open("wb") as file:
        file.writelines(noise(int(20 * GB * scale)))


def deep_tree(folder: Path, scale: float) -> None:
    """Folders 200 deep, a file in each, and an empty folder at the end."""
    for depth in range(max(2, int(200 * min(1.0, scale * 20)))):
        folder /= "d"
        folder.mkdir(parents=True)
        (folder / "f").write_bytes(b"%d" % depth)
    (folder / "empty").mkdir()


def tiny_runs(folder: Path, scale: float) -> None:
    """10,000 runs of three tiny files, the marker included."""
    for number in range(max(1, int(10_000 * scale))):
        run = folder / f"run{number:06}"
        run.mkdir(parents=True)
        (run / "metrics.json").write_text(json.dumps({"number": number}))
        (run / "log.txt").write_bytes(b"%d\n" % number * 20)
        (run / "_SUCCESS").touch()


def append_log(folder: Path, scale: float, revision: int) -> None:
    """Append the next tenth of a GB of lines, no two alike, to a log beside a small file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    step, number = max(1, int(GB * scale / 10)), 0
    with (folder / "train.log").open("ab") as file:
        end = file.tell() + step
        while file.tell() < end:
            lines = b"".join(
                b"%02d %012d loss %d\n" % (revision, i, i * 2654435761 % 10**9)
                for i in range(number, number + _LOG_LINES)
            )
            file.write(lines[: end - file.tell()])
            number += _LOG_LINES


def compare(source: Path, restored: Path) -> None:
    """Raise `RuntimeError` naming the first path that differs; empty folders count."""
    for ours, theirs in zip(_walk(source), _walk(restored), strict=False):
        if ours != theirs or (ours[1] and digest(source / ours[0]) != digest(restored / ours[0])):
            msg = f"restored: {theirs[0]} is not {ours[0]}"
            raise RuntimeError(msg)
    if sum(1 for _ in _walk(source)) != sum(1 for _ in _walk(restored)):
        msg = "more or fewer files were restored than were dropped"
        raise RuntimeError(msg)


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield every path below, in order, and whether it is a file."""
    waiting = [""]
    while waiting:
        here = waiting.pop()
        with os.scandir(folder / here) as entries:
            found = sorted((f"{here}{entry.name}", entry.is_dir()) for entry in entries)
        for path, is_folder in found:
            yield path, not is_folder
        waiting += [f"{path}/" for path, is_folder in reversed(found) if is_folder]


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
