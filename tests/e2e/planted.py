"""A machine full of secrets, each of them known, and a search for them in everything that it emits."""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from tests.e2e.deployment import PATIENCE_S
from tests.servers.identities import add_user
from tests.servers.process import free_ports
from tests.servers.seaweedfs import SeaweedFS

from sealrun.adapters.stores.s3_address import parse_place
from sealrun.adapters.stores.s3_policies import policy
from sealrun.domain.curation.roles import READER

_MINED = 1 << 22


class Canaries:
    """Values that stand for secrets: letters and digits around which they have what quoting changes."""

    def __init__(self) -> None:
        self.cores: dict[str, str] = {}

    def plant(self, where: str) -> str:
        """Return a secret for a place, to be found by its core however it was quoted."""
        core = f"c4n4ry{uuid4().hex}"
        self.cores[where] = core
        return f'/+{core}=é&<"'

    def plain(self, where: str) -> str:
        """Likewise, where only letters and digits may stand."""
        self.plant(where)
        return self.cores[where]

    def keep(self, where: str, value: str) -> str:
        """A secret that somebody else made."""
        self.cores[where] = value
        return value

    def found_in(self, body: bytes) -> set[str]:
        """Which of them show, as they are, in base64, in hexadecimal or backwards."""
        lower = body.lower()
        return {
            where
            for where, core in self.cores.items()
            if core.lower().encode() in lower
            or core.encode().hex().encode() in lower
            or core[::-1].encode() in body
            or any(piece in body for piece in _in_base64(core.encode()))
        }


