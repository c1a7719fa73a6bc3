"""What systemd wants to hear from a service: sd_notify(3), one datagram for each message.

Only a process that was started with ``NOTIFY_SOCKET`` tells anybody anything; to all others this does nothing. Nothing
here fails: a service that could not say how it is goes on all the same.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

_log = logging.getLogger("sealrun.service")
_LONGEST_STATUS = 500


class ServiceManager:
    """Sends to one socket. Any thread."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """Send to `address`: a path, or with a leading ``@`` a name in the abstract namespace; None: to nobody.

        `watchdog_s` is how long the manager waits for `feed` before it acts; None: it does not.
        """
        self._address = address
        self.watchdog_s = watchdog_s
        self._failed = False

    @property
    def listens(self) -> bool:
        """Whether there is one."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """The start, or a reload, is done; whether well says `status`."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        """The settings are being read again; `ready` ends it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}", "STATUS=reading the settings again")

    def stopping(self, grace_s: float) -> None:
        """It stops, and has asked for `grace_s` to do so whatever the unit says."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(grace_s * 1e6)}", "STATUS=finishing what is in flight")

    def feed(self) -> None:
        """It gets on."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What it does, for `systemctl status`."""
        self._send(*_status(text))

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(5.0)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            if not self._failed:
                _log.warning("the service manager is not told how this service is: %s", error)
            self._failed = True
        else:
            self._failed = False


def take_service_manager(environ: MutableMapping[str, str]) -> ServiceManager:
    """Return whom `environ` says to tell, and remove that from it: no child is to speak for this process."""
    address = environ.pop("NOTIFY_SOCKET", "")
    wanted, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not address.startswith(("/", "@")):
        return ServiceManager(None)
    mine = process in {"", str(os.getpid())}
    watchdog_s = int(wanted) / 1e6 if mine and wanted.isdecimal() and int(wanted) > 0 else None
    return ServiceManager(address, watchdog_s)


def _status(text: str) -> tuple[str, ...]:
    """One line: a message is read line by line."""
    return (f"STATUS={' '.join(text.split())[:_LONGEST_STATUS]}",) if text else ()
