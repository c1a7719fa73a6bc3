"""Where runs come from and what became of them: a graph of what runs say of their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from sealrun.domain.errors import UsageError
from sealrun.domain.reference import (
    NameReference,
    PointerReference,
    Reference,
    RunReference,
    UrnReference,
    parse_reference,
)
from sealrun.domain.runs.run import Envelope

Kind = Literal["run", "gone", "pointer", "content", "name", "external"]
_SCHEME = "sealrun://"
_SAID = ("ref", "urn", "uri", "url", "path", "name")
"""Under which keys producers say what an input is."""


class Source(msgspec.Struct, frozen=True):
    """Something that a run was made from, as it says: `text` in the words of `kind`, `role` is what it was used as.

    A ``run`` is ``EXPERIMENT/RUN_ID``, a ``pointer`` one of which nobody recorded where it stood, ``content`` a URN, a
    ``name`` a published name, and ``external`` anything that is in no registry.
    """

    text: str
    kind: Kind
    role: str


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run, or something that runs were made from. A run that is ``gone`` was retired, or never was here."""

    id: str
    kind: Kind
    status: str | None = None
    finished_at: str | None = None
    pipeline: str | None = None


class Edge(msgspec.Struct, frozen=True, order=True):
    """`target` was made from `source`, which was used as `role`."""

    source: str
    target: str
    role: str


class Lineage(msgspec.Struct, frozen=True):
    """The graph around one run: everything that it was made from, and everything that was made from it."""

    of: str
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]

    def sources(self, node: str) -> list[Edge]:
        """What a node was made from."""
        return [edge for edge in self.edges if edge.target == node]

    def targets(self, node: str) -> list[Edge]:
        """What was made from a node."""
        return [edge for edge in self.edges if edge.source == node]


def sources_of(envelope: Envelope) -> list[Source]:
    """Return what a run says it was made from: inputs, dependencies of its artifacts, and the run it supersedes."""
    found: list[Source] = []
    inputs = envelope.producer.get("inputs")
    for item in inputs if isinstance(inputs, list) else []:
        found += _of_input(item)
    for artifact in envelope.artifacts or ():
        for dependency in artifact.depends_on:
            if dependency.run is not None:
                found.append(Source(dependency.run, "run", dependency.pointer))
            else:
                found.append(Source(dependency.pointer, "pointer", "depends on"))
    if envelope.supersedes is not None:
        found.append(Source(f"{envelope.experiment}/{envelope.supersedes}", "run", "supersedes"))
    return list(dict.fromkeys(found))


def _of_input(item: object) -> Iterator[Source]:
    said = said_of(item)
    if said is not None:
        kind = item.get("type") if isinstance(item, Mapping) else None
        yield source_of(said, kind if isinstance(kind, str) and kind != "run" else "input")


def said_of(item: object) -> str | None:
    """Return what an input of a run's record names: a text, or what an object says under one of the usual keys."""
    if isinstance(item, Mapping):
        return next((item[key] for key in _SAID if isinstance(item.get(key), str) and item[key]), None)
    return item if isinstance(item, str) else None


def source_of(text: str, role: str) -> Source:
    """Return what a text names. What is no reference is something outside: a file, a table, a URL."""
    reference = _reference(text)
    match reference:
        case RunReference(experiment, run_id, _):
            return Source(f"{experiment}/{run_id}", "run", role)
        case PointerReference(experiment, pointer, _):
            return Source(f"{experiment}@{pointer}", "pointer", role)
        case UrnReference(urn, _):
            return Source(str(urn), "content", role)
        case NameReference(name, _):
            return Source(name, "name", role)
        case _:
            return Source(text, "external", role)


def _reference(text: str) -> Reference | None:
    """Read a reference, or a URL of one; a bare name or a relative path is a file of the producer's, and neither."""
    inside = text.removeprefix(_SCHEME)
    if inside != text:
        first, _, rest = inside.partition("/")
        text = first if "@" in first or first.startswith("urn:") else f"{first}/{rest.partition('/')[0]}"
    elif "://" in text or not (text.startswith("urn:") or "@" in text or text.count("/") == 1):
        return None
    try:
        return parse_reference(text)
    except UsageError:
        return None


def node_of(envelope: Envelope) -> Node:
    """Return the node of a run."""
    pipeline = envelope.producer.get("pipeline_id")
    return Node(
        f"{envelope.experiment}/{envelope.run_id}",
        "run",
        envelope.status,
        envelope.finished_at,
        pipeline if isinstance(pipeline, str) else None,
    )


def around(
    of: str,
    nodes: Mapping[str, Node],
    edges: Iterable[Edge],
    depth: int | None = None,
    *,
    back: bool = True,
    forward: bool = True,
) -> Lineage:
    """Return what of a graph leads to `of` (`back`) and away from it (`forward`), `depth` steps far at most."""
    every = sorted(set(edges))
    kept: set[Edge] = set()
    for ahead in [*([True] if forward else []), *([False] if back else [])]:
        reached, frontier, steps = {of}, [of], 0
        while frontier and (depth is None or steps < depth):
            begin = set(frontier)
            frontier = []
            for edge in every:
                near, far = (edge.source, edge.target) if ahead else (edge.target, edge.source)
                if near in begin:
                    kept.add(edge)
                    if far not in reached:
                        reached.add(far)
                        frontier.append(far)
            steps += 1
    ids = {of, *(edge.source for edge in kept), *(edge.target for edge in kept)}
    return Lineage(of, {name: nodes[name] for name in sorted(ids)}, tuple(sorted(kept)))


def as_json(lineage: Lineage) -> dict[str, Any]:
    """Return the graph as lists of nodes and edges."""
    return {"of": lineage.of, "nodes": list(lineage.nodes.values()), "edges": list(lineage.edges)}
