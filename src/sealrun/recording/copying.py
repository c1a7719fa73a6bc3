"""From a command's output to ours and into a log, byte by byte: over a pseudo-terminal where ours is a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sealrun.recording.tee import read_some, write_whole

_LINGER_S = 0.5
_OUT, _ERR = 1, 2


@dataclass
class Channels:
    """Ends of the pipes or terminals: what we read → (name in the log, where it goes); what the child gets."""

    reading: dict[int, tuple[str, int]] = field(default_factory=dict)
    given: list[int] = field(default_factory=list)
    terminals: list[tuple[int, int]] = field(default_factory=list)
    actions: list[tuple[int, ...]] = field(default_factory=list)

    def close_given(self) -> None:
        """Let go of the child's ends, so that its end is seen. Harmless to repeat."""
        while self.given:
            os.close(self.given.pop())

    def close(self) -> None:
        """Let go of everything."""
        self.close_given()
        for descriptor in self.reading:
            os.close(descriptor)
        self.reading.clear()


def make_channels() -> Channels:
    """Make one channel where our two outputs are one and the same, else two, and say how a child is to use them.

    One channel keeps the order of what the child prints to both.
    """
    channels = Channels()
    out = _channel(channels, "stdout", _OUT)
    err = out if _same(_OUT, _ERR) else _channel(channels, "stderr", _ERR)
    channels.actions = [(os.POSIX_SPAWN_DUP2, out, _OUT), (os.POSIX_SPAWN_DUP2, err, _ERR)]
    return channels


def open_channel(target: int) -> tuple[int, int]:
    """Return ends to read from and to give away: of a terminal like `target` where that is one, else of a pipe."""
    if not os.isatty(target):
        return os.pipe()
    reading, given = os.openpty()
    _as_it_is(given)
    _copy_size(reading, target)
    return reading, given


def _channel(channels: Channels, name: str, target: int) -> int:
    reading, given = open_channel(target)
    if os.isatty(given):
        channels.terminals.append((reading, target))
    channels.reading[reading] = (name, target)
    channels.given.append(given)
    return given


def _same(first: int, second: int) -> bool:
    with contextlib.suppress(OSError):
        return os.path.sameopenfile(first, second)
    return False


def _as_it_is(terminal: int) -> None:
    """Have the terminal pass output on unchanged: the real one behind it adds its carriage returns itself."""
    modes = termios.tcgetattr(terminal)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def _copy_size(terminal: int, real: int) -> None:
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(real, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


class Copier:
    """Copies until the command's outputs are closed, or it has ended and what it left behind says no more."""

    def __init__(self, channels: Channels, log: Callable[[str, bytes], None]) -> None:
        """Copy `channels`, and hand every piece to `log`, too."""
        self._channels = channels
        self._log = log
        self._problem: OSError | None = None
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._copy, name="sealrun-copy", daemon=True)

    def start(self) -> None:
        """Begin; the child has its ends."""
        self._channels.close_given()
        self._thread.start()

    def resize(self) -> None:
        """Tell the child's terminals the size of ours."""
        for terminal, real in self._channels.terminals:
            if terminal in self._channels.reading:
                _copy_size(terminal, real)

    def finish(self) -> OSError | None:
        """Copy what is left after the child's end. A process it left in the background does not keep us waiting.

        Returns why not everything is in the log, if so; the output itself was passed on.
        """
        os.close(self._wake)
        self._thread.join()
        os.close(self._woken)
        self._channels.close()
        return self._problem

    def _copy(self) -> None:
        reading = self._channels.reading
        ended = False
        while reading:
            waited_for = [*reading] if ended else [*reading, self._woken]
            ready, _, _ = select.select(waited_for, [], [], _LINGER_S if ended else None)
            if ended and not ready:
                return
            ended = ended or self._woken in ready
            for descriptor in ready:
                if descriptor in reading:
                    self._pass_on(descriptor)

    def _pass_on(self, descriptor: int) -> None:
        name, target = self._channels.reading[descriptor]
        chunk = read_some(descriptor)
        if chunk and self._problem is None:
            try:
                self._log(name, chunk)
            except OSError as error:
                self._problem = error
        if not chunk or not write_whole(target, chunk):
            # Nobody reads our output any more: the child learns it as it would without us.
            del self._channels.reading[descriptor]
            os.close(descriptor)
