"""Galleries: of each group of runs the newest that has the picture, and pages that show them side by side."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from sealrun.domain.curation.tabulating import Cells
from sealrun.domain.errors import UsageError
from sealrun.domain.runs.manifest import Entry, Manifest

INDEX_FILE = "gallery.json"
MARKDOWN_FILE = "gallery.md"
HTML_FILE = "gallery.html"
PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp", ".avif")
"""What browsers show in ``<img>``, where nothing in it is executed."""
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
_MAX_SLUG = 80


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of a gallery: of which group and run, which file, under which name, with which metrics."""

    group: str
    ref: str
    finished_at: str
    status: str
    path: str
    file: str
    sha256: str
    size: int
    metrics: dict[str, Any]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A gallery: what it is called, its pictures, and the groups of which no run has one."""

    title: str
    pictures: tuple[Shown, ...]
    without: tuple[str, ...] = ()


def group_of(cells: Cells, by: str | None) -> str:
    """Return the group of a run: its value of the column `by`, by default its pipeline, else its name."""
    value = cells.get(by) if by else cells.get("pipeline_id") or cells.get("name")
    return "-" if value is None else str(value)


def pictures_of(manifest: Manifest, patterns: Sequence[str]) -> list[Entry] | None:
    """Return for each pattern the first picture by path that matches it, or None if one has none.

    A pattern without ``/`` is compared with names, another one with whole paths; ``*`` and ``?`` as in a shell.
    """
    entries = [entry for entry in manifest.entries if entry.path.lower().endswith(PICTURES)]
    found = [next((entry for entry in entries if _matches(entry.path, pattern)), None) for pattern in patterns]
    present = [entry for entry in found if entry is not None]
    return present if len(present) == len(found) else None


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path if "/" in pattern else path.rpartition("/")[2], pattern)


def file_names(groups: Collection[str], patterns: Sequence[str]) -> Mapping[tuple[str, str], str]:
    """Name the pictures, without their suffix: ``GROUP``, of several patterns ``GROUP-PATTERN``; all are different."""
    taken: set[str] = set()
    names: dict[tuple[str, str], str] = {}
    for group in sorted(groups):
        for pattern in patterns:
            stem = pattern.rpartition("/")[2].rpartition(".")[0] or pattern
            base = _slug(group if len(patterns) == 1 else f"{group}-{stem}")
            name, number = base, 1
            while name.casefold() in taken:
                number += 1
                name = f"{base}-{number}"
            taken.add(name.casefold())
            names[group, pattern] = name
    return names


def suffix_of(path: str) -> str:
    """Return a picture's suffix, in lower case."""
    return "." + path.rpartition(".")[2].lower()


def _slug(text: str) -> str:
    return _SLUG.sub("-", text)[:_MAX_SLUG].strip("-.") or "group"


def chosen_metrics(cells: Cells, wanted: Sequence[str]) -> dict[str, Any]:
    """Return the metrics to show: those that are `wanted` and there, by default all."""
    names = [f"metrics.{name}" for name in wanted] if wanted else sorted(key for key in cells if _is_metric(key))
    return {name.removeprefix("metrics."): cells[name] for name in names if cells.get(name) is not None}


def _is_metric(name: str) -> bool:
    return name.startswith("metrics.")


def check_patterns(patterns: Iterable[str]) -> None:
    """Refuse patterns that match no picture whatever there is: ``UsageError``."""
    for pattern in patterns:
        suffix = pattern.rpartition(".")[2]
        if "." in pattern and suffix.isalnum() and f".{suffix.lower()}" not in PICTURES:
            msg = f"{pattern!r} names no picture ({' '.join(PICTURES)})"
            raise UsageError(msg)


def as_markdown(page: Page) -> str:
    """Return the gallery as Markdown, for a README: a table with a picture, its run and its metrics in each row."""
    lines = [f"# {_markdown(page.title)}", "", "| group | picture | metrics | run |", "|---|---|---|---|"]
    for shown in page.pictures:
        metrics = "<br>".join(f"{_markdown(name)}: {_markdown(_value(value))}" for name, value in shown.metrics.items())
        picture = f"![{_markdown(shown.group)}]({shown.file})"
        run = f"{_markdown(shown.ref)}<br>{_markdown(shown.finished_at)}, {_markdown(shown.status)}"
        lines.append(f"| {_markdown(shown.group)} | {picture} | {metrics} | {run} |")
    if page.without:
        lines += ["", f"No such picture yet: {', '.join(map(_markdown, page.without))}."]
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split())))


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def as_html(page: Page) -> str:
    """Return the gallery as one HTML page without scripts: metrics lie over each picture."""
    figures = "\n".join(map(_figure, page.pictures))
    missing = f"<p>No such picture yet: {html.escape(', '.join(page.without))}.</p>\n" if page.without else ""
    return _PAGE.format(title=html.escape(page.title), figures=figures, missing=missing)


def _figure(shown: Shown) -> str:
    metrics = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(_value(value))}</dd></div>"
        for name, value in shown.metrics.items()
    )
    overlay = f"<dl>{metrics}</dl>" if metrics else ""
    said = " · ".join(html.escape(text) for text in (shown.ref, shown.finished_at, shown.status))
    alt = html.escape(f"{shown.group}: {shown.path}")
    return (
        f'<figure><div class="picture"><img src="{html.escape(shown.file)}" alt="{alt}" loading="lazy">{overlay}</div>'
        f"<figcaption><strong>{html.escape(shown.group)}</strong><br>{said}</figcaption></figure>"
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }}
main {{ display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }}
figure {{ margin: 0; }}
.picture {{ position: relative; }}
img {{ background: #fff; display: block; width: 100%; }}
dl {{ background: rgb(0 0 0 / 72%); color: #fff; font-size: .8rem; margin: 0; padding: .4rem .6rem; position: absolute;
  right: .4rem; top: .4rem; }}
dl div {{ display: flex; gap: .8rem; justify-content: space-between; }}
dd {{ font-variant-numeric: tabular-nums; margin: 0; }}
figcaption {{ font-size: .9rem; overflow-wrap: anywhere; padding-top: .4rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<main>
{figures}
</main>
{missing}</body>
</html>
"""
