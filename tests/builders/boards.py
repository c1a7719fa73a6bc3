"""Invented daemons to look at: everything `sealrun.web.board.Board` can show, hostile names included.

The figures are invented and agree with each other: totals are sums, pages are cut from the same lists, and the health
follows from the alarms.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import TypeVar

import msgspec

from sealrun.domain.errors import NotFoundError, RetiredError, UnavailableError, UsageError
from sealrun.domain.oversight.board import (
    Alarm,
    CheckRow,
    CollectionLine,
    CollectionPlan,
    Command,
    EventRow,
    FileKind,
    FilePage,
    FileRow,
    Health,
    InFlight,
    InForce,
    Overview,
    Pause,
    PendingFolder,
    PendingPage,
    Picture,
    PointerMove,
    PointerRow,
    QueuedRun,
    QueuePage,
    RegistryBoard,
    Relation,
    RunDetail,
    RunPage,
    RunPlace,
    RunQuestion,
    RunRow,
    ScrubResult,
    StoragePoint,
    TablePreview,
    TextPreview,
    TimerBoard,
    WatchBoard,
)
from sealrun.web.board import Opened

T = TypeVar("T")

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
MAIN, COLD = "main", "cold"

SCRIPT = "<script>document.title='owned'</script>"
HOSTILE_NAMES = (
    SCRIPT,
    '"><img src=x onerror="document.title=\'owned\'">',
    "' onmouseover='document.title=1' x='",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:document.title='owned'",
    "a b&c=d?e#f%2e%2e%2f+g;h",
    "\u202egnp.exe",
    "zero\u200bwidth\u2028line",
    "\u65e5\u672c\u8a9e \U0001f980 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "name-that-is-long-" + "x" * 180,
)
"""What people who mean harm, or nothing at all, call their folders, files and tags."""

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=\'owned\'"><script>document.title="owned"</script>'
    b'<circle cx="50" cy="50" r="40"/></svg>'
)
HTML = (
    b"<!doctype html><title>page</title><body onload=\"document.title='owned'\">"
    b"<script>parent.document.title='owned'</script>"
)


def moment(ago: timedelta = timedelta()) -> str:
    """RFC 3339, so long before `NOW`."""
    return (NOW - ago).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_picture(width: int = 64, height: int = 48, shade: int = 90) -> bytes:
    """A PNG with a gradient."""
    lines = b"".join(
        b"\0" + bytes(part for x in range(width) for part in (shade, (x * 4) % 256, (y * 5) % 256))
        for y in range(height)
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines)),
            (b"IEND", b""),
        )
    )


_CSV = "epoch,loss,note\n" + "".join(f"{n},{1 / (n + 1):.4f},step {n}\n" for n in range(40)) + f'40,0.01,"{SCRIPT}"\n'

_FILES: tuple[tuple[str, bytes, FileKind, tuple[str, ...]], ...] = (
    ("config.yaml", b"lr: 0.1\nseed: 7\n", "text", ()),
    ("metrics.csv", _CSV.encode(), "table", ("csv",)),
    ("plots/loss.png", a_picture(), "picture", ("png",)),
    ("plots/hostile.svg", SVG, "picture", ()),
    ("report.html", HTML, "text", ()),
    ("weights.bin", bytes(range(256)) * 64, "other", ()),
    ("log.txt", b"started\n" + SCRIPT.encode() + b"\ndone\n", "text", ()),
    *(
        (f"hostile/{number:02d} {name.replace('/', '-')}", name.encode(), "other", ())
        for number, name in enumerate(HOSTILE_NAMES)
    ),
)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def a_run_row(number: int, experiment: str, registry: str = MAIN, *, tags: Sequence[str] = ()) -> RunRow:
    """The run of that number; every seventh failed, and the first ten have hostile folders."""
    run_id = f"run-{number:05d}"
    status = "failed" if number % 7 == 6 else "success"
    return RunRow(
        registry=registry,
        experiment=experiment,
        run_id=run_id,
        ref=f"{experiment}/{run_id}",
        name=HOSTILE_NAMES[number] if number < len(HOSTILE_NAMES) else f"run {number}",
        status=status,
        finished_at=moment(timedelta(minutes=13 * number)),
        size=sum(len(body) for _, body, _, _ in _FILES) + number,
        files=len(_FILES),
        root_sha256=_digest(f"root {experiment} {number}"),
        tags=tags,
        pointers=("latest",) if number == 0 else ("champion",) if number == 3 else (),
    )


class InventedBoard:
    """A `Board` of invented data. It remembers who asked for what in `asked`; `down` registries cannot be reached.

    `happen` adds an event; tests may replace `alarm_list`, `watch_list` and `registry_list` as they like.
    """

    def __init__(self, runs: int = 120) -> None:
        """Invent `runs` runs in ``main`` and a tenth of them in ``cold``."""
        self.down: set[str] = set()
        self.retired: set[str] = set()
        self.unread: str | None = None
        self.asked: list[str] = []
        self._lock = Lock()
        tags = {number: (name,) for number, name in enumerate(HOSTILE_NAMES)}
        experiments = ("training", "evaluation", "sweep-7")
        self.rows = [a_run_row(n, experiments[n % 3], tags=tags.get(n, ("nightly",))) for n in range(runs)]
        self.cold_rows = [a_run_row(n, experiments[n % 3], COLD) for n in range(runs // 10)]
        self.alarm_list: list[Alarm] = list(some_alarms())
        self.pending_list = list(some_pending())
        self.queue_list = list(some_queued())
        self.event_list = list(some_events())
        self.watch_list = list(some_watches(len(self.pending_list)))
        self.registry_list = list(some_registries(self.queue_list, len(self.rows), len(self.cold_rows)))

    def happen(self, kind: str, subject: str, **fields: object) -> int:
        """Something happens; return its number."""
        with self._lock:
            number = len(self.event_list) + 1
            self.event_list.append(EventRow(id=number, at=moment(), kind=kind, subject=subject, fields=fields))
        return number

    def overview(self) -> Overview:
        self._note("overview")
        worst = {alarm.severity for alarm in self.alarm_list}
        health: Health = "failing" if "critical" in worst else "degraded" if worst else "ok"
        return Overview(
            version="0.0.0",
            host="invented.example",
            state="/var/lib/sealrun",
            started_at=moment(timedelta(days=3)),
            now=moment(),
            health=health,
            alarms=tuple(self.alarm_list),
            watches=tuple(self.watch_list),
            registries=tuple(self.registry_list),
            timers=some_timers(),
            events=tuple(self.event_list[-20:]),
            settings=InForce(file="/etc/sealrun/sealrun.toml", read_at=moment(timedelta(days=3)), unread=self.unread),
        )

    def alarms(self) -> Sequence[Alarm]:
        self._note("alarms")
        return tuple(self.alarm_list)

    def pending(self, watch: str, page: int = 1, size: int = 100) -> PendingPage:
        self._note("pending", watch)
        if watch not in {each.name for each in self.watch_list}:
            raise NotFoundError(f"there is no watch {watch!r}")
        mine = [folder for folder in self.pending_list if folder.watch == watch]
        return PendingPage(rows=_page(mine, page, size), total=len(mine), page=page, size=size)

    def queue(self, registry: str, page: int = 1, size: int = 100) -> QueuePage:
        self._known(registry)
        self._note("queue", registry)
        mine = self.queue_list if registry == MAIN else []
        return QueuePage(rows=_page(mine, page, size), total=len(mine), page=page, size=size)

    def events(self, after: int = 0, limit: int = 100) -> Sequence[EventRow]:
        self._note("events", after)
        with self._lock:
            later = [event for event in self.event_list if event.id > after]
        return later[:limit] if after else later[-limit:]

    def runs(self, question: RunQuestion) -> RunPage:
        self._reach(question.registry)
        self._note("runs", question)
        if question.page < 1 or not 1 <= question.size <= 1000:
            raise UsageError("pages count from 1 and hold 1 to 1000 runs")
        rows = self._rows(question.registry)
        found = [row for row in rows if _fits(row, question)]
        return RunPage(
            rows=_page(found, question.page, question.size),
            total=len(found),
            page=question.page,
            size=question.size,
            experiments=sorted({row.experiment for row in rows}),
            statuses=sorted({row.status for row in rows}),
        )

    def run(self, registry: str, experiment: str, run_id: str) -> RunDetail:
        row = self._row(registry, experiment, run_id)
        self._note("run", row.ref)
        if row.ref in self.retired:
            raise RetiredError(f"{row.ref} was retired from {registry} by ada ({SCRIPT})")
        return a_detail(row)

    def files(self, registry: str, experiment: str, run_id: str, page: int = 1, size: int = 200) -> FilePage:
        row = self._row(registry, experiment, run_id)
        rows = [
            FileRow(
                path=path,
                size=len(body),
                sha256=sha256(body).hexdigest(),
                kind=kind,
                where=f"objects/{sha256(body).hexdigest()}",
                types=types,
            )
            for path, body, kind, types in sorted(_FILES)
        ]
        self._note("files", row.ref)
        return FilePage(rows=_page(rows, page, size), total=len(rows), page=page, size=size)

    def open_file(self, registry: str, experiment: str, run_id: str, path: str) -> Opened:
        _, body, _, _ = self._file(registry, experiment, run_id, path)
        name = path.rpartition("/")[2]
        return Opened(name, len(body), sha256(body).hexdigest(), io.BytesIO(body))

    def table(self, registry: str, experiment: str, run_id: str, path: str) -> TablePreview:
        _, body, kind, _ = self._file(registry, experiment, run_id, path)
        if kind != "table":
            raise UsageError(f"{path} is no table that can be shown")
        head, *lines = body.decode().splitlines()
        rows = tuple(tuple(line.split(",")) for line in lines[:20])
        columns = tuple(head.split(","))
        return TablePreview(columns=columns, rows=rows, rows_total=len(lines), truncated=True, verified=False)

    def text(self, registry: str, experiment: str, run_id: str, path: str) -> TextPreview:
        _, body, _, _ = self._file(registry, experiment, run_id, path)
        return TextPreview(text=body[:1000].decode(errors="replace"), truncated=len(body) > 1000)

    def picture(self, registry: str, experiment: str, run_id: str, path: str) -> Picture:
        _, body, _, _ = self._file(registry, experiment, run_id, path)
        if not body.startswith(b"\x89PNG"):
            raise UsageError(f"{path} is no picture that can be shown")
        return Picture(media_type="image/png", body=body)

    def pointers(self, registry: str, experiment: str | None = None) -> Sequence[PointerRow]:
        self._reach(registry)
        return tuple(
            PointerRow(
                registry=registry,
                experiment=row.experiment,
                name=name,
                ref=row.ref,
                generation=4,
                moved_at=row.finished_at,
                by="ada@invented.example",
            )
            for row in self._rows(registry)
            for name in row.pointers
            if experiment in {None, row.experiment}
        )

    def pointer_history(self, registry: str, experiment: str, name: str) -> Sequence[PointerMove]:
        if not any(each.name == name for each in self.pointers(registry, experiment)):
            raise NotFoundError(f"there is no pointer {name!r} of {experiment}")
        return tuple(
            PointerMove(
                generation=number,
                ref=f"{experiment}/run-{9 - number:05d}",
                moved_at=moment(timedelta(days=4 - number)),
                by="ada@invented.example",
                reason=SCRIPT if number == 2 else "better",
            )
            for number in (4, 3, 2, 1)
        )

    def storage(self, registry: str) -> Sequence[StoragePoint]:
        self._known(registry)
        return tuple(
            StoragePoint(
                at=moment(timedelta(days=60 - day)),
                registry=registry,
                runs=10 + 2 * day,
                logical_bytes=(10 + 2 * day) * 1_500_000_000,
                stored_bytes=None if day % 20 == 13 else (10 + day) * 700_000_000,
                objects=100 + 17 * day,
                requests={"read": 400 * day, "create": 30 * day, "list": 5 * day},
            )
            for day in range(61)
        )

    def collection_plan(self, registry: str) -> CollectionPlan:
        self._reach(registry)
        return CollectionPlan(
            registry=registry,
            made_at=moment(),
            next_at=moment(-timedelta(hours=12)),
            retire=[
                CollectionLine(what="run", name=row.ref, size=row.size, reason="older than the newest 20")
                for row in self._rows(registry)[-5:]
            ],
            condemn=[CollectionLine(what="object", name=_digest("old"), size=5_000_000, reason="no run needs it")],
            sweep=[CollectionLine(what="attempt", name=SCRIPT, size=None, reason="its process died")],
            total_bytes=5_000_000,
            refused="it would delete 31% of the store; the settings allow 20%" if registry == COLD else None,
        )

    def scrubs(self, registry: str) -> Sequence[ScrubResult]:
        self._known(registry)
        return (
            ScrubResult(
                registry=registry,
                at=moment(timedelta(hours=20)),
                read_bytes=44_000_000_000,
                runs=31,
                damage=[f"training/run-00003: plots/{SCRIPT}: the bytes are not the ones that were sealed"],
            ),
            ScrubResult(
                registry=registry, at=moment(timedelta(days=7)), read_bytes=0, runs=0, damage=(), problem="down"
            ),
        )

    def _note(self, *what: object) -> None:
        with self._lock:
            self.asked.append(" ".join(map(str, what)))

    def _known(self, registry: str) -> None:
        if registry not in {each.name for each in self.registry_list}:
            raise NotFoundError(f"there is no registry {registry!r}")

    def _reach(self, registry: str) -> None:
        self._known(registry)
        if registry in self.down:
            raise UnavailableError(f"{registry}: connection refused")

    def _rows(self, registry: str) -> Sequence[RunRow]:
        return self.rows if registry == MAIN else self.cold_rows if registry == COLD else ()

    def _row(self, registry: str, experiment: str, run_id: str) -> RunRow:
        self._reach(registry)
        for row in self._rows(registry):
            if (row.experiment, row.run_id) == (experiment, run_id):
                return row
        raise NotFoundError(f"there is no run {experiment}/{run_id} in {registry}")

    def _file(
        self, registry: str, experiment: str, run_id: str, path: str
    ) -> tuple[str, bytes, FileKind, tuple[str, ...]]:
        row = self._row(registry, experiment, run_id)
        self._note("file", row.ref, path)
        for each in _FILES:
            if each[0] == path:
                return each
        raise NotFoundError(f"{row.ref} has no file {path!r}")


def a_quiet_board() -> InventedBoard:
    """One registry, one watch, no runs, no alarms: a daemon that was just started."""
    board = InventedBoard(runs=0)
    board.alarm_list, board.pending_list, board.queue_list, board.event_list = [], [], [], []
    watch = board.watch_list[0]
    board.watch_list = [msgspec.structs.replace(watch, counts={}, pending=0, paused=None)]
    main = some_registries((), 0, 0)[0]
    board.registry_list = [
        msgspec.structs.replace(
            main, state="unknown", reason="", since=None, rate=None, in_flight=(), last_error=None, parked=0
        )
    ]
    return board


def some_alarms() -> Sequence[Alarm]:
    """One critical alarm, one warning with a hostile subject."""
    return (
        Alarm(
            key="registry-unreachable:cold",
            kind="registry-unreachable",
            subject="cold",
            severity="critical",
            reason="s3://invented-cold/sealrun: connection refused",
            since=moment(timedelta(hours=3)),
            help="sealrun runbook registry-unreachable",
            quiet_since=moment(timedelta(minutes=1)),
        ),
        Alarm(
            key="run-stale:outbox",
            kind="run-stale",
            subject=SCRIPT,
            severity="warning",
            reason="unchanged and incomplete for 72 hours",
            since=moment(timedelta(hours=9)),
            help="sealrun runbook run-stale",
        ),
    )


def some_pending() -> Sequence[PendingFolder]:
    """Folders that wait, are stale or rejected; all hostile names are among them."""
    states = (
        ("settling", "changed 4 s ago; complete when nothing changes for 30 s"),
        ("stale", "unchanged for 3 days, and DONE is missing"),
        ("rejected", "escape: a link that leads out of the folder"),
    )
    names = ("run-41", "run-42", *HOSTILE_NAMES)
    return tuple(
        PendingFolder(
            watch="outbox",
            path=f"/data/outbox/{name}",
            name=name,
            state=states[number % 3][0],
            reason=states[number % 3][1],
            since=moment(timedelta(minutes=number)),
        )
        for number, name in enumerate(names)
    )


def some_queued() -> Sequence[QueuedRun]:
    """Deliveries that wait: due ones, postponed ones with errors, a parked one."""
    return (
        *(
            QueuedRun(
                ref=f"training/run-9{number:04d}",
                folder=f"/data/outbox/run-9{number:04d}",
                state="queued",
                tries=number % 3,
                due=moment(-timedelta(seconds=30 * number)),
                size=123_456_789 * (number + 1),
                error=None if number % 3 == 0 else f"connection reset; {HOSTILE_NAMES[1]}",
            )
            for number in range(7)
        ),
        QueuedRun(
            ref="training/run-90099",
            folder=f"/data/outbox/{SCRIPT}",
            state="parked",
            tries=5,
            due=moment(),
            size=1,
            error="the folder changed after it was sealed; look at it and retry",
        ),
    )


def some_watches(pending: int) -> Sequence[WatchBoard]:
    """One busy watch, one paused, one whose folder is missing."""
    counts = {"sealed": 400, "settling": pending - 2, "stale": 1, "rejected": 1}
    return (
        WatchBoard(
            name="outbox",
            path="/data/outbox",
            experiment="training",
            registries=(MAIN, COLD),
            how="inotify",
            counts=counts,
            pending=pending,
        ),
        WatchBoard(
            name="sweeps",
            path="/data/sweeps & more",
            experiment="{1}",
            registries=(MAIN,),
            how="polling",
            counts={"sealed": 3},
            pending=0,
            paused=Pause(cause="person", since=moment(timedelta(hours=1)), reason=f"cluster moves {SCRIPT}"),
        ),
        WatchBoard(
            name="usb",
            path="/media/usb",
            experiment="usb",
            registries=(COLD,),
            how="polling",
            counts={},
            pending=0,
            missing=True,
        ),
    )


def some_registries(queued: Sequence[QueuedRun], published: int, cold: int) -> Sequence[RegistryBoard]:
    """One that works and has something in flight, one that is down, one read-only, one with quiet hours."""
    parked = sum(each.state == "parked" for each in queued)
    flying = InFlight(
        ref="training/run-00500",
        started_at=moment(timedelta(minutes=2)),
        phase="upload",
        done_bytes=3_000_000_000,
        total_bytes=7_000_000_000,
    )
    return (
        RegistryBoard(
            name=MAIN,
            url="s3://invented/sealrun",
            state="up",
            reason="",
            since=moment(timedelta(days=3)),
            read_only=False,
            queued=len(queued) - parked,
            queued_bytes=sum(each.size for each in queued),
            parked=parked,
            published=published,
            in_flight=(flying,),
            rate=25_000_000.0,
            limit=30_000_000,
        ),
        RegistryBoard(
            name=COLD,
            url="s3://invented-cold/sealrun",
            state="down",
            reason="connection refused",
            since=moment(timedelta(hours=3)),
            read_only=False,
            queued=0,
            queued_bytes=0,
            parked=0,
            published=cold,
            last_error=f"connection refused {SCRIPT}",
            paused=Pause(cause="quiet-hours", until=moment(-timedelta(hours=3))),
        ),
        RegistryBoard(
            name="archive",
            url="/srv/archive",
            state="unknown",
            reason="",
            since=None,
            read_only=True,
            queued=0,
            queued_bytes=0,
            parked=0,
            published=0,
        ),
    )


def some_timers() -> Sequence[TimerBoard]:
    """One that ran, one that failed."""
    return (
        TimerBoard(name="gc:main", last_at=moment(timedelta(hours=12)), next_at=moment(-timedelta(hours=12))),
        TimerBoard(
            name="verify:cold",
            last_at=moment(timedelta(days=1)),
            next_at=moment(-timedelta(days=6)),
            problem="connection refused",
        ),
    )


def some_events() -> Sequence[EventRow]:
    """Thirty things that happened, hostile subjects among them."""
    kinds = ("run.sealed", "run.published", "registry.down", "run.rejected", "alarm.raised")
    return tuple(
        EventRow(
            id=number + 1,
            at=moment(timedelta(minutes=30 - number)),
            kind=kinds[number % 5],
            subject=HOSTILE_NAMES[number % len(HOSTILE_NAMES)] if number % 4 == 0 else f"training/run-{number:05d}",
            fields={"registry": MAIN, "reason": SCRIPT},
        )
        for number in range(30)
    )


def a_detail(row: RunRow) -> RunDetail:
    """Everything about a run: a check that failed, a picture and hostile parameters among it."""
    return RunDetail(
        row=row,
        envelope={"run_id": row.run_id, "status": row.status, "tags": list(row.tags), "name": SCRIPT},
        checks=(CheckRow(name="rows", passed=True), CheckRow(name=SCRIPT, passed=False, detail="expected 40 rows")),
        upstream=(
            Relation(kind="input", label="data/2026-03", ref="data/2026-03"),
            Relation(kind="input", label=SCRIPT),
        ),
        downstream=(Relation(kind="derived", label="training.plots/run-1", ref="training.plots/run-1"),),
        places=(
            RunPlace(
                registry=row.registry,
                url="s3://invented/sealrun",
                attempt="01abc",
                objects=3,
                packed=14,
                state="sealed",
            ),
            RunPlace(registry="archive", url="/srv/archive", attempt=None, objects=None, packed=None, state="absent"),
        ),
        commands=(
            Command(what="Restore it", line=f"sealrun get {row.ref} --registry {row.registry}"),
            Command(what="Check its bytes", line=f"sealrun verify {row.ref} --registry {row.registry}"),
        ),
        params={"lr": 0.1, "layers": [3, 4], SCRIPT: SCRIPT},
        metrics={"loss": 0.02, "accuracy": 0.93},
        searched=40,
        searchable=120,
    )


def _fits(row: RunRow, question: RunQuestion) -> bool:
    needle = (question.search or "").casefold()
    return (
        question.experiment in {None, row.experiment}
        and question.status in {None, row.status}
        and (question.tag is None or question.tag in row.tags)
        and any(needle in text.casefold() for text in (row.run_id, row.name, row.experiment, *row.tags))
    )


def _page(rows: Sequence[T], page: int, size: int) -> Sequence[T]:
    return rows[(page - 1) * size : page * size]
