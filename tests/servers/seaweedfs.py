"""SeaweedFS: a real S3 server that honours conditions and checksums."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from tests.servers.endpoint import Endpoint
from tests.servers.process import PATIENCE_S, Process, find_program, free_ports

ADMIN = ("sealrun-admin", "sealrun-admin-secret")
READY = "ready"
READER = ("sealrun-reader", "sealrun-reader-secret")


class SeaweedFS:
    """One server. `stop` and `start` keep its data and its port."""

    def __init__(self, folder: Path) -> None:
        """Prepare a server that keeps everything in `folder`, which exists."""
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = free_ports(8)
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps(_identities()))
        command = [
            find_program("weed"),
            "server",
            "-s3",
            f"-dir={folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_grpc}",
            f"-s3.config={folder / 's3.json'}",
            "-s3.iam.readOnly=false",  # users and policies can be made: tests/servers/identities.py
            "-s3.port.iceberg=0",  # this and the next are fixed ports, which a second server could not have
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=128",
            "-volume.max=2000",
            "-master.electionTimeout=1s",  # a restarted server elects itself, after ten seconds unless told
            "-volume.preStopSeconds=0",
        ]
        grpc = {"master": master_grpc, "volume": volume_grpc, "filer": filer_grpc, "s3": s3_grpc}
        names = [f"filer-{filer}", f"s3-{s3}", *(f"{part}-grpc-{port}" for part, port in grpc.items())]
        self._sockets = [Path(f"/tmp/seaweedfs-{name}.sock") for name in names]  # noqa: S108 - the server's choice
        self._written = False
        self._process = Process(command, folder / "log", s3, "/healthz")
        url = f"http://127.0.0.1:{s3}"
        self.admin = Endpoint(url, *ADMIN)
        self.reader = Endpoint(url, *READER)

    @property
    def endpoint_url(self) -> str:
        return self.admin.endpoint_url

    @property
    def access_key(self) -> str:
        return self.admin.access_key

    @property
    def secret_key(self) -> str:
        return self.admin.secret_key

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options for s3fs, as the identity that may do everything."""
        return self.admin.storage_options

    @property
    def pid(self) -> int:
        return self._process.pid

    def create_bucket(self, name: str | None = None) -> str:
        """Create a bucket, with a fresh name if none is given, and return its name."""
        return self.admin.create_bucket(name)

    def start(self) -> None:
        """Start, and wait until it answers, and gives what it kept: its parts find each other some seconds later."""
        self._process.start()
        deadline = time.monotonic() + PATIENCE_S
        with self.admin.client() as client:
            while True:
                try:
                    self._round(client)
                except (BotoCoreError, ClientError):
                    if time.monotonic() > deadline:
                        self.stop()
                        raise
                    time.sleep(0.1)
                else:
                    return

    def _round(self, client: Any) -> None:  # noqa: ANN401 - boto's
        """Read what an earlier start has written, or write it."""
        if not self._written:
            client.create_bucket(Bucket=READY)
            client.put_object(Bucket=READY, Key=READY, Body=b"ready")
            self._written = True
        client.get_object(Bucket=READY, Key=READY)["Body"].read()

    def stop(self) -> None:
        """Kill it; nobody answers at its port until it is started again. What it acknowledged stays."""
        self._process.stop(signal.SIGKILL)

    def forget(self) -> None:
        """Stop for good, and remove what it leaves outside its folder."""
        self._process.forget()
        for path in self._sockets:
            path.unlink(missing_ok=True)


def _identities() -> dict[str, Any]:
    def identity(name: str, keys: tuple[str, str], actions: list[str]) -> dict[str, Any]:
        return {"name": name, "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}], "actions": actions}

    everything = ["Admin", "Read", "List", "Tagging", "Write"]
    return {"identities": [identity("admin", ADMIN, everything), identity("reader", READER, ["Read", "List"])]}


@contextmanager
def running() -> Iterator[SeaweedFS]:
    """Run a server in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sealrun-seaweedfs-", ignore_cleanup_errors=True) as folder:
        server = SeaweedFS(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.forget()


def main() -> None:
    """Run one in the foreground until interrupted; print where it is, as JSON."""
    with running() as server:
        told = {
            "endpoint_url": server.endpoint_url,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "bucket": server.create_bucket("sealrun"),
            "storage_options": server.storage_options,
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
