"""What a path says: a reference, and a path inside what it names.

::

    sealrun://EXPERIMENT/RUN_ID/PATH            sealrun://EXPERIMENT@POINTER/PATH
    sealrun://NAME                              sealrun://urn:sealrun:TYPE:sha256:HEX/PATH
    sealrun://EXPERIMENT                        a folder of its runs

``REF:PATH``, as commands write it, is read alike. A URL may end in ``?registry=NAME`` (or a registry's URL, quoted).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

SCHEME = "sealrun://"
_OPTIONS = re.compile(r"\?(registry=[^/?&]+)\Z")
_URN_COLONS = 4


class Location(NamedTuple):
    """A path taken apart. `ref` is empty for the root; a `bare` one is an experiment or a published name."""

    ref: str
    inner: str
    bare: bool


def options_of(url: str) -> dict[str, str]:
    """What the end of a URL says about the registry."""
    found = _OPTIONS.search(url) if url.startswith(SCHEME) else None
    if found is None:
        return {}
    name, _, value = found[1].partition("=")
    return {name: unquote(value)}


def strip(url: str) -> str:
    """Return the path of a URL, or a path as it is, in its one spelling."""
    if url.startswith(SCHEME):
        url = _OPTIONS.sub("", url)[len(SCHEME) :]
    path = "/".join(part for part in url.split("/") if part)
    ref, colon, inner = _split_at_colon(path)
    return f"{ref}/{inner}".rstrip("/") if colon else path


def locate(path: str) -> Location:
    """Take a stripped path apart."""
    head, _, rest = path.partition("/")
    if not head or "@" in head or head.startswith("urn:"):
        return Location(head, rest, bare=False)
    if not rest:
        return Location(head, "", bare=True)
    run_id, _, inner = rest.partition("/")
    return Location(f"{head}/{run_id}", inner, bare=False)


def _split_at_colon(path: str) -> tuple[str, str, str]:
    """Find the colon that ends a reference; a colon further on belongs to a file's name."""
    if path.startswith("urn:"):
        parts = path.split(":", _URN_COLONS + 1)
        if len(parts) > _URN_COLONS + 1 and "/" not in parts[_URN_COLONS]:
            return ":".join(parts[:-1]), ":", parts[-1]
        return path, "", ""
    ref, colon, inner = path.partition(":")
    if colon and ref.count("/") <= ("@" not in ref):
        return ref, colon, inner
    return path, "", ""
