"""The lineage of a run: back by what runs say of their inputs, forward by asking every run. Reads only."""

from __future__ import annotations

from contextlib import suppress

from sealrun.domain.address import run_key
from sealrun.domain.curation.lineage import Edge, Lineage, Node, Source, around, node_of, sources_of
from sealrun.domain.errors import NotFoundError, UsageError
from sealrun.domain.registry.pointing import Target
from sealrun.domain.runs.manifest import RUN_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.services.access.reading import Reader
from sealrun.services.curation.tabulating import with_envelopes
from sealrun.services.threads.fanning import fan_out

_AT_ONCE = 8


def trace(reader: Reader, ref: str, *, back: bool = True, forward: bool = True, depth: int | None = None) -> Lineage:
    """Return what the run that `ref` names was made from, and what was made from it, `depth` steps far at most.

    Back costs two or three requests a run on the way; forward one for every run of the registry. An input that is not
    there any more is in the graph, as gone.
    """
    tracing = _Tracing(reader)
    of = tracing.start(ref)
    if forward:
        tracing.read_all()
    if back:
        tracing.go_back(of, depth)
    return around(of, tracing.nodes, tracing.edges, depth, back=back, forward=forward)


class _Tracing:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.nodes: dict[str, Node] = {}
        self.edges: set[Edge] = set()
        self._by_urn: dict[str, str] = {}
        self._inputs: dict[str, tuple[Source, ...]] = {}

    def start(self, ref: str) -> str:
        """Add the run that is asked about; `NotFoundError`."""
        return self._add(self._envelope(self._reader.resolve(ref)))

    def read_all(self) -> None:
        """Add every run of the registry, and what each says of its inputs."""
        envelopes = with_envelopes(self._reader.store, self._reader.runs())
        for name in [self._add(envelope) for _, envelope in envelopes if envelope is not None]:
            self._join(name)

    def go_back(self, of: str, depth: int | None) -> None:
        """Add what a run was made from, and so on."""
        done: set[str] = set()
        frontier, steps = [of], 0
        while frontier and (depth is None or steps < depth):
            found = fan_out(self._find, frontier, _AT_ONCE)
            done.update(frontier)
            reached: list[str] = []
            for each in found:
                if each is not None:
                    reached += self._join(each if isinstance(each, str) else self._add(each))
            frontier = [name for name in dict.fromkeys(reached) if name not in done]
            steps += 1
        for name, each in zip(frontier, fan_out(self._find, frontier, _AT_ONCE), strict=True):
            if isinstance(each, Envelope) and self.nodes[name].kind == "gone":
                self.nodes[name] = node_of(each)

    def _add(self, envelope: Envelope) -> str:
        node = node_of(envelope)
        self.nodes[node.id] = node
        self._inputs[node.id] = tuple(sources_of(envelope))
        self._by_urn.setdefault(envelope.urn, node.id)
        return node.id

    def _join(self, target: str) -> list[str]:
        """Add edges to a run that was added from what it was made from; return where they come from."""
        found = [(self._node(source), source.role) for source in self._inputs[target]]
        self.edges |= {Edge(name, target, role) for name, role in found if name != target}
        return [name for name, _ in found]

    def _node(self, source: Source) -> str:
        """Return the node of a source; content that a run holds is that run."""
        name = self._holder(source.text) if source.kind == "content" else source.text
        if name not in self.nodes:
            self.nodes[name] = Node(name, "gone" if source.kind == "run" else source.kind)
        return name

    def _holder(self, urn: str) -> str:
        """The run that holds content, or the URN itself where none does."""
        if urn not in self._by_urn:
            with suppress(NotFoundError, UsageError):
                self._add(self._envelope(self._reader.resolve(urn)))
        return self._by_urn.get(urn, urn)

    def _find(self, name: str) -> Envelope | str | None:
        """The run that a node stands for, or its name if it was added; None: it is gone, or no run."""
        if name in self._inputs:
            return name
        if self.nodes[name].kind not in {"run", "gone"}:
            return None
        try:
            return self._envelope(self._reader.resolve(name))
        except NotFoundError:
            return None

    def _envelope(self, target: Target) -> Envelope:
        key = run_key(target.experiment, target.run_id, RUN_FILE)
        return Envelope.decode(self._reader.store.read(key), key)
