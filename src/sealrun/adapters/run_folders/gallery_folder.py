"""A gallery's folder, which may lie in somebody's repository: only what a gallery put there is ever replaced."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from sealrun.domain.curation.galleries import HTML_FILE, INDEX_FILE, MARKDOWN_FILE
from sealrun.domain.errors import NoSpaceError, UsageError
from sealrun.domain.records import canonical_json
from sealrun.recording.durable import write_bytes, write_text

_PAGES = (MARKDOWN_FILE, HTML_FILE)


class GalleryFolder:
    """Writes a gallery. Every file appears whole; a call that is killed is made good by the next."""

    def __init__(self, root: Path) -> None:
        """Write to `root`, which is made when something is written."""
        self._root = root

    def own(self) -> frozenset[str]:
        """Names of the files that galleries put there before."""
        try:
            listed = json.loads((self._root / INDEX_FILE).read_text())["files"]
            names = [name for name in listed if name == os.path.basename(name)]  # noqa: PTH119 - as text
        except FileNotFoundError:
            return frozenset()
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{self._root / INDEX_FILE}: is not a gallery's; choose another folder with --into"
            raise UsageError(msg) from error
        return frozenset(names)

    def check(self, names: Collection[str]) -> None:
        """Refuse to write over files that no gallery put there: `UsageError` names one."""
        own = self.own()
        for name in sorted({*names, *_PAGES}):
            if name not in own and os.path.lexists(self._root / name):
                msg = f"{self._root / name}: is there already, and is no gallery's; choose another folder with --into"
                raise UsageError(msg)

    def write(self, pictures: Mapping[str, Path], pages: Mapping[str, str], index: Mapping[str, object]) -> list[str]:
        """Write pictures and `pages`, and remove what is shown no longer; return the names of what was removed.

        What is about to be there is listed first: whatever a crash leaves is known to be a gallery's.
        """
        names = {*pictures, *pages, INDEX_FILE}
        self.check(pictures)
        before = self.own()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            write_bytes(self._root / INDEX_FILE, canonical_json({**index, "files": sorted(names | before)}))
            for name, source in pictures.items():
                if not _is_same(self._root / name, source):
                    write_bytes(self._root / name, source.read_bytes())
            for name, text in pages.items():
                write_text(self._root / name, text)
            gone = sorted(before - names)
            for name in gone:
                (self._root / name).unlink(missing_ok=True)
            write_bytes(self._root / INDEX_FILE, canonical_json({**index, "files": sorted(names)}))
        except OSError as error:
            msg = f"{self._root}: cannot be written to ({error.strerror}); choose another folder with --into"
            raise NoSpaceError(msg) from error
        return gone


def _is_same(one: Path, other: Path) -> bool:
    try:
        return _digest(one) == _digest(other)
    except FileNotFoundError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
