"""Deleting many objects, with an answer for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal, is_missing
from sealrun.adapters.stores.s3_policies import advice
from sealrun.domain.address import Key
from sealrun.domain.errors import SealrunError

_BATCH = 1000
_NOT_PERMITTED = "AccessDenied"
_SPACE = " "


def remove(connection: Connection, keys: Sequence[Key]) -> Mapping[Key, str]:
    """Delete `keys`; see `ports.Remover.delete`.

    Names that XML cannot hold (control characters other than tab and line ends) go one by one, since in a batch they
    would spoil the whole request.
    """
    failures: dict[Key, str] = {}
    plain = [key for key in keys if _fits_xml(key)]
    for start in range(0, len(plain), _BATCH):
        failures.update(_remove_batch(connection, plain[start : start + _BATCH]))
    for key in keys:
        if not _fits_xml(key):
            failures.update(_remove_one(connection, key))
    return failures


def _remove_batch(connection: Connection, keys: Sequence[Key]) -> Iterator[tuple[Key, str]]:
    by_name = {connection.place.name(key): key for key in keys}
    wanted = {"Objects": [{"Key": name} for name in by_name], "Quiet": False}
    try:
        answer = connection.call("delete_objects", f"{len(by_name)} keys cannot be deleted", Delete=wanted)
    except SealrunError as error:
        return iter([(key, str(error)) for key in by_name.values()])
    assert not isinstance(answer, Refusal)  # noqa: S101 - none is expected
    reasons = {item.get("Key"): str(item.get("Code")) for item in answer.get("Errors", ())}
    gone = {item.get("Key") for item in answer.get("Deleted", ())} | {
        n for n, code in reasons.items() if code == "NoSuchKey"
    }
    place = connection.place.url
    left = {name: key for name, key in by_name.items() if name not in gone}
    said = {
        name: f"{place}: {key} cannot be deleted ({reasons.get(name, 'the server does not say that it was')})"
        for name, key in left.items()
    }
    denied = {name for name in left if reasons.get(name) == _NOT_PERMITTED}
    advised = {name: advice(connection.place, "delete_object", {"Key": name}) for name in denied}
    return iter(
        [(key, f"{said[name]}: {advised[name]}" if name in denied else said[name]) for name, key in left.items()]
    )


def _remove_one(connection: Connection, key: Key) -> Mapping[Key, str]:
    name = connection.place.name(key)
    try:
        connection.call("delete_object", f"{key!r} cannot be deleted", expected=is_missing, Key=name)
    except SealrunError as error:
        return {key: str(error)}
    return {}


def _fits_xml(key: Key) -> bool:
    return all(sign >= _SPACE or sign in "\t\n\r" for sign in key) and not {"\ufffe", "\uffff"} & set(key)
