"""The files of a run: its folders, its declared sections, and writers that record what they wrote."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from pathlib import Path

from sealrun.recording.declaring import DeclaredArtifacts
from sealrun.recording.durable import Written, make_folders, write_bytes, write_json, write_parquet, write_text
from sealrun.recording.sections import check_section, checked_sections, inside


class RunFiles(DeclaredArtifacts):
    """What of a recorded run has to do with its files."""

    def __init__(self, sections: Iterable[str]) -> None:
        """Know these sections."""
        self.sections = checked_sections(sections)

    @property
    @abc.abstractmethod
    def run_dir(self) -> Path:
        """The run's folder."""

    @abc.abstractmethod
    def check_running(self) -> None:
        """Raise `UsageError` if the run cannot be recorded now: it has ended, or belongs to another process."""

    @abc.abstractmethod
    def _add(self, name: str, item: Mapping[str, object], *, replaces: bool = False) -> None:
        """Add an input or output to the record."""

    @property
    def artifacts(self) -> Path:
        """The folder for the run's files, made when it is asked for."""
        return self.folder("artifacts")

    def folder(self, path: str) -> Path:
        """Return a folder of the run, made when it is asked for. `UsageError` for a path that leaves the run."""
        folder = inside(self.run_dir, path)
        make_folders(folder)
        return folder

    def section(self, section: str) -> Path:
        """Return the folder of a declared section below ``artifacts/``, made when it is asked for.

        `UsageError` for one that was not declared.
        """
        return self.folder(f"artifacts/{check_section(section, self.sections)}")

    def write_text(self, path: str, text: str, *, section: str | None = None) -> Written:
        """Write a text file below ``artifacts/``, or a section of it, whole or not at all; record it as an output."""
        return self._wrote(write_text(self._place(path, section), text))

    def write_json(self, path: str, value: object, *, section: str | None = None) -> Written:
        """Write canonical JSON likewise."""
        return self._wrote(write_json(self._place(path, section), value))

    def write_bytes(self, path: str, body: bytes, *, section: str | None = None) -> Written:
        """Write any bytes likewise."""
        return self._wrote(write_bytes(self._place(path, section), body))

    def write_parquet(self, path: str, frame: object, *, section: str | None = None) -> Written:
        """Write a table as Parquet likewise; its rows are recorded, too."""
        return self._wrote(write_parquet(self._place(path, section), frame))

    def _place(self, path: str, section: str | None) -> Path:
        self.check_running()
        below = "artifacts" if section is None else f"artifacts/{check_section(section, self.sections)}"
        return inside(self.run_dir / below, path)

    def _wrote(self, written: Written) -> Written:
        rows = {} if written.rows is None else {"rows": written.rows}
        ref = written.path.relative_to(self.run_dir)
        self._add("outputs", {"type": "file", "ref": ref, "bytes": written.bytes, **rows}, replaces=True)
        return written
