"""Listing to the end, in order, or not at all."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sealrun.adapters.stores.s3_asking import Answer
from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal
from sealrun.domain.address import Key
from sealrun.domain.errors import UnavailableError, UnsafeStoreError
from sealrun.ports import ObjectStat

_PAGE = 1000
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def list_keys(connection: Connection, prefix: str, limit: int | None) -> Iterator[ObjectStat]:
    """Every key below `prefix` in UTF-8 byte order; see `ports.Store.list`."""
    if limit is not None and limit <= 0:
        return
    found = (
        stat
        for page in _in_order_if_alone(_pages(connection, prefix, limit))
        for stat in _stats(connection, page, prefix)
    )
    last, count = "", 0
    for stat in in_byte_order(found, prefix):
        if stat.key == last:
            continue  # seen of servers on which writers of one key race: a key is told once
        if stat.key < last:
            raise UnsafeStoreError(
                f"{connection.place.url}: lists {prefix!r} in an order that is not known here ({stat.key!r} after "
                f"{last!r}), so the newest of a series cannot be found; use another store"
            )
        yield stat
        last, count = stat.key, count + 1
        if count == limit:
            return


def list_names(connection: Connection, prefix: str) -> Iterator[str]:
    """Names of the folders directly below `prefix`; see `ports.Store.list_folders`."""
    below = connection.place.below(prefix)
    names: set[str] = set()
    doubtful = False
    for page in _pages(connection, prefix, None, Delimiter="/"):
        doubtful = doubtful or _keeps_folders(page)
        names.update(common["Prefix"].removeprefix(below).rstrip("/") for common in page.get("CommonPrefixes", ()))
    names.discard("")
    if doubtful:
        names = _with_keys(connection, below, names)
    return iter(sorted(names))


def _keeps_folders(page: Answer) -> bool:
    """Tell whether the server has folders of its own, and so lists some that are empty, for a while."""
    server = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("server", "")
    return str(server).startswith("SeaweedFS")


def _with_keys(connection: Connection, below: str, names: set[str]) -> set[str]:
    """Return those of the folders that hold a key somewhere."""
    asked = {
        name: connection.begin(
            "list_objects_v2", f"{below + name!r} cannot be listed", MaxKeys=2, Prefix=f"{below}{name}/"
        )
        for name in names
    }
    pages = {name: pending.result() for name, pending in asked.items()}
    return {
        name
        for name, page in pages.items()
        if not isinstance(page, Refusal) and any(not item["Key"].endswith("/") for item in page.get("Contents", ()))
    }


def in_byte_order(found: Iterable[ObjectStat], prefix: str) -> Iterator[ObjectStat]:
    """Sort what comes in byte order already, or folder by folder, holding back one top folder at most.

    S3 lists ``a-b`` before ``a/b``. Servers that keep folders (SeaweedFS) list what is in ``a/`` first, since ``a``
    sorts before ``a-b``. In both orders whatever comes after a key is not smaller than the key's first component,
    so what is not greater than that can go.
    """
    held: list[tuple[str, float, int, str]] = []
    for stat in found:
        heapq.heappush(held, (stat.key, stat.modified, stat.size, stat.md5 or ""))
        passed = prefix + stat.key[len(prefix) :].partition("/")[0]
        while held and held[0][0] <= passed:
            yield _stat(heapq.heappop(held))
    while held:
        yield _stat(heapq.heappop(held))


def _stat(held: tuple[str, float, int, str]) -> ObjectStat:
    key, modified, size, md5 = held
    return ObjectStat(Key(key), size, modified, md5 or None)


def md5_in(answer: Answer) -> str | None:
    """Return the MD5 that an ETag is, of an object that was put at once; of others it is none, or of other bytes."""
    found = _MD5.fullmatch(str(answer.get("ETag", "")))
    return None if found is None else found[1]


def _stats(connection: Connection, page: Answer, prefix: str) -> Iterator[ObjectStat]:
    for item in page.get("Contents", ()):
        name: str = item["Key"]
        key = name.removeprefix(connection.place.prefix)
        if not key.startswith(prefix) or not name.startswith(connection.place.prefix):
            raise UnsafeStoreError(
                f"{connection.place.url}: lists {name!r} when asked for {prefix!r}; use another store"
            )
        if name.endswith("/"):
            continue  # made by consoles that show folders; no key of ours ends so
        yield ObjectStat(Key(key), int(item["Size"]), item["LastModified"].timestamp(), md5_in(item))


def _in_order_if_alone(pages: Iterator[Answer]) -> Iterator[Answer]:
    """Sort the answer when it is the only one: then no order of the server's matters."""
    for number, page in enumerate(pages):
        if number == 0 and not page.get("IsTruncated"):
            yield {**page, "Contents": sorted(page.get("Contents", ()), key=lambda item: str(item["Key"]))}
        else:
            yield page


def _pages(connection: Connection, prefix: str, limit: int | None, **more: str) -> Iterator[Answer]:
    """All pages. The names in them are plain: botocore asks for URL encoding and decodes it, once."""
    parameters: dict[str, Any] = {"Prefix": connection.place.below(prefix), **more}
    what = f"{prefix!r} cannot be listed" if prefix else "the keys cannot be listed"
    size = min(_PAGE, limit or _PAGE)
    token = None
    while True:
        page = connection.call("list_objects_v2", what, MaxKeys=size, **parameters)
        assert not isinstance(page, tuple)  # noqa: S101 - no refusal is expected
        yield page
        if not page.get("IsTruncated"):
            return
        before, token = token, page.get("NextContinuationToken")
        if not token or token == before:
            raise UnavailableError(
                f"{connection.place.url}: {what}: the server says that there is more, but not where; try again"
            )
        parameters["ContinuationToken"] = token
        size = _PAGE
