"""Parameters of the API: what each may be, and what is said of one that is wrong."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from sealrun.domain.errors import UsageError

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_NAME = re.compile(NAME[:-1] + r"\Z")
_NUMBER = re.compile(r"-?[0-9]{1,15}\Z")


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter. A ``name`` is text as runs, experiments, pointers, watches and registries are called."""

    name: str
    place: Literal["path", "query"] = "query"
    kind: Literal["name", "text", "number"] = "text"
    help: str
    required: bool = False
    default: int | None = None
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()
    longest: int = 200

    def read(self, text: str | None) -> str | int | None:
        """Return the value that was given; `UsageError` says what is wrong with it."""
        if text is None:
            if self.required:
                raise UsageError(f"the parameter `{self.name}` is required: {self.help}")
            return self.default
        if self.kind == "number":
            return self._number(text)
        if self.kind == "name" and not _NAME.match(text):
            raise UsageError(f"`{self.name}`: {shown(text)} is no name (letters, digits, '.', '_', '-'; at most 128)")
        if self.choices and text not in self.choices:
            raise UsageError(f"`{self.name}`: {shown(text)} is none of {', '.join(self.choices)}")
        if len(text) > self.longest or (self.required and not text):
            raise UsageError(
                f"`{self.name}`: expected a text of at most {self.longest} characters, and not an empty one"
            )
        return text

    def _number(self, text: str) -> int:
        if not _NUMBER.match(text) or not self.least <= int(text) <= self.most:
            raise UsageError(f"`{self.name}`: {shown(text)} is no whole number from {self.least} to {self.most}")
        return int(text)


def is_text(text: str) -> bool:
    """Tell whether a text was UTF-8 when it came."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str) -> str:
    """Return a text as messages name it."""
    return ascii(text[:80])
