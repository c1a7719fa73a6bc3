"""A machine with systemd in a folder: made by debootstrap, booted by systemd-nspawn, driven by nsenter. Needs root.

It has no network but its own loopback. What is the same for every run is made once and kept in the folder that
``$SEALRUN_MACHINE_CACHE`` names, or made anew if it names none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers.process import find_program

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
VENV = "/opt/sealrun"
_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_PACKAGES = (
    "ca-certificates",
    "dbus",
    "dbus-user-session",
    "libpam-systemd",
    "procps",
    "python3",
    "python3-venv",
    "systemd",
    "systemd-sysv",
)
_PYTHON = "3.11"  # that of the suite
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "any")
_NEEDED = ("debootstrap", "systemd-nspawn", "nsenter", "setpriv")


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Poll until `condition` holds; the limit only ends a test that hangs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _call(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


class Machine:
    """A booted machine. `close` leaves nothing of it behind."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._log = tree.parent / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=TERM", "--"),  # a test run that is killed takes its machine along
                    "systemd-nspawn",
                    "--quiet",
                    f"--directory={self.tree}",
                    f"--machine={self.tree.parent.name.replace('_', '-')}",
                    "--boot",
                    "--register=no",
                    "--keep-unit",
                    "--private-network",
                    "--console=pipe",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._has_begun, "nothing was started")
        wait_for(lambda: self.try_run("systemctl", "is-system-running") in {"running", "degraded"}, "it does not boot")

    def _has_begun(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._init = int(child)
        return self._init > 0

    def run(self, *command: str, user: str = "root", stdin: str = "") -> str:
        """Run a command inside; return what it printed. It has to succeed."""
        done = self._run(command, user, stdin)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def try_run(self, *command: str, user: str = "root") -> str:
        """Run a command inside that may fail; return what it printed."""
        return self._run(command, user, "").stdout.strip()

    def _run(self, command: Sequence[str], user: str, stdin: str) -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", f"--target={self._init}", "--all", "--"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"]
        if user != "root":
            number = self._run(["id", "--user", user], "root", "").stdout.strip()
            clean = ["runuser", f"--user={user}", "--", *clean[:-1], f"HOME=/home/{user}"]
            clean.append(f"XDG_RUNTIME_DIR=/run/user/{number}")
        return subprocess.run(
            [*inside, *clean, *command], input=stdin, capture_output=True, text=True, check=False, timeout=300
        )

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside, as root."""
        file = self.tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def there(self, path: str) -> bool:
        """Whether a path is there, seen from outside."""
        return os.path.lexists(self.tree / path.lstrip("/"))

    def unit(self, prop: str, name: str = "sealrun.service") -> str:
        """What the service manager says of a unit."""
        return self.run("systemctl", "show", name, f"--property={prop}", "--value")

    def close(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # nspawn asks the machine to power off
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
        if process.poll() is None:
            if self._init:
                with suppress(ProcessLookupError):
                    os.kill(self._init, signal.SIGKILL)  # its namespace, and all that is in it, goes along
            process.kill()
            process.wait(30)


@contextmanager
def booted(name: str = "sealrun") -> Iterator[Machine]:
    """A machine of its own, with this checkout's wheel installed into `VENV`."""
    assert os.geteuid() == 0, "a machine is booted by root only"
    for program in _NEEDED:
        assert shutil.which(program), f"{program} is missing; on Debian: apt-get install debootstrap systemd-container"
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    machine = Machine(folder / "tree")
    try:
        with _base() as base:
            _call("cp", "--archive", "--reflink=auto", base, machine.tree)
        install(machine, wheel(folder / "wheels"))
        machine.boot()
        yield machine
    finally:
        machine.close()
        shutil.rmtree(folder, ignore_errors=True)


def wheel(folder: Path, version: str | None = None) -> Path:
    """Build this checkout's wheel, as that `version` if one is given."""
    source = folder / "source"
    source.mkdir(parents=True)
    for each in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / each, source)
    for each in ("src", "docs", "deploy"):
        shutil.copytree(ROOT / each, source / each, ignore=shutil.ignore_patterns("__pycache__"))
    if version is not None:
        init = source / "src" / "sealrun" / "__init__.py"
        text, count = re.subn(r'(?m)^(__version__\b.*=\s*)"[^"]+"', rf'\g<1>"{version}"', init.read_text())
        assert count == 1
        init.write_text(text)
    _call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", source)
    (found,) = folder.glob("sealrun-*.whl")
    return found


def install(machine: Machine, built: Path) -> None:
    """Install a wheel into the machine's environment, over what is there. No network is used."""
    shutil.copy(built, machine.tree / "var" / "tmp")
    inside = f"/var/tmp/{built.name}"  # noqa: S108 - inside the machine
    pip = [f"{VENV}/bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--force-reinstall"]
    _call("chroot", machine.tree, *pip, inside)


@contextmanager
def _base() -> Iterator[Path]:
    """The folder of a machine that was never booted, while nobody else makes it."""
    kept = os.environ.get("SEALRUN_MACHINE_CACHE")
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="sealrun-base-") as made:
            yield _made(Path(made))
        return
    cache = Path(kept)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cache / _stamp()
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _made(folder)
            (folder / "done").touch()
        yield folder / "tree"


def _stamp() -> str:
    said = repr((_SUITE, _PACKAGES, _PYTHON, _requirements(), Path(find_program("weed")).stat().st_size, 2))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _requirements() -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def _made(folder: Path) -> Path:
    tree, wheels = folder / "tree", folder / "wheels"
    _call("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, tree, _MIRROR)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", f"--python-version={_PYTHON}"]
    platforms = [f"--platform={each}" for each in _PLATFORMS]
    _call(*pip, "--implementation=cp", *platforms, f"--dest={wheels}", *_requirements())
    shutil.copytree(wheels, tree / "wheels")
    _call("chroot", tree, "python3", "-m", "venv", VENV)
    inside = ["--quiet", "--no-index", "--find-links=/wheels", *_requirements()]
    _call("chroot", tree, f"{VENV}/bin/python", "-m", "pip", "install", *inside)
    shutil.rmtree(tree / "wheels")
    shutil.copy(find_program("weed"), tree / "usr" / "local" / "bin" / "weed")
    (tree / "etc" / "machine-id").write_text("")
    (tree / "etc" / "hostname").write_text("sealrun\n")
    return tree
