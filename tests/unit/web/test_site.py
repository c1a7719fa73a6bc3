"""The site of a daemon, which costs nothing as long as nobody asks for it."""

from __future__ import annotations

import subprocess
import sys


def test_a_daemon_without_http_loads_no_server() -> None:
    code = (
        "import sys, sealrun.bootstrap.daemon.running, sealrun.web.site; "
        "print(sorted({'aiohttp', 'jinja2', 'prometheus_client', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
