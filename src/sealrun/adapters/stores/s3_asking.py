"""How a request to S3 is asked for, and what is known of one that is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from sealrun.adapters.stores.s3_errors import Refusal

Answer = Mapping[str, Any]
"""Named as in the S3 API reference; ``Body`` is bytes, or a file of them."""


class Manner(NamedTuple):
    """What a request is for.

    `what` begins the message of an error, as in ``s3://bucket: x.json cannot be read``. A `strict` request is never
    repeated. A refusal that `expected` accepts is an answer. For `write_once`, see `s3_errors.translate`.
    """

    what: str
    strict: bool = False
    write_once: bool = False
    expected: Callable[[Refusal], bool] | None = None


class Pending(Protocol):
    """A request that is under way. It is done only when it has really ended, even after a cancellation."""

    def cancel(self) -> None:
        """Ask it to end; harmless when it has."""
        ...

    def when_done(self, call: Callable[[Future[Answer | Refusal]], object]) -> None:
        """Call back with the outcome, on any thread, or at once if it is known."""
        ...

    def settle(self) -> None:
        """Wait until it has ended, however."""
        ...

    def result(self) -> Answer | Refusal:
        """Return the answer or raise. An interrupted wait ends it first."""
        ...
