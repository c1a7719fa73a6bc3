"""Addresses, order and sizes: what an S3 store decides without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sealrun.adapters.stores.s3 import S3Store
from sealrun.adapters.stores.s3_address import Place, parse_place
from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_listing import in_byte_order, list_keys
from sealrun.adapters.stores.s3_multipart import Limits
from sealrun.domain.address import Key
from sealrun.domain.errors import ConfigurationError, UnavailableError, UnsafeStoreError, UsageError
from sealrun.ports import ObjectStat

MIB = 1 << 20
NAMES = ["a-b", "a.b/c", "a/b", "a/b-c", "a/b/c", "a", "a0", "b", "b!/x", "b/x", "é", "\uffee", "\U0001f9ea"]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", Place("bucket", "")),
        ("s3://bucket/", Place("bucket", "")),
        ("S3A://bucket/some/prefix/", Place("bucket", "some/prefix/")),
        (
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/some/prefix",
            Place("arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", "some/prefix/"),
        ),
    ],
)
def test_a_url_names_a_bucket_and_a_prefix(url: str, place: Place) -> None:
    assert parse_place(url) == place
    assert parse_place(place.url) == place


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://b/a//b", "s3://b/../c", "s3://b/p?versionId=1", "gs://b"])
def test_a_url_that_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_place(url)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_place("s3://key:hidden@bucket/p")
    assert "hidden" not in str(refused.value)
    store = S3Store("s3://bucket", {"endpoint_url": "http://user:hidden@127.0.0.1:9", "key": "k", "secret": "s"})
    with pytest.raises(ConfigurationError) as refused:
        store.stat(Key("k"))
    assert "hidden" not in str(refused.value)


def test_a_key_that_s3_could_not_keep_is_refused() -> None:
    place = Place("bucket", "prefix/")
    assert len(place.name(Key("k" * 1017))) == 1024
    for bad in ("k" * 1018, "é" * 509, "bad\udc80"):
        with pytest.raises(UsageError):
            place.name(Key(bad))


@pytest.mark.parametrize("options", [{"parallel": 0}, {"parallel": "many"}, {"loop": None}, {"asynchronous": True}])
def test_options_that_cannot_work_are_refused_at_once(options: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        S3Store("s3://bucket", options)


def test_options_that_s3fs_does_not_know_are_refused_without_their_values() -> None:
    store = S3Store("s3://bucket", {"no_such_option": "hidden"})
    with pytest.raises(ConfigurationError, match="no_such_option") as refused:
        store.stat(Key("k"))
    assert "hidden" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="no-such-profile"):
        S3Store("s3://bucket", {"profile": "no-such-profile"}).stat(Key("k"))


def test_parts_are_few_enough_for_the_largest_object_and_no_larger_than_needed() -> None:
    limits = Limits()
    assert limits.part_size(5 << 30) == 8 * MIB
    assert limits.part_size(10_000 * 8 * MIB) == 8 * MIB
    for size in (10_000 * 8 * MIB + 1, 1 << 40, 5 << 40):
        part = limits.part_size(size)
        assert -(-size // part) <= 10_000
        assert part <= 5 << 30


# ---------------------------------------------------------------- listings


def stats(names: list[str], prefix: str = "") -> list[ObjectStat]:
    return [ObjectStat(Key(prefix + name), 1, 0.0) for name in names]


@pytest.mark.parametrize("prefix", ["", "x/"])
@pytest.mark.parametrize("order", [str.encode, lambda name: name.split("/")], ids=["S3's", "by folder"])
def test_keys_come_in_byte_order_from_either_kind_of_server(order: Any, prefix: str) -> None:  # noqa: ANN401 - a key
    listed = stats(sorted(NAMES, key=order), prefix)
    assert [stat.key for stat in in_byte_order(listed, prefix)] == [
        prefix + name for name in sorted(NAMES, key=str.encode)
    ]


def test_the_first_key_of_a_flat_series_needs_no_second_look() -> None:
    listed = iter(stats(["0001.json", "0002.json", "0003.json"]))
    assert next(in_byte_order(listed, "")).key == "0001.json"
    assert next(listed).key == "0002.json"


class Pages(Connection):
    """A connection whose server lists these pages, whatever it is asked."""

    def __init__(self, *pages: Mapping[str, Any]) -> None:
        super().__init__(Place("bucket", "p/"), {}, 1)
        self._pages = list(pages)
        self.asked: list[Mapping[str, Any]] = []

    def call(self, operation: str, what: str, **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as there
        assert (operation, what) == ("list_objects_v2", "the keys cannot be listed")
        self.asked.append(parameters)
        return self._pages.pop(0)


class When:
    def timestamp(self) -> float:
        return 0.0


def page(*names: str, token: str | None = None, truncated: bool = False) -> Mapping[str, Any]:
    contents = [{"Key": f"p/{name}", "Size": 1, "LastModified": When()} for name in names]
    return {"Contents": contents, "IsTruncated": truncated, **({"NextContinuationToken": token} if token else {})}


def test_all_pages_are_read_and_folder_markers_left_out() -> None:
    server = Pages(page("", "a", "b/", token="t", truncated=True), page("b/c"))  # noqa: S106 - of a page
    assert [stat.key for stat in list_keys(server, "", None)] == ["a", "b/c"]
    assert [asked.get("ContinuationToken") for asked in server.asked] == [None, "t"]


def test_a_listing_that_does_not_say_how_to_go_on_is_never_taken_for_complete() -> None:
    again = page("b", token="t", truncated=True)  # noqa: S106 - of a page
    for pages in ([page("a", truncated=True)], [page("a", token="t", truncated=True), again]):  # noqa: S106 - of a page
        with pytest.raises(UnavailableError, match="there is more"):
            list(list_keys(Pages(*pages), "", None))


def test_a_key_that_a_server_lists_twice_is_told_once() -> None:
    assert [stat.key for stat in list_keys(Pages(page("a", "b", "b", "c")), "", None)] == ["a", "b", "c"]


def test_a_listing_in_one_page_needs_no_order_of_the_servers() -> None:
    assert [stat.key for stat in list_keys(Pages(page("b", "c/d", "a")), "", None)] == ["a", "b", "c/d"]


def test_a_listing_in_no_known_order_or_of_something_else_is_refused() -> None:
    disordered = Pages(page("b", "a", token="t", truncated=True), page("c"))  # noqa: S106 - of a page
    foreign = Pages({"Contents": [{"Key": "other", "Size": 1, "LastModified": When()}]})
    for server in (disordered, foreign):
        with pytest.raises(UnsafeStoreError):
            list(list_keys(server, "", None))
