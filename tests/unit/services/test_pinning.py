from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders.worlds import World, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.gated import Call, GatedStore
from tests.faults.lives import T
from tests.invariants import check_invariants

from sealrun.domain.address import pin_key
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.upkeep.keeping import Lifted
from sealrun.ports import Store
from sealrun.services.keeping.pinning import Pins


def pins(world: World, store: Store | None = None) -> Pins:
    return Pins(store or world.store, world.clock, FakeEntropy(4), "ann@desk")


def a_world() -> tuple[World, str]:
    world = World()
    return world, published(world)[1].run_id


def test_a_pin_says_who_when_why_and_until_when() -> None:
    world, run_id = a_world()
    pin = pins(world).pin("train", run_id, "paper", "2026-03-01T00:00+01:00")
    assert (pin.by, pin.pinned_at, pin.why, pin.hold) == ("ann@desk", "2026-01-17T15:00:00Z", "paper", False)
    assert pin.expires_at == "2026-02-28T23:00:00Z"
    assert pins(world).standing("train") == [pin]
    check_invariants(world.store)


def test_pins_of_one_run_and_another_do_not_mix() -> None:
    world, run_id = a_world()
    _, other = published(world, {"y": b"2"}, name="other")
    one = Pins(world.store, world.clock, FakeEntropy(1), "ann").pin("train", run_id, "a")
    two = Pins(world.store, world.clock, FakeEntropy(2), "ann").pin("train", other.run_id, "b")
    assert {pin.pin for pin in pins(world).standing("train")} == {one.pin, two.pin}
    assert pins(world).lift("train", run_id, "done") == [one]
    assert pins(world).standing("train") == [two]


def test_a_pin_counts_until_it_expires() -> None:
    world, run_id = a_world()
    pins(world).pin("train", run_id, "short", "2026-01-17T15:00:10Z")
    world.clock.advance(9)
    assert pins(world).standing("train")
    world.clock.advance(1)
    assert not pins(world).standing("train")
    assert pins(world).lift("train", run_id, "tidy") == []


def test_a_hold_is_lifted_only_by_a_command_that_says_so() -> None:
    world, run_id = a_world()
    hold = pins(world).pin("train", run_id, "law", hold=True)
    with pytest.raises(UsageError, match=f"held by ann@desk: law; .* sealrun unpin --holds train/{run_id}"):
        pins(world).lift("train", run_id, "done")
    pin = Pins(world.store, world.clock, FakeEntropy(9), "ann").pin("train", run_id, "paper")
    assert pins(world).lift("train", run_id, "done") == [pin]
    assert pins(world).standing("train") == [hold]
    assert pins(world).lift("train", run_id, "the case is over", holds=True) == [hold]
    assert pins(world).standing("train") == []


def test_lifting_twice_is_harmless_and_the_first_reason_stands() -> None:
    world, run_id = a_world()
    pins(world).pin("train", run_id, "paper")
    assert len(pins(world).lift("train", run_id, "first")) == 1
    assert pins(world).lift("train", run_id, "second") == []
    (key,) = [key for key in world.store.bodies if key.endswith(".lifted.json")]
    assert Lifted.decode(world.store.bodies[key], key).why == "first"


def test_a_run_that_is_not_there_is_not_pinned_and_nothing_is_written() -> None:
    world, run_id = a_world()
    retire(world, world.target(f"train/{run_id}").attempt)
    before = dict(world.store.bodies)
    for missing, told in (("nope", "sealrun ls train"), (run_id, "was retired .* by retention .too old.")):
        with pytest.raises(NotFoundError, match=told):
            pins(world).pin("train", missing, "late")
    assert world.store.bodies == before


def test_a_pin_on_a_run_that_is_retired_at_that_moment_is_lifted_again() -> None:
    world, run_id = a_world()
    attempt = world.target(f"train/{run_id}").attempt
    retired: list[bool] = []

    def gate(call: Call, act: Callable[[], T]) -> T:
        if call.op == "create" and "/pins/" in call.key and not retired:
            retired.append(True)
            retire(world, attempt)
        return act()

    with pytest.raises(NotFoundError, match="was retired"):
        pins(world, GatedStore(world.store, gate)).pin("train", run_id, "late")
    assert retired
    assert pins(world).standing("train") == []


@pytest.mark.parametrize(
    ("expires_at", "hold", "told"),
    [
        ("soon", False, "'soon' is not a time; write one such as 2026-12-31T00:00:00Z"),
        ("2026-01-17T15:00:00Z", False, "would not count, it is 2026-01-17T15:00:00Z now"),
        ("2027-01-01T00:00:00Z", True, "a hold never expires"),
    ],
)
def test_an_expiry_that_makes_no_sense_is_refused(expires_at: str, hold: bool, told: str) -> None:  # noqa: FBT001 - a case
    world, run_id = a_world()
    before = dict(world.store.bodies)
    with pytest.raises(UsageError, match=told):
        pins(world).pin("train", run_id, "why", expires_at, hold=hold)
    assert world.store.bodies == before


@pytest.mark.parametrize("run_id", ["..", "a/b", ""])
def test_names_that_no_key_can_hold_are_refused(run_id: str) -> None:
    world, _ = a_world()
    for act in (pins(world).pin, pins(world).lift):
        with pytest.raises(UsageError, match="run id"):
            act("train", run_id, "why")


def test_a_pin_that_cannot_be_read_is_an_error_not_an_absence() -> None:
    world, run_id = a_world()
    pin = pins(world).pin("train", run_id, "why")
    world.store.damage(pin_key("train", run_id, pin.pin), b"{")
    with pytest.raises(UnsupportedFormatError):
        pins(world).standing("train")