def _in_base64(core: bytes) -> Iterator[bytes]:
    """The characters that `core` certainly gives in base64, for each of the three ways that it may stand."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + core).rstrip(b"=")
        yield text[4 if before else 0 : -2]
        yield text[4 if before else 0 : -2].replace(b"+", b"-").replace(b"/", b"_")


class Machine(NamedTuple):
    """A machine whose settings, environment and files are full of secrets."""

    root: Path
    canaries: Canaries
    environ: Mapping[str, str]
    port: int

    @property
    def settings(self) -> Path:
        return self.root / "sealrun.toml"

    @property
    def output(self) -> Path:
        return self.root / "output"

    def run(self, *arguments: str) -> str:
        """Run a command with tracebacks, whatever becomes of it; keep what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "sealrun", "--config", str(self.settings), *arguments, "-vv"],
            capture_output=True,
            cwd=self.root,
            env=dict(self.environ),
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        self.keep("-".join(word for word in arguments if word.isalpha()), done.stdout + done.stderr)
        return (done.stdout + done.stderr).decode(errors="replace")

    def keep(self, name: str, body: bytes) -> None:
        self.output.mkdir(exist_ok=True)
        (self.output / f"{name.replace('/', '_')[:60]} {uuid4().hex[:8]}").write_bytes(body)

    def emitted(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was written: logs and output, state, registries; what is packed, also unpacked."""
        for folder in ("output", "state", "registry", "recorded", "mirror"):
            for path in (self.root / folder).rglob("*"):
                if path.is_file() and not path.is_symlink():
                    body = path.read_bytes()
                    yield str(path.relative_to(self.root)), body
                    if body.startswith(b"SQLite format 3"):
                        yield f"{path.name}: unpacked", _unpacked(path)


def _unpacked(file: Path) -> bytes:
    """Every value of a database, and what those hold that are compressed."""
    found = bytearray()
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - its own names
                for value in row:
                    if isinstance(value, bytes):
                        found += value + b"\n" + _inflated(value)
                    else:
                        found += str(value).encode(errors="replace") + b"\n"
    connection.close()
    return bytes(found)


def _inflated(value: bytes) -> bytes:
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS | 16):
        try:
            return zlib.decompressobj(bits).decompress(value, _MINED)
        except zlib.error:
            continue
    return b""


_SETTINGS = """version = 1
state = "state"

[registry.good]
url = "registry"

[registry.wrong]
url = "s3://{bucket}/wrong"
[registry.wrong.storage_options]
key = "{key}"
secret = {{ env = "WRONG_SECRET" }}
token = {{ file = "token.txt" }}
endpoint_url = "{s3}"

[registry.refused]
url = "s3://{bucket}/prod"
[registry.refused.storage_options]
key = "{reader_key}"
secret = {{ credential = "reader-secret" }}
endpoint_url = "{s3}"

[registry.unreachable]
url = "s3://{bucket}/away"
[registry.unreachable.storage_options]
key = "k"
secret = "{inline}"
endpoint_url = "http://127.0.0.1:{closed}"

[registry.inside]
url = "s3://{bucket}/inside"
[registry.inside.storage_options]
endpoint_url = "http://user:{endpoint_password}@127.0.0.1:{closed}"

[registry.tls]
url = "s3://{bucket}/tls"
[registry.tls.storage_options]
profile = "planted"
endpoint_url = "https://127.0.0.1:{plain_port}"
client_kwargs = {{ region_name = "us-east-1" }}

[registry.ftp]
url = "ftp://user:{url_password}@127.0.0.1:{closed}/place?X-Amz-Signature={presigned}"

[[watch]]
name = "w"
path = "outputs"
experiment = "e"
settle = "0s"

[[notify]]
on = ["*"]
url = "http://user:{hook_password}@127.0.0.1:{closed}/hook/{hook_path}?token={hook_query}"
secret = "whsec_{hook_secret}"

[[notify]]
on = ["*"]
url = {{ env = "HOOK_URL" }}

[[notify]]
on = ["*"]
[notify.mail]
to = "a@example.org"
from = "b@example.org"
server = "127.0.0.1"
port = {closed}
user = "u"
password = {{ file = "mail.txt" }}

[[notify]]
ping = "http://127.0.0.1:{closed}/ping/{ping}"
interval = "1s"

[http]
listen = "127.0.0.1:{http}"
token = {{ file = "http.txt" }}
"""


def machine_of(root: Path, server: SeaweedFS) -> Machine:
    canaries = Canaries()
    bucket = server.create_bucket()
    reader = add_user(server.admin, policy(parse_place(f"s3://{bucket}/prod"), READER))
    canaries.keep("secret of the identity that is refused", reader.secret_key)
    closed, listen = free_ports(2)
    for file in ("token", "mail", "http"):
        (root / f"{file}.txt").write_text(
            canaries.plant(f"{file}.txt") if file != "http" else canaries.plain("http.txt")
        )
    (root / "credentials").mkdir()
    (root / "credentials" / "reader-secret").write_text(reader.secret_key)
    (root / "aws").write_text(
        f"[planted]\naws_access_key_id = AKIAPLANTED\naws_secret_access_key = {canaries.plain('AWS profile')}\n"
        f"aws_session_token = {canaries.plain('AWS session token')}\n"
    )
    (root / "outputs").mkdir()
    hook = base64.b64encode(canaries.plain("webhook's secret").encode()).decode()
    (root / "sealrun.toml").write_text(
        _SETTINGS.format(
            bucket=bucket,
            s3=server.endpoint_url,
            plain_port=server.endpoint_url.rpartition(":")[2],
            closed=closed,
            http=listen,
            key=canaries.plain("key"),
            inline=canaries.plain("secret in the settings"),
            reader_key=reader.access_key,
            endpoint_password=canaries.plain("password in endpoint_url"),
            url_password=canaries.plain("password in a registry's URL"),
            presigned=canaries.plain("query of a registry's URL"),
            hook_password=canaries.plain("password in a webhook's URL"),
            hook_path=canaries.plain("path of a webhook's URL"),
            hook_query=canaries.plain("query of a webhook's URL"),
            hook_secret=hook,
            ping=canaries.plain("path of a ping's URL"),
        )
    )
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "HOME": str(root / "home"),
        "WRONG_SECRET": canaries.plant("env = WRONG_SECRET"),
        "HOOK_URL": f"https://127.0.0.1:{server.endpoint_url.rpartition(':')[2]}/{canaries.plain('env = HOOK_URL')}",
        "AWS_SHARED_CREDENTIALS_FILE": str(root / "aws"),
        "CREDENTIALS_DIRECTORY": str(root / "credentials"),
        "DATABASE_PASSWORD": canaries.plant("environment of a recorded run"),
        "SERVICE_TOKEN": canaries.plant("environment of a recorded run, a token"),
    }
    return Machine(root, canaries, environ, listen)
