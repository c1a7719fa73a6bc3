"""The stores, and which one serves a URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sealrun.adapters.stores.metering_store import MeteredRemover, MeteredStore
from sealrun.adapters.stores.surrounding import SurroundingStore
from sealrun.domain.errors import ConfigurationError
from sealrun.ports import Remover, Store

__all__ = ["open_remover", "open_store"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_store(
    url: str, storage_options: Mapping[str, Any] | None = None, *, make: bool = False, read_only: bool = False
) -> Store:
    """Open the store at `url`: a path or ``file://``, ``memory://``, ``s3://``, or what fsspec knows.

    Opening writes nothing, unless `make` asks for a directory to be created. With `read_only` the caller promises
    not to write. `ConfigurationError` for a scheme nobody knows, an extra that is not installed, or an option that
    the store does not have.
    """
    if make and read_only:
        raise ConfigurationError(f"{url}: cannot be made and read-only at once")
    options = dict(storage_options or {})
    match = _SCHEME.match(url)
    if match is None and "::" in url:
        raise ConfigurationError(f"{url}: a chain of file systems may answer from a cache; name the store itself")
    scheme = match[1].lower() if match else "file"
    if scheme == "file":
        return _open_directory(url, options, make=make)
    if scheme == "memory":
        from sealrun.adapters.stores.memory import MemoryStore  # noqa: PLC0415 - only the store that is used

        return MemoryStore(url.partition("://")[2].strip("/"))
    if scheme in {"s3", "s3a"}:
        from sealrun.adapters.stores.s3 import S3Store  # noqa: PLC0415 - the cloud's packages load slowly

        return S3Store(url, options)
    from sealrun.adapters.stores.fsspec_opening import open_fsspec  # noqa: PLC0415 - fsspec loads slowly

    return open_fsspec(url, scheme, options)


def open_remover(store: Store) -> Remover:
    """Return the right to delete from `store`, which must come from `open_store`."""
    from sealrun.adapters.stores.memory import MemoryRemover, MemoryStore  # noqa: PLC0415 - as above
    from sealrun.adapters.stores.posix import PosixStore  # noqa: PLC0415 - as above

    if isinstance(store, MeteredStore):
        return MeteredRemover(open_remover(store.inner), store.meters, store.registry)
    if isinstance(store, SurroundingStore):
        return open_remover(store.inner)
    if isinstance(store, PosixStore):
        from sealrun.adapters.stores.posix_removal import PosixRemover  # noqa: PLC0415 - as above

        return PosixRemover(store.root)
    if isinstance(store, MemoryStore):
        return MemoryRemover(store)
    if urlsplit(store.url).scheme in {"s3", "s3a"}:
        from sealrun.adapters.stores.s3 import S3Remover, S3Store  # noqa: PLC0415 - as above

        if isinstance(store, S3Store):
            return S3Remover(store)
    from sealrun.adapters.stores.fsspec_removal import FsspecRemover  # noqa: PLC0415 - as above
    from sealrun.adapters.stores.fsspec_store import FsspecStore  # noqa: PLC0415 - as above

    if isinstance(store, FsspecStore):
        return FsspecRemover(store)
    raise ConfigurationError(f"{store.url}: no remover is known for stores of this kind")


def _open_directory(url: str, options: Mapping[str, Any], *, make: bool) -> Store:
    from sealrun.adapters.stores.posix import PosixStore  # noqa: PLC0415 - only the store that is used

    path = url[len("file://") :] if url.lower().startswith("file://") else url
    if path.startswith("localhost/"):
        path = path[len("localhost") :]
    if url != path and not path.startswith("/"):
        raise ConfigurationError(f"{url}: a file URL names an absolute path: file:///path")
    unknown = sorted(options.keys() - {"parallel"})
    if unknown:
        raise ConfigurationError(f"{url}: a directory has no storage option {', '.join(unknown)}")
    return PosixStore(path, make=make, **options)
