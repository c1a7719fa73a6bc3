"""What is wrong with a settings file, in the words of the file: which table, which key, what was meant."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

_WHERE = re.compile(r" - at `\$.*`\Z")
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_TOML_WORDS = {"`str`": "a string", "`int`": "an integer", "`float`": "a number", "`bool`": "true or false"}
_TOML_WORDS |= {"`array`": "an array", "`object`": "a table", "`null`": "nothing"}


def unknown_keys(kind: object, value: object, where: str = "") -> Iterator[str]:
    """Yield one message per key that its table does not have, in the order of the file."""
    for struct, table, place in _tables(kind, value, where):
        known = [field.encode_name for field in msgspec.structs.fields(struct)]
        for key in table:
            if key not in known:
                yield _unknown(key, known, place)


def type_problem(kind: object, value: object, where: str = "") -> str:
    """Say what about `value`, which msgspec refused as a `kind`, is wrong, and under which setting."""
    for inner, item, place in _parts(kind, value, where):
        try:
            msgspec.convert(item, inner)
        except msgspec.ValidationError:
            return type_problem(inner, item, place)
    problem = _problem(kind, value)
    return f"{where}: {problem}" if where else problem


def _problem(kind: object, value: object) -> str:
    choices = [word for option in _options(kind) if get_origin(option) is Literal for word in get_args(option)]
    if choices and isinstance(value, str):
        close = _close_to(value, choices)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        return f"expected one of {', '.join(map(repr, choices))}, got {value!r}{guess}"
    if isinstance(value, dict) and any(get_origin(option) is list for option in _options(kind)):
        return "expected an array of tables, written with two brackets: [[…]]"
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return _in_words(str(error))
    return "not valid"


def _unknown(key: str, known: list[str], place: str) -> str:
    close = _close_to(key, known)
    guess = f"did you mean {close[0]!r}? " if close else ""
    table = f"in {place}" if place else "at the top level"
    return f"unknown setting {key!r} {table}; {guess}Known here: {', '.join(known)}"


def _tables(kind: object, value: object, where: str) -> Iterator[tuple[type[msgspec.Struct], dict[str, Any], str]]:
    struct = _struct_of(kind, value)
    if struct is not None and isinstance(value, dict):
        yield struct, value, where
    for inner, item, place in _parts(kind, value, where):
        yield from _tables(inner, item, place)


def _parts(kind: object, value: object, where: str) -> Iterator[tuple[Any, object, str]]:
    """Yield what `value` consists of, with the type and the name that the file gives each part."""
    struct = _struct_of(kind, value)
    if struct is not None and isinstance(value, dict):
        for field in msgspec.structs.fields(struct):
            if field.encode_name in value:
                item = value[field.encode_name]
                yield field.type, item, _inside(where, field.encode_name, item)
        return
    for option in _options(kind):
        arguments = get_args(option)
        if get_origin(option) is dict and isinstance(value, dict) and arguments[1] is not Any:
            yield from ((arguments[1], item, _inside(where, key, item)) for key, item in value.items())
        elif get_origin(option) is list and isinstance(value, list):
            for number, item in enumerate(value):
                yield arguments[0], item, _element(where, number, item)


def _inside(where: str, key: str, item: object) -> str:
    """Name a setting: ``[registry.main] url``, ``[gc]``, ``[[watch]] 'training': settle``."""
    if isinstance(item, list) and item and all(isinstance(part, dict) for part in item):
        return f"[[{key}]]"
    if not where:
        return f"[{key}]" if isinstance(item, dict) else key
    if isinstance(item, dict) and re.fullmatch(r"\[[^\[\]]+\]", where):
        return f"{where[:-1]}.{key}]"
    return (
        f"{where}: {key}"
        if where.endswith(("'", "]")) or re.search(r"\]\] number [0-9]+\Z", where)
        else f"{where}.{key}"
    )


def _element(where: str, number: int, item: object) -> str:
    if where.startswith("[[") and isinstance(item, Mapping):
        name = item.get("name", item.get("path"))
        return f"{where} {name!r}" if isinstance(name, str) else f"{where} number {number + 1}"
    return f"{where}[{number}]"


def _struct_of(kind: object, value: object) -> type[msgspec.Struct] | None:
    if not isinstance(value, dict):
        return None
    found = (option for option in _options(kind) if isinstance(option, type) and issubclass(option, msgspec.Struct))
    return next(found, None)


def _options(kind: object) -> list[Any]:
    """List the members of a union, without annotations."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        return [option for member in get_args(kind) for option in _options(member)]
    return [kind]


def _in_words(message: str) -> str:
    message = _WHERE.sub("", message)
    missing = _MISSING.match(message)
    if missing:
        return f"the setting {missing[1]!r} is missing"
    message = message.replace(" | null`", "`")
    message = re.sub(r"`([a-z]+) \| ([a-z]+)`", r"`\1` or `\2`", message)
    for word, text in _TOML_WORDS.items():
        message = message.replace(word, text)
    return message[:1].lower() + message[1:]


def _close_to(word: str, known: list[str]) -> list[str]:
    import difflib  # noqa: PLC0415 - only for who mistypes

    return difflib.get_close_matches(word, known, 1)
