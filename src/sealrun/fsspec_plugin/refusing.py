"""A file system whose every way to write is refused, by the error that a read-only disk gives."""

# ruff: noqa: ANN401 - the signatures are those of fsspec, which ships no types

from __future__ import annotations

from typing import Any, NoReturn

from fsspec.spec import AbstractFileSystem

from sealrun.fsspec_plugin.errors import read_only

_READING = {"r", "rb", "rt"}


class ReadOnlyFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec ships no types
    """Refuses to write; nothing is looked up for that."""

    def open(self, path: Any, mode: str = "rb", *arguments: Any, **options: Any) -> Any:
        """Open for reading; any other mode is refused."""
        if mode not in _READING:
            raise read_only(str(path))
        return super().open(path, mode, *arguments, **options)

    def _refuse(self, path: Any = None, *_others: Any, **_options: Any) -> NoReturn:
        raise read_only(str(path))

    mkdir = makedirs = mkdirs = makedir = rmdir = touch = _refuse
    rm = rm_file = _rm = delete = pipe = pipe_file = write_text = write_bytes = _refuse
    put = put_file = upload = copy = cp = cp_file = mv = move = rename = _refuse
