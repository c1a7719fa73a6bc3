"""Threads that hold up nobody: a call that hangs ends with the process, which `ThreadPoolExecutor` would wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Call(NamedTuple):
    future: Future[Any]
    work: Callable[[], Any]


class Threads(Executor):
    """At most `count` threads, each started when the others are busy."""

    def __init__(self, count: int, name: str) -> None:
        """Start nothing yet."""
        self._count = count
        self._name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._started = 0
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn` called by the next free thread; `RuntimeError` after `shutdown`."""
        future: Future[T] = Future()
        with self._lock:
            if self._ended:
                msg = "the server is stopping"
                raise RuntimeError(msg)
            self._calls.put(_Call(future, lambda: fn(*args, **kwargs)))
            if not self._idle.acquire(blocking=False) and self._started < self._count:
                self._started += 1
                name = f"{self._name}_{self._started}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as the standard library has it; what waits is cancelled, what runs is left alone
        """Call nothing more, and wait for nothing. Harmless twice."""
        with self._lock:
            self._ended = True
            try:
                while (call := self._calls.get_nowait()) is not None:
                    call.future.cancel()
            except queue.Empty:
                pass
            for _ in range(self._started):
                self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            if call.future.set_running_or_notify_cancel():
                try:
                    call.future.set_result(call.work())
                except BaseException as error:  # noqa: BLE001 - whoever waits for the answer is told
                    call.future.set_exception(error)
            del call  # what it was asked for is not kept while it waits
            self._idle.release()
