"""Schemas and signatures: what judges content and who signs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sealrun.domain.curation.signing import Checked


class SchemaLanguage(Protocol):
    """What understands JSON Schema 2020-12. `ConfigurationError` if what it needs is not installed."""

    def refuse_broken(self, schema: object, where: str) -> None:
        """Raise `UsageError` that names `where` if `schema` is none, or needs anything outside itself."""
        ...

    def checker(self, schema: object) -> Callable[[object], list[str]]:
        """Return what says of a decoded JSON value why it does not conform: the first few reasons, or nothing."""
        ...


class Signer(Protocol):
    """Somebody's key, ready to sign."""

    def sign(self, text: bytes) -> bytes:
        """Return an SSH signature over `text`, for the namespace of sealrun. `UsageError` if the key cannot be used."""
        ...


class SignatureChecker(Protocol):
    """Knows who may sign. May be asked from several threads."""

    def check(self, text: bytes, signature: bytes) -> Checked:
        """Tell who of them made `signature` over `text`, or why that can be said of nobody."""
        ...
