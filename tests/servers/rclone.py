"""``rclone serve s3``: accepts every condition and overwrites all the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.endpoint import Endpoint
from tests.servers.process import Process, find_program, free_ports


@contextmanager
def serving_s3() -> Iterator[Endpoint]:
    """Serve a temporary folder."""
    (port,) = free_ports(1)
    endpoint = Endpoint(f"http://127.0.0.1:{port}", "sealrun", "sealrun-secret")
    with tempfile.TemporaryDirectory(prefix="sealrun-rclone-", ignore_cleanup_errors=True) as folder:
        served = Path(folder) / "served"
        served.mkdir()
        command = [
            find_program("rclone"),
            "serve",
            "s3",
            str(served),
            f"--addr=127.0.0.1:{port}",
            f"--auth-key={endpoint.access_key},{endpoint.secret_key}",
            f"--config={folder}/rclone.conf",
        ]
        process = Process(command, Path(folder) / "log", port)
        try:
            process.start()
            yield endpoint
        finally:
            process.forget()
