"""Secrets in what a run records of its surroundings: command lines, URLs, error texts.

Values of environment variables are never recorded, only the names of those that a run requires.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MASK = "***"
_WORD = (
    r"(?:passw(?:or)?ds?|passphrase|pwd|secrets?|token|api[-_]?keys?|access[-_]?keys?"
    r"|private[-_]?keys?|credentials?|auth)"
)
# "max-tokens" is a number, and what names a secret's file, socket or kind does not hold it.
_SECRET_NAME = re.compile(rf"(?i)(?:^|[-_.]){_WORD}(?:$|[-_.](?!file|path|dir|url|name|id$|type|ttl|sock))|{_WORD}$")
_OPTION = re.compile(r"(?s)(-{0,2}[A-Za-z0-9_.-]+)([=:])(.+)\Z")
_URL_USER = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@|(?<=://)[^/\s@:]{16,}@")
_URL_QUERY = re.compile(rf"(?i)([?&;][^=&\s]*(?:{_WORD}|sig(?:nature)?)=)[^&\s#]+")
_ASSIGNED = re.compile(rf"(?i)(\b[\w.-]*{_WORD}[\"']?\s*[=:]\s*)(?:bearer\s+)?(\"[^\"]+\"|'[^']+'|[^\s,;&]+)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/._~=-]{8,}")
# As their issuers document them: GitHub, AWS, Hugging Face, OpenAI and others, Slack, GitLab, Google, JSON web tokens.
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|glpat-[\w-]{16,}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_MIN_VALUE = 6
_FOLDERS = {"PWD", "OLDPWD"}
"""Shells keep folders in these."""


def names_a_secret(name: str) -> bool:
    """Tell whether a variable or an option of this name holds a secret, by its name."""
    return name not in _FOLDERS and _SECRET_NAME.search(name.lstrip("-")) is not None


def masked_text(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with everything masked that looks like a secret, or is the value of a variable named like one."""
    return masked_looks(masked_values(text, environ))


def masked_values(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` without the values of variables that are named like secrets."""
    for name, value in environ.items():
        if len(value) >= _MIN_VALUE and names_a_secret(name):
            text = text.replace(value, MASK)
    return text


def masked_looks(text: str) -> str:
    """Return `text` without what looks like a secret."""
    text = _URL_USER.sub(f"{MASK}@", text)
    text = _URL_QUERY.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return _KNOWN.sub(MASK, text)


def masked_arguments(arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return a command line without its secrets: ``--token X``, ``--token=X``, ``PASSWORD=X``, URLs, known tokens."""
    shown: list[str] = []
    hide = False
    for argument in arguments:
        assigned = _OPTION.match(argument)
        if hide and not argument.startswith("--"):
            shown.append(MASK)
        elif assigned and names_a_secret(assigned[1]):
            shown.append(f"{assigned[1]}{assigned[2]}{MASK}")
        else:
            shown.append(masked_text(argument, environ))
        hide = argument.startswith("-") and not assigned and names_a_secret(argument)
    return shown
