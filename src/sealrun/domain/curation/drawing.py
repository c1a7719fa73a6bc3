"""A lineage as text, for Graphviz and Mermaid, and drawn as SVG. Names come from outside: all are escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator

from sealrun.domain.curation.lineage import Edge, Lineage, Node

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 260, 46, 90, 18, 20
_SHOWN = 38
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
role="img" aria-label="{said}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 8 4 0 8z" fill="#777"/></marker></defs>"""
_COLORS = {"run": "#2a6f97", "gone": "#9a3b3b", "content": "#2d6a4f", "pointer": "#7b5ea7", "name": "#7b5ea7"}


def as_text(lineage: Lineage) -> str:
    """Return the graph as two trees: what the run was made from, and what was made from it."""
    lines = [_label(lineage.nodes[lineage.of])]
    for title, edges, far in (
        ("made from", lineage.sources, lambda edge: edge.source),
        ("used by", lineage.targets, lambda edge: edge.target),
    ):
        if edges(lineage.of):
            lines.append(title)
            lines += _branches(lineage, lineage.of, edges, far, "", {lineage.of})
    if len(lines) == 1:
        lines.append("made from nothing that it tells of, and used by nothing here")
    return "\n".join(lines) + "\n"


def _branches(
    lineage: Lineage,
    node: str,
    edges: Callable[[str], list[Edge]],
    far: Callable[[Edge], str],
    indent: str,
    above: set[str],
) -> Iterator[str]:
    found = edges(node)
    for number, edge in enumerate(found, 1):
        last = number == len(found)
        name = far(edge)
        seen = " (see above)" if name in above and edges(name) else ""
        yield f"{indent}{'└─' if last else '├─'} {_plain(edge.role)}: {_label(lineage.nodes[name])}{seen}"
        if name not in above:
            above.add(name)
            yield from _branches(lineage, name, edges, far, indent + ("   " if last else "│  "), above)


def _label(node: Node) -> str:
    known = [text for text in (node.status, node.finished_at, node.pipeline) if text]
    said = {"gone": ["not in this registry"], "pointer": ["which run is not recorded"]}.get(node.kind, known)
    return _plain(f"{node.id} ({', '.join(said)})" if said else node.id)


def _plain(text: str) -> str:
    """Return a text without signs that move a cursor, end a line or cannot stand in XML."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def as_dot(lineage: Lineage) -> str:
    """Return the graph for ``dot``."""
    lines = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    for node in lineage.nodes.values():
        bold = ", penwidth=2" if node.id == lineage.of else ""
        lines.append(f"  {json.dumps(node.id)} [label={json.dumps(_label(node))}{bold}];")
    lines += [
        f"  {json.dumps(edge.source)} -> {json.dumps(edge.target)} [label={json.dumps(edge.role)}];"
        for edge in lineage.edges
    ]
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(lineage: Lineage) -> str:
    """Return the graph for Mermaid, as Markdown pages show it."""
    ids = {name: f"n{number}" for number, name in enumerate(lineage.nodes)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[node.id]}["{_quoted(_label(node))}"]' for node in lineage.nodes.values()]
    lines += [f'  {ids[edge.source]} -->|"{_quoted(edge.role)}"| {ids[edge.target]}' for edge in lineage.edges]
    lines.append(f"  style {ids[lineage.of]} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return html.escape(_plain(text)).replace("#", "#35;")


def as_svg(lineage: Lineage) -> str:
    """Return the graph as a picture: each run to the right of what it was made from. Nothing in it is executed."""
    places = _places(lineage)
    width = _MARGIN * 2 + max(column for column, _ in places.values()) * (_WIDTH + _GAP_X) + _WIDTH
    height = _MARGIN * 2 + max(row for _, row in places.values()) * (_HEIGHT + _GAP_Y) + _HEIGHT
    said = html.escape(_plain(f"Lineage of {lineage.of}"))
    lines = [_HEAD.format(width=width, height=height, said=said)]
    for edge in lineage.edges:
        (left, top), (right, below) = _corner(*places[edge.source]), _corner(*places[edge.target])
        x, y, end_x, end_y = left + _WIDTH, top + _HEIGHT / 2, right, below + _HEIGHT / 2
        bend = max(_GAP_X / 2, abs(end_x - x) / 2)
        lines.append(
            f'<path d="M{x} {y}C{x + bend:.0f} {y} {end_x - bend:.0f} {end_y} {end_x} {end_y}" fill="none" '
            f'stroke="#777" marker-end="url(#to)"><title>{html.escape(_plain(edge.role))}</title></path>'
        )
    for node in lineage.nodes.values():
        lines += _box(node, _corner(*places[node.id]), bold=node.id == lineage.of)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _box(node: Node, corner: tuple[int, int], *, bold: bool) -> Iterator[str]:
    x, y = corner
    color = _COLORS.get(node.kind, "#555")
    yield (
        f'<g><title>{html.escape(_label(node))}</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'rx="6" fill="#fff" stroke="{color}" stroke-width="{3 if bold else 1.5}"/>'
    )
    known = " · ".join(text for text in (node.pipeline, node.status, node.finished_at) if text) or node.kind
    yield f'<text x="{x + 10}" y="{y + 19}" fill="#111">{html.escape(_short(node.id))}</text>'
    yield f'<text x="{x + 10}" y="{y + 36}" fill="#555" font-size="11">{html.escape(_short(known))}</text></g>'


def _short(text: str) -> str:
    text = _plain(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-(_SHOWN // 2 - 1) :]}"


def _places(lineage: Lineage) -> dict[str, tuple[int, int]]:
    """Column and row of each node: right of all that it was made from; what leads in a circle stays where it is."""
    columns = dict.fromkeys(lineage.nodes, 0)
    for _ in lineage.nodes:
        moved = False
        for edge in lineage.edges:
            if columns[edge.target] <= columns[edge.source] < len(columns) - 1:
                columns[edge.target] = columns[edge.source] + 1
                moved = True
        if not moved:
            break
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for name, column in columns.items():
        row = rows.get(column, 0)
        rows[column] = row + 1
        places[name] = (column, row)
    return places


def _corner(column: int, row: int) -> tuple[int, int]:
    return _MARGIN + column * (_WIDTH + _GAP_X), _MARGIN + row * (_HEIGHT + _GAP_Y)
