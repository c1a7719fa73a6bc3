"""What the protocol asks of a bucket, as pure functions of how much there is.

``python -m benchmarks.requests`` prints them; ``tests/unit/test_requests.py`` confirms them against a counting store.
Opening a bucket for the first time in a day adds the probe (`PROBE`), opening it at all one read of ``registry.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import NamedTuple

_PAGE = 1000
_PACK = 32 << 20
_PACKED_OVERHEAD = 94 + 110
"""Bytes of a pack that each member costs beside its own."""
_MEMBER_HEADER = 94
_PIECE = 4 << 20
_FAR_SPAN = 8 << 20
"""So much of a pack is restored by one read."""
_PROVED_BY_ATTEMPT = 3
_WORTH_A_LISTING = 25
_LISTED_PER_QUESTION = 20
_TOGETHER = 4
"""So many batches share a mark."""
_HELD = 20_000
"""A listing of ``attempts/`` that is shorter is made once for the first mark."""
_PART = 8 << 20
_SINGLE = 32 << 20


class Requests(NamedTuple):
    """How many requests of each kind. `list` counts pages, `delete` requests of up to 1,000 keys."""

    put: int = 0
    get: int = 0
    head: int = 0
    list: int = 0
    copy: int = 0
    delete: int = 0

    def plus(self, *others: Requests) -> Requests:
        """Return the sum."""
        return Requests(*map(sum, zip(self, *others, strict=True)))

    def times(self, number: int) -> Requests:
        """Return as many."""
        return Requests(*(number * one for one in self))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)

    def cost(self, prices: Prices) -> float:
        """Return US dollars; deletes cost nothing."""
        dear, cheap = self.put + self.list + self.copy, self.get + self.head
        return (dear * prices.put + cheap * prices.get) / 1000


class Prices(NamedTuple):
    """US dollars per 1,000 requests (`put`: PUT, COPY, LIST and parts; `get`: GET and HEAD) and per GB and month."""

    put: float = 0.005
    get: float = 0.0004
    gb_month: float = 0.023


OPENING = Requests(get=1)
PROBE = Requests(put=44, get=39, head=5, list=6, delete=14)
"""Once a day for each state folder and registry; the one for checksums comes on top where a server claims to check."""


def pages(keys: int, page: int = _PAGE) -> int:
    """How many answers a listing of so many keys takes: one at least."""
    return max(1, -(-keys // page))


def packs_of(files: int, size: int, pack: int = _PACK) -> int:
    """How many packs hold `files` small files of `size` bytes altogether."""
    return -(-(size + files * _PACKED_OVERHEAD) // pack)


def parts_of(size: int) -> int:
    """How many requests beside the first one an object of `size` bytes takes: begin, parts and end are counted."""
    return 0 if size < _SINGLE else -(-size // _PART) + 1


class Reused(NamedTuple):
    """What a publication finds in the registry: so many `keys`, referenced by so many `attempts`.

    Each attempt is taken to be used for more keys than it costs to ask about, or for fewer.
    """

    attempts: int = 0
    keys: int = 0

    @property
    def requests(self) -> Requests:
        """Outcome, refs and no retirement of each attempt; or the outcome, and a look at each key."""
        if self.keys > _PROVED_BY_ATTEMPT * self.attempts:
            return Requests(get=2, head=1).times(self.attempts)
        return Requests(get=self.attempts, head=self.keys)


class History(NamedTuple):
    """What lies around for ever, or nearly, and is listed: objects in quarantine. Batches that ended are not."""

    quarantined: int = 0


NOTHING, NO_HISTORY = Reused(), History()


def _reused(reused: Reused, history: History) -> Requests:
    """What is condemned and quarantined is asked only where something may be referenced."""
    if not reused.keys:
        return Requests()
    return Requests(list=1 + pages(history.quarantined)).plus(reused.requests)


def requests_of_publish(
    objects: int, packs: int = 0, *, names: int = 0, reused: Reused = NOTHING, history: History = NO_HISTORY
) -> Requests:
    """A new run of which so many `objects` and `packs` are not there yet, without parts (`parts_of`).

    `names`: how many of its files are published under a name that was in use. The experiment has a ``latest``, which
    moves.
    """
    return Requests().plus(
        Requests(get=1),  # the run's place: nothing is there
        Requests(put=1),  # intent
        _reused(reused, history),
        Requests(put=objects + packs),
        Requests(put=3),  # run folder
        Requests(put=1),  # refs
        Requests(put=1),  # outcome
        Requests(put=2),  # seal, row
        Requests(list=2, get=1, put=2),  # latest: look, read, move, copy, look again
        Requests(list=2, get=1, put=2, head=1, copy=1).times(names),  # each name: the same, and what people look at
        Requests(delete=1),  # intent
    )


def requests_of_publish_again() -> Requests:
    """A run that is there already, unchanged: it is found, its records are read, nothing is written."""
    return Requests().plus(
        Requests(get=1),  # the run's place
        Requests(list=1, get=1, head=1),  # its seals, the outcome of the newest, no retirement
        Requests(get=2),  # manifest, refs
        Requests(head=1),  # is its announcement finished?
    )


def requests_of_resolve_pointer() -> Requests:
    """Where a pointer or a published name stands."""
    return Requests(list=1, get=1)


def requests_of_resolve_run() -> Requests:
    """Whether a run is there: its seals, the outcome of the newest, no retirement, run.json."""
    return Requests(list=1, get=2, head=1)


def requests_of_show() -> Requests:
    """A run's records: three of its folder, and its refs."""
    return requests_of_resolve_run().plus(Requests(get=4))


