"""What a run was made from, under names that a folder of links can have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sealrun.domain.curation.lineage import Source, said_of, source_of, sources_of
from sealrun.domain.runs.run import Envelope

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 80
_NAMES = ("role", "name", "type")
_FOUND = ("run", "content", "name")


def named_inputs(envelope: Envelope) -> dict[str, Source]:
    """Return the inputs of a run that a registry can hold, each under its role, or what else it is called.

    Two of one name get numbers: ``target``, ``target-2``. Pointers are left out: where they stood was not recorded.
    """
    said: dict[str, str] = {}
    inputs = envelope.producer.get("inputs")
    for item in inputs if isinstance(inputs, list) else []:
        ref = said_of(item)
        if isinstance(item, Mapping) and ref is not None:
            name = next((item[key] for key in _NAMES if isinstance(item.get(key), str) and item[key] != "run"), None)
            if name is not None:
                said.setdefault(source_of(ref, "input").text, name)
    found: dict[str, Source] = {}
    for source in sources_of(envelope):
        if source.kind in _FOUND and source.role != "supersedes":
            found[_free(said.get(source.text, "input"), found)] = source
    return found


def short_name(source: Source) -> str:
    """Return a name for a source that is the same wherever it is used."""
    return _slug(source.text.removeprefix("urn:sealrun:").replace("/", "__").replace(":sha256:", "-"))


def _free(name: str, taken: Mapping[str, object]) -> str:
    base = found = _slug(name)
    number = 1
    while found in taken:
        number += 1
        found = f"{base}-{number}"
    return found


def _slug(text: str) -> str:
    return _UNSAFE.sub("-", text)[:_MAX_NAME].strip("-.") or "input"
