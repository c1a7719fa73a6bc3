"""Pins and holds: reasons to keep a run that people give, and take back."""

from __future__ import annotations

from sealrun.domain.address import (
    Key,
    RunId,
    attempt_id,
    lifted_key,
    parse_name,
    pin_key,
    pins_prefix,
)
from sealrun.domain.errors import UsageError
from sealrun.domain.moments import rfc3339
from sealrun.domain.runs.declarations import parse_time
from sealrun.domain.upkeep.keeping import Lifted, Pin
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.access.reading import no_such_run
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import find_standing

_LIFTED_SUFFIX = ".lifted.json"


def read_pins(store: Store, experiment: str, run_id: str | None = None) -> list[Pin]:
    """Pins and holds of an experiment, or of one run, that nobody lifted; expired ones included. By run, oldest first.

    `IntegrityError` if one cannot be read: a pin that is overlooked would cost a run.
    """
    prefix = pins_prefix(experiment) if run_id is None else f"{pins_prefix(experiment)}{run_id}/"
    keys = [found.key for found in store.list(prefix)]
    lifted = {key.removesuffix(_LIFTED_SUFFIX) for key in keys if key.endswith(_LIFTED_SUFFIX)}
    standing = [key for key in keys if not key.endswith(_LIFTED_SUFFIX) and key.removesuffix(".json") not in lifted]
    return [Pin.decode(store.read(Key(key)), key) for key in standing]


def describe_pin(pin: Pin) -> str:
    """Say it as a reason to keep a run."""
    until = f" until {pin.expires_at}" if pin.expires_at is not None and not pin.hold else ""
    return f"{'held' if pin.hold else 'pinned'} by {pin.by}{until}: {pin.why or 'no reason given'}"


class Pins:
    """The pins and holds of one registry. Every mutation is durable on return."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, by: str) -> None:
        """Pin and lift as `by`, who is told to whoever wants to retire the run."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._by = by
        self._certainty = Certainty(store, clock, entropy)

    def pin(self, experiment: str, run_id: str, why: str, expires_at: str | None = None, *, hold: bool = False) -> Pin:
        """Keep a run from being retired, until `expires_at` (ISO 8601) if given. Each call adds a pin.

        `NotFoundError` if the run is not sealed, or was retired while it was pinned: then the pin is lifted again. A
        crash leaves a pin that counts.
        """
        ref = f"{parse_name(experiment, 'experiment')}/{parse_name(run_id, 'run id')}"
        expiry = self._expiry(ref, expires_at, hold=hold)
        if find_standing(self._store, experiment, run_id) is None:
            raise no_such_run(self._store, experiment, run_id)
        pin = Pin(
            pin=attempt_id(self._clock.now().strftime("%Y%m%dT%H%M%SZ"), self._entropy.hex(16)),
            experiment=experiment,
            run_id=RunId(run_id),
            hold=hold,
            why=why,
            by=self._by,
            pinned_at=self._stamp(),
            expires_at=expiry,
        )
        self._certainty.create(pin_key(experiment, run_id, pin.pin), pin.encode())
        if find_standing(self._store, experiment, run_id) is None:
            self._lift(pin, "the run was retired before it was pinned")
            raise no_such_run(self._store, experiment, run_id)
        return pin

    def lift(self, experiment: str, run_id: str, why: str, *, holds: bool = False) -> list[Pin]:
        """Lift every pin of a run, and with `holds` every hold; return those that counted until now.

        Repeating is harmless. `UsageError` if nothing but holds is there and `holds` was not said.
        """
        ref = f"{parse_name(experiment, 'experiment')}/{parse_name(run_id, 'run id')}"
        pins = read_pins(self._store, experiment, run_id)
        chosen = [pin for pin in pins if holds or not pin.hold]
        if pins and not chosen:
            msg = f"{ref} is {describe_pin(pins[0])}; to lift a hold say so: sealrun unpin --holds {ref}"
            raise UsageError(msg)
        for pin in chosen:
            self._lift(pin, why)
        return [pin for pin in chosen if pin.counts(self._stamp())]

    def standing(self, experiment: str) -> list[Pin]:
        """Pins and holds of an experiment that count now."""
        parse_name(experiment, "experiment")
        return [pin for pin in read_pins(self._store, experiment) if pin.counts(self._stamp())]

    def _lift(self, pin: Pin, why: str) -> None:
        lifted = Lifted(pin=pin.pin, lifted_at=self._stamp(), by=self._by, why=why)
        self._certainty.create(lifted_key(pin.experiment, pin.run_id, pin.pin), lifted.encode())

    def _expiry(self, ref: str, text: str | None, *, hold: bool) -> str | None:
        if text is None:
            return None
        if hold:
            msg = f"{ref}: a hold never expires; leave the expiry away, or pin the run instead"
            raise UsageError(msg)
        expiry = parse_time(text)
        if expiry is None:
            msg = f"{ref}: {text!r} is not a time; write one such as 2026-12-31T00:00:00Z"
            raise UsageError(msg)
        if expiry <= self._stamp():
            msg = f"{ref}: a pin that expires at {expiry} would not count, it is {self._stamp()} now"
            raise UsageError(msg)
        return expiry

    def _stamp(self) -> str:
        return rfc3339(self._clock.now())