def requests_of_cat(reads: int = 1) -> Requests:
    """One file of a run that a pointer names: the sums of its folder, its refs, and as many reads of its bytes."""
    return requests_of_resolve_pointer().plus(Requests(get=2 + reads))


def requests_of_get(reads: int) -> Requests:
    """A run's records and its files: one read for each object of up to 4 MiB (`reads_of`), few for many in a pack."""
    return requests_of_show().plus(Requests(get=reads))


def reads_of(size: int) -> int:
    """How many reads an object of `size` bytes takes."""
    return 1 if size <= _PIECE else size // _PIECE + 1


def reads_of_packed(files: int, size: int, packs: int = 1, *, restored: bool = False) -> int:
    """How many reads take `files` small files of `size` bytes each, shared out evenly over `packs`.

    They are verified, or `restored` from a store that is not a directory.
    """
    together = ((_FAR_SPAN if restored else _PIECE) - size) // (size + _MEMBER_HEADER) + 1
    return packs * -(-(files // packs) // together)


def requests_of_list(pending: int) -> Requests:
    """The rows of an experiment: one read for each that is not in a base yet, then the base."""
    return Requests(list=pages(pending) + 1, get=pending + 1)


class Extent(NamedTuple):
    """A registry: everything that is looked at by whoever looks at all of it.

    `attempts` have left `records` keys each in ``attempts/`` (outcome and refs; a retired one has three). `moves` are
    generations of all pointers and names together. `below_experiments` and `below_names` are all keys that begin so.
    """

    objects: int
    attempts: int
    packs: int = 0
    records: float = 2.0
    experiments: int = 1
    pointers: int = 1
    names: int = 0
    moves: int = 0
    pending: int = 0
    intents: int = 0
    pins: int = 0
    heads: int = 0
    in_base: int = 0
    below_experiments: int = _PAGE
    below_names: int = _PAGE

    @property
    def attempt_keys(self) -> int:
        """How many keys there are in ``attempts/``."""
        return round(self.attempts * self.records) + self.intents

    @property
    def attempt_pages(self) -> int:
        """Pages of one look at ``attempts/``."""
        return pages(self.attempt_keys)


def requests_of_mark(extent: Extent, *, kept: bool = False) -> Requests:
    """The first mark of a collection, which reads all attempts; where records are `kept` on this machine, none.

    Nor does it then read bases of indexes, pins and heads of logs, where few keys are listed at once. `heads`: how many
    attempts pointers stand on that are retired. `in_base`: how many that are not are in a base.
    """
    each = extent.experiments
    again = 0 if extent.attempt_keys < _HELD else extent.attempt_pages
    looks = Requests(list=2)  # one page of each, which is all where there are few keys
    if extent.below_experiments >= _PAGE:
        looks = looks.plus(
            Requests(list=pages(each)),
            Requests(list=each * (pages(extent.pending // each) + 1)),  # index
            Requests(list=each * pages(extent.pins // each)),
            Requests(list=each + extent.pointers),
        )
    if extent.below_names >= _PAGE:
        looks = looks.plus(Requests(list=1 + extent.names))
    bases_and_heads = 0
    if not kept or extent.below_experiments >= _PAGE:
        bases_and_heads += each + extent.pins + extent.pointers
    if not kept or extent.below_names >= _PAGE:
        bases_and_heads += extent.names
    return looks.plus(
        Requests(list=again, get=2 * extent.intents),  # intents, and the outcome of each
        Requests(list=extent.attempt_pages),
        Requests(get=extent.heads),
        Requests(get=bases_and_heads),
        Requests(get=0 if kept else 2 * extent.attempts - extent.in_base),  # outcome, if no row says it, and refs
    )


def requests_of_second_mark(extent: Extent, *, fresh: int = 0) -> Requests:
    """A mark that reads `fresh` attempts, and nothing from what was seen or kept before."""
    each = extent.experiments
    return Requests().plus(
        Requests(list=pages(each) + 1),  # experiments, names
        Requests(list=extent.attempt_pages, get=2 * extent.intents),  # intents, and the outcome of each
        Requests(list=each * pages(extent.pins // each), get=extent.pins),
        Requests(list=each),  # pointers
        Requests(list=1, get=1).times(extent.pointers + extent.names),
        Requests(list=extent.attempt_pages, get=2 * fresh),  # outcome and refs
    )


def requests_of_plan(extent: Extent, history: History = NO_HISTORY, *, kept: bool = False) -> Requests:
    """What a collection would delete: the store's time, the mark, all objects and packs."""
    return requests_of_mark(extent, kept=kept).plus(
        Requests(put=1, head=1, delete=1),  # the store's time
        Requests(list=1 + pages(history.quarantined)),
        Requests(list=pages(extent.objects) + pages(extent.packs)),
    )


def requests_of_sweep(extent: Extent, deleted: int, *, batch: int = 50_000) -> Requests:
    """What follows a plan that deletes so many objects, but for the tidying: some batches share a mark."""
    whole, rest = divmod(deleted, batch)
    sizes = [batch] * whole + [rest] * (rest > 0)
    per_batch = Requests(put=3, head=1, delete=1)  # condemned, verdict, does it stand, log; its end
    per_mark = Requests(list=1).plus(requests_of_second_mark(extent))  # and quarantine
    return Requests(list=1).plus(
        per_batch.times(len(sizes)),
        per_mark.times(-(-len(sizes) // _TOGETHER)),
        Requests(delete=sum(-(-size // _PAGE) for size in sizes)),
        *(requests_of_look(extent.objects, size, deleted) for size in {*sizes} for _ in range(sizes.count(size))),
    )


def requests_of_look(objects: int, asked: int, deleted: int) -> Requests:
    """Whether the keys of one batch are gone. Its keys are neighbours: all together are spread over 256 parts evenly.

    A part of which 25 keys or more are asked is listed from its beginning, 20 keys for each that is asked; what that
    does not reach is looked at, key by key. An estimate, but for few keys.
    """
    parts = min(256, max(1, round(256 * asked / deleted)))
    in_part, there = asked / parts, objects / 256
    if in_part < _WORTH_A_LISTING:
        return Requests(head=asked)
    listed = min(there, _LISTED_PER_QUESTION * in_part)
    missed = 1 - listed / there if there else 0.0
    return Requests(list=parts * pages(round(listed)), head=round(asked * missed))


def requests_of_verify(extent: Extent, reads: int) -> Requests:
    """Read everything again: records of every run, objects and packs (`reads`), indexes and logs.

    First all keys of attempts are listed, which tells which are retired, and a page of experiments and of names: where
    that is all, nothing else is listed.
    """
    logs = extent.pointers + extent.names
    told = extent.attempt_keys < _HELD
    looks = Requests(list=2 + pages(min(extent.attempt_keys, _HELD)))
    if extent.below_experiments >= _PAGE:
        each = extent.experiments
        looks = looks.plus(
            Requests(list=2 * pages(each)),  # for runs, and for pointers
            Requests(list=each * pages(extent.attempts // each) + extent.attempts),  # runs, who seals each
            Requests(list=each * (pages(extent.pending // each) + 1)),
            Requests(list=each + extent.pointers * pages(extent.moves // max(1, logs))),
        )
    if extent.below_names >= _PAGE:
        looks = looks.plus(Requests(list=1 + extent.names * pages(extent.moves // max(1, logs))))
    return looks.plus(
        Requests(get=5).times(extent.attempts),  # outcome and records
        Requests(get=reads),
        Requests(get=extent.pending + extent.experiments),  # rows and bases
        Requests(get=extent.moves),
        Requests() if told else Requests(head=1).times(extent.attempts),  # retired?
        Requests() if told else Requests(get=1, head=1).times(logs),  # the outcome of each, once more
    )


def requests_of_recovery(extent: Extent) -> Requests:
    """Look for intents that somebody left, which a daemon does every hour."""
    found = Requests(list=extent.attempt_pages)
    return found.plus(Requests(put=1, head=1, delete=1)) if extent.intents else found


FILES_PER_RUN = 50


def _rows(files: int, *, packed: bool) -> list[str]:
    """What looking at everything asks of a registry of so many files, a tenth of whose attempts is retired."""
    attempts = files // FILES_PER_RUN
    objects, packs = (0, attempts) if packed else (files, 0)
    extent = Extent(objects=objects, packs=packs, attempts=attempts, records=2.1, moves=attempts)
    extent = extent._replace(in_base=attempts * 9 // 10)
    stored = objects + packs
    acts = {
        "plan": requests_of_plan(extent),
        "plan again": requests_of_plan(extent, kept=True),
        "sweep": requests_of_sweep(extent._replace(objects=stored), stored // 5),
        "wrecks": requests_of_recovery(extent),
        "verify": requests_of_verify(extent, stored),
    }
    shown = [f"{asked.total:,} ({asked.cost(Prices()):,.2f})" for asked in acts.values()]
    return [f"{files:,}", "packed" if packed else "plain", *shown]


def main(argv: Sequence[str] | None = None) -> None:
    """Print what a publication asks, and what whoever looks at everything asks, as Markdown or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.requests", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options = parser.parse_args(argv)
    acts = {
        "publish 1 file": requests_of_publish(1),
        "publish 10,000 files of 10 KiB, each an object": requests_of_publish(10_000),
        "publish 10,000 files of 10 KiB, packed": requests_of_publish(0, packs_of(10_000, 10_000 * 10_240)),
        "publish again, unchanged": requests_of_publish_again(),
        "resolve a pointer or a name": requests_of_resolve_pointer(),
        "resolve a run": requests_of_resolve_run(),
        "show": requests_of_show(),
        "get 1,000 objects": requests_of_get(1_000),
        "get 10,000 files of 10 KiB, packed": requests_of_get(reads_of_packed(10_000, 10_240, 4, restored=True)),
        "list an experiment, 100 rows pending": requests_of_list(100),
    }
    if options.json:
        print(json.dumps({act: asked._asdict() for act, asked in acts.items()}, indent=1))
        return
    print("| what | PUT | GET | HEAD | LIST | COPY | DELETE | all | $ |\n" + "|---" * 9 + "|")
    for act, asked in acts.items():
        print(
            f"| {act} | " + " | ".join(f"{one:,}" for one in (*asked, asked.total)) + f" | {asked.cost(Prices()):.5f} |"
        )
    print()
    print(
        "| files | form | plan ($) | plan again ($) | sweep of a fifth ($) | look for wrecks ($) | verify ($) |\n"
        + "|---" * 7
        + "|"
    )
    for power in (5, 6, 7, 8, 9):
        for packed in (False, True):
            print(f"| {' | '.join(_rows(10**power, packed=packed))} |")


if __name__ == "__main__":
    main()
