"""Artifacts that are published and found without runs in mind: sections, and the ids of the runs they become.

A section says which part of the work published something (``2.3``). It is a tag of the run, never a part of the name:
whoever consumes an artifact knows its name and need not know who makes it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sealrun.domain.address import Digest, RunId, parse_name
from sealrun.domain.errors import UsageError
from sealrun.domain.records import canonical_json, sha256
from sealrun.domain.runs.run import Envelope, derive_run_id
from sealrun.domain.urn import Urn

ARTIFACTS_EXPERIMENT = "artifacts"
"""Experiment of files that are published where no experiment is named."""
CONTENT_EXPERIMENT = "content"
"""Experiment of everything that is put by content."""
METADATA = "metadata"
"""Field of an envelope's `producer` that holds the metadata of what was put."""
_SECTION = "section:"
_MAX_SECTION = 100
_MAX_TYPE = 60


def parse_section(text: object) -> str:
    """Return `text` if it may name a section: printable, not empty, at most 100 characters. Else `UsageError`."""
    if not isinstance(text, str):  # 2.10 would be 2.1
        msg = f"not a section: {text!r}; write it as text, such as '2.3'"
        raise UsageError(msg)
    if not text or len(text) > _MAX_SECTION or not text.isprintable() or text != text.strip():
        msg = f"not a section: {text!r} (1 to {_MAX_SECTION} printable characters, no spaces around it)"
        raise UsageError(msg)
    return text


def parse_type(text: str) -> str:
    """Return `text` if it may be the type in a URN of content: a name of at most 60 characters. Else `UsageError`."""
    if len(text) > _MAX_TYPE:
        msg = f"not a type: {text!r} (at most {_MAX_TYPE} characters)"
        raise UsageError(msg)
    return parse_name(text, "type")


def tags_with_section(tags: Iterable[str], section: str | None) -> tuple[str, ...]:
    """Return the tags of a run that `section` published, sorted; `UsageError` for one that would name a section."""
    given = {str(tag) for tag in tags}
    for tag in given:
        if tag.startswith(_SECTION):
            msg = f"tag {tag!r}: says a section; name it with `section` (--section) instead"
            raise UsageError(msg)
    return tuple(sorted(given if section is None else {*given, _SECTION + parse_section(section)}))


def section_of(tags: Iterable[str]) -> str | None:
    """Return the section that a run's tags name, or None."""
    return next((tag.removeprefix(_SECTION) for tag in sorted(tags) if tag.startswith(_SECTION)), None)


def plain_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags without the one that names the section."""
    return tuple(tag for tag in tags if not tag.startswith(_SECTION))


def as_published_file(envelope: Envelope, name: str, tags: tuple[str, ...], *, moves: bool) -> Envelope:
    """Return the envelope of a file unit that is published under `name`.

    The same bytes under another name or with other tags are another run, so that neither is lost; its id depends on
    nothing else. With nothing said it is the run that a watch would make. `moves`: whoever announces the run moves the
    name to it.
    """
    told = name != envelope.name or bool(tags)
    said = sha256(canonical_json([envelope.manifest_sha256, name, list(tags)]))
    run_id = derive_run_id(envelope.experiment, envelope.name, envelope.finished_at, said) if told else envelope.run_id
    names = {envelope.name: name} if moves else {}
    return msgspec.structs.replace(envelope, run_id=run_id, tags=tags, publish_names=names)


def as_content(envelope: Envelope, kind: str, metadata: dict[str, object], name: str) -> Envelope:
    """Return the envelope of content: its id and its URN are a function of its type and its tree digest."""
    urn = Urn(parse_type(kind), envelope.tree_digest)
    return msgspec.structs.replace(
        envelope,
        run_id=content_run_id(urn),
        urn=str(urn),
        name=name,
        publish_names={},
        producer={METADATA: metadata} if metadata else {},
    )


def content_run_id(urn: Urn) -> RunId:
    """Where content with that URN stands in the experiment ``content``, if it was put there first of its kind."""
    return RunId(f"{urn.type}-{urn.digest}")


def config_digest(kind: str, config: object) -> Digest:
    """Identity of a build: sha256 of the canonical JSON of its type and configuration.

    `UsageError` names the place of what has no JSON, or has more than one: then two configurations could be taken for
    one, or one for two.
    """
    check_json(config, "config")
    return sha256(canonical_json({"type": parse_type(kind), "config": config}))


def check_json(value: object, where: str) -> None:
    """Refuse what JSON cannot hold as it is: other types, NaN, keys that are not text. `UsageError` names the place."""
    match value:
        case None | bool() | int() | str():
            return
        case float():
            if value - value == 0:
                return
            msg = f"{where}: is {value!r}, which JSON does not have"
        case list() | tuple():
            for number, item in enumerate(value):
                check_json(item, f"{where}[{number}]")
            return
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    msg = f"{where}: has the key {key!r}; keys have to be text"
                    raise UsageError(msg)
                check_json(item, f"{where}.{key}")
            return
        case _:
            msg = f"{where}: is a {type(value).__name__}; use None, booleans, numbers, text, lists and dicts of them"
    raise UsageError(msg)
