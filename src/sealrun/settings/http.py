"""``[http]``: where the daemon answers browsers and programs, and what they have to know."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from sealrun.settings.expanding import Surroundings
from sealrun.settings.schema import HttpTable, SecretTable

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]/]+)):([0-9]{1,5})\Z")
_HOST = re.compile(r"[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_])?\Z|\[?(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+\]?\Z")
_TOKEN = re.compile(r"[!-~]+\Z")
_MAX_PORT = 65535
_LONGEST_SOCKET = 100
_SHORTEST_TOKEN = 16


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server listens: a TCP address, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    socket: str | None = None

    @property
    def reach(self) -> Literal["machine", "address", "everywhere"]:
        """Who gets there: this machine only, whoever reaches the one address, or whoever reaches any of ours."""
        if self.socket is not None or self.host.lower().rstrip(".") == "localhost":
            return "machine"
        import ipaddress  # noqa: PLC0415 - only commands whose settings have [http] pay for it

        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return "address"
        return "machine" if address.is_loopback else "everywhere" if address.is_unspecified else "address"

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix:{self.socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``[http]`` says. The token itself is fetched by `open_token`, since only the daemon needs it."""

    place: Place
    hosts: tuple[str, ...] = ()
    token: SecretTable | None = None
    around: Surroundings

    def open_token(self) -> str | None:
        """Fetch the token now; None if none is asked for. `ConfigurationError` if it is not there, or is too weak."""
        if self.token is None:
            return None
        setting = "[http] token"
        text = self.around.secret(self.token, setting).reveal().strip()
        if len(text) < _SHORTEST_TOKEN or not _TOKEN.match(text):
            problem = f"expected at least {_SHORTEST_TOKEN} letters, digits and signs, such as: openssl rand -hex 32"
            raise self.around.wrong(setting, problem)
        return text


def parse_place(text: str) -> Place:
    """Read ``HOST:PORT``, ``[ADDRESS]:PORT`` or ``unix:/PATH``; `ValueError` says what is expected."""
    if text.startswith("unix:/") and len(text.encode()) <= _LONGEST_SOCKET and "\0" not in text:
        return Place(socket=text.removeprefix("unix:"))
    match = _PLACE.match(text)
    if match is None or int(match[3]) > _MAX_PORT or (match[1] is not None and ":" not in match[1]):
        expected = 'expected HOST:PORT such as "127.0.0.1:9478" or "[::1]:9478", or "unix:/run/sealrun/http.sock"'
        raise ValueError(f"{expected}, got {text!r}")
    return Place(host=match[1] or match[2], port=int(match[3]))


def resolve_http(table: HttpTable | None, around: Surroundings) -> HttpSettings | None:
    """Return what ``[http]`` says, or None where there is none. `ConfigurationError` names the setting.

    What is reached from other machines needs a token.
    """
    if table is None:
        return None
    try:
        place = parse_place(table.listen)
    except ValueError as error:
        raise around.wrong("[http] listen", str(error)) from error
    for host in table.hosts:
        if not _HOST.match(host):
            raise around.wrong("[http] hosts", f"{host!r} is no host name; write names or addresses, without a port")
    if table.token is None and place.reach != "machine":
        problem = (
            f"{table.listen!r} is reached from other machines: set a token, such as "
            'token = { file = "http-token" }, or listen on 127.0.0.1'
        )
        raise around.wrong("[http] listen", problem)
    hosts = tuple(host.strip("[]").lower() for host in table.hosts)
    return HttpSettings(place=place, hosts=hosts, token=table.token, around=around)
