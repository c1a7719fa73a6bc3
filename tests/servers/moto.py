"""moto: S3 in this process. Honours conditions, accepts wrong checksums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.endpoint import Endpoint


@contextmanager
def running() -> Iterator[Endpoint]:
    """Run a server in a thread."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - loads slowly

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Endpoint(f"http://{host}:{port}", "sealrun", "sealrun-secret")
    finally:
        server.stop()
