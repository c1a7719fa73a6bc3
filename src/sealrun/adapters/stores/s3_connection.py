"""The way to a bucket: one request at a time, or many begun at once. What makes them is loaded at the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sealrun.adapters.stores.s3_address import Place
from sealrun.adapters.stores.s3_asking import Answer, Manner, Pending
from sealrun.adapters.stores.s3_errors import Refusal
from sealrun.domain.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from sealrun.adapters.stores.s3_clients import Clients

__all__ = ["Answer", "Connection"]

_RESERVED = {"asynchronous", "loop"}


class Connection:
    """Requests about one bucket. Safe to use from many threads, and after a fork."""

    def __init__(self, place: Place, options: Mapping[str, Any], parallel: int) -> None:
        """Connect at the first request, with s3fs's storage `options`; `parallel` requests get a connection each."""
        reserved = sorted(_RESERVED & options.keys())
        if reserved:
            raise ConfigurationError(f"{place.url}: the storage option {', '.join(reserved)} cannot be used here")
        self.place = place
        self._options = dict(options)
        self._parallel = parallel
        self._closed = False
        self._made: dict[str, Clients] = {}  # one at most, made without a lock, which a fork might leave held

    def call(
        self,
        operation: str,
        what: str,
        *,
        strict: bool = False,
        write_once: bool = False,
        expected: Callable[[Refusal], bool] | None = None,
        **parameters: Any,  # noqa: ANN401 - the API's
    ) -> Answer | Refusal:
        """Make one request. A refusal that `expected` accepts is returned, every other error is raised as ours.

        `what` begins the message, as in ``x.json cannot be read``. A parameter that is not known is an error, never
        dropped. The answer holds a body as bytes.
        """
        return self._clients().begin(operation, Manner(what, strict, write_once, expected), parameters).result()

    def begin(self, operation: str, what: str, **parameters: Any) -> Pending:  # noqa: ANN401 - the API's
        """Begin one request that may be repeated, like `call`, and do not wait for its answer."""
        return self._clients().begin(operation, Manner(what), parameters)

    def close(self) -> None:
        """Close every connection. Harmless twice; requests after it are refused."""
        self._closed = True
        for clients in self._made.values():
            clients.close()

    def _clients(self) -> Clients:
        if self._closed:
            raise UsageError(f"{self.place.url}: this store has been closed")
        if not self._made:
            from sealrun.adapters.stores.s3_clients import Clients  # noqa: PLC0415 - loads asyncio

            self._made.setdefault("clients", Clients(self.place, self._options, self._parallel))
        return self._made["clients"]
