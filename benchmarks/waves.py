"""Which requests a command waited for, one after the other: what its time is made of where the store is slow.

Pure functions of what a recording proxy noted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from tests.servers.recording import Exchange, Request


class Wave(NamedTuple):
    """Requests that were in flight together. `before`: seconds since the wave before ended, in which none was.

    The waves of a command are a longest chain of requests of which each was begun after the one before had ended, with
    the others sorted in: no concurrency that there is now makes it shorter.
    """

    before: float
    seconds: float
    requests: tuple[str, ...]


def waves(exchanges: Iterable[Exchange]) -> list[Wave]:
    """Return the waves, the first one's `before` being zero."""
    found: list[list[Exchange]] = []
    first_end = float("-inf")
    for one in sorted(exchanges, key=lambda each: each.begun):
        if one.begun >= first_end:
            found.append([one])
            first_end = one.ended
        else:
            found[-1].append(one)
            first_end = min(first_end, one.ended)
    told: list[Wave] = []
    end = found[0][0].begun if found else 0.0
    for members in found:
        begun, last = members[0].begun, max(each.ended for each in members)
        told.append(Wave(max(0.0, begun - end), last - begun, tuple(describe(each.request) for each in members)))
        end = max(end, last)
    return told


_PURPOSES: tuple[tuple[str, str], ...] = (
    (r"registry\.json", "registry.json"),
    (r"probe/", "probe"),
    (r"attempts/[^/]+/(\w+)\.json", r"\1"),
    (r"attempts/", "attempts"),
    (r"store/packs/", "pack"),
    (r"store/objects/", "object"),
    (r"gc/", "what is condemned"),
    (r"quarantine/", "quarantine"),
    (r"experiments/[^/]+/runs/[^/]+/seals/", "seal"),
    (r"experiments/[^/]+/runs/[^/]+/([^/]+)", r"run folder: \1"),
    (r"experiments/[^/]+/pointers/([^/]+)\.json", r"\1, as people see it"),
    (r"experiments/[^/]+/pointers/([^/]+)/", r"\1"),
    (r"experiments/[^/]+/index/pending/", "row"),
    (r"experiments/[^/]+/index/base/", "base of the index"),
    (r"names/", "published name"),
    (r"latest/", "published file"),
)
_ALL = [(re.compile(f"(?:^|/){pattern}"), purpose) for pattern, purpose in _PURPOSES]


def kind(request: Request) -> str:
    """Return what a request is to an S3 server: GET, HEAD, PUT, LIST, DELETE, COPY aside, parts and their frame."""
    asked = parse_qs(request.query, keep_blank_values=True)
    if "delete" in asked:
        return "DELETE many"
    if "uploads" in asked and request.method == "POST":
        return "BEGIN PARTS"
    if "uploadId" in asked:
        return {"PUT": "PUT part", "POST": "END PARTS", "DELETE": "ABORT PARTS"}.get(request.method, "LIST parts")
    if request.method == "GET" and ("list-type" in asked or "prefix" in asked):
        return "LIST"
    return request.method


def describe(request: Request) -> str:
    """Say what a request is for, where it is one of sealrun's; else its kind alone."""
    asked = parse_qs(request.query)
    key = asked.get("prefix", [""])[0] if kind(request) == "LIST" else unquote(request.path)
    for pattern, purpose in _ALL:
        match = pattern.search(key)
        if match is not None:
            return f"{kind(request)} {match.expand(purpose)}"
    return kind(request)


def table(found: Sequence[Wave]) -> list[str]:
    """Return Markdown: a row for each wave, equal requests counted."""
    if not found:
        return ["no requests"]
    waiting, between = sum(wave.seconds for wave in found), sum(wave.before for wave in found)
    asked = sum(len(wave.requests) for wave in found)
    lines = [
        f"{asked} requests in {len(found)} waves: {waiting:.2f} s of waiting, {between:.2f} s between them",
        "",
        "| wave | s between | s | requests |",
        "|---|---|---|---|",
    ]
    for number, wave in enumerate(found, 1):
        said = ", ".join(f"{many} of {what}" if many > 1 else what for what, many in Counter(wave.requests).items())
        lines.append(f"| {number} | {wave.before:.3f} | {wave.seconds:.3f} | {said} |")
    return lines
