from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from cloudevents.v1.http import from_json
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeEvents, FakeFacts

from sealrun.domain.oversight.board import Severity
from sealrun.domain.oversight.notifying import GIVE_UP_AFTER_S, Notice, next_try
from sealrun.services.oversight.notifying import Notifier, NotifyTarget, WebhookChannel


class Receiver:
    """Somebody who is told, and who may refuse."""

    def __init__(
        self,
        *on: str,
        secret: str | None = None,
        name: str = "there",
        severity: Severity | None = None,
        slack: bool = False,
    ) -> None:
        self.got: list[tuple[Mapping[str, str], bytes]] = []
        self.problem: str | None = None
        self.asked = 0
        webhook = WebhookChannel(self.take, FakeClock(datetime.now(UTC)), secret, slack=slack)
        self.target = NotifyTarget(name, on or ("*",), webhook, severity)

    def take(self, headers: Mapping[str, str], body: bytes) -> str | None:
        self.asked += 1
        if self.problem is None:
            self.got.append((headers, body))
        return self.problem

    @property
    def subjects(self) -> list[str]:
        return [json.loads(body)["subject"] for _, body in self.got]


class World:
    """A journal whose events are told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events, self.facts = FakeEvents(), FakeFacts()

    def notifier(self) -> Notifier:
        return Notifier(self.events, self.facts, "state", self.clock)

    def happen(self, *subjects: str, kind: str = "run.published") -> None:
        for subject in subjects:
            self.events.record(kind, subject, registry="main")
            self.events.seen[-1]["at"] = self.clock.now().timestamp()

    def round(self, *receivers: Receiver) -> None:
        self.notifier().round([receiver.target for receiver in receivers])


@pytest.fixture
def world() -> World:
    return World()


def test_a_target_is_told_what_happens_from_now_on_in_order_and_once(world: World) -> None:
    receiver = Receiver()
    world.happen("before")
    world.round(receiver)
    world.happen("a", "b")
    world.round(receiver)
    world.round(receiver)
    world.happen("c")
    world.round(receiver)
    assert receiver.subjects == ["a", "b", "c"]


def test_only_what_is_wanted_is_told(world: World) -> None:
    receiver = Receiver("run.*", "registry.away")
    world.round(receiver)
    world.happen("a")
    world.happen("b", kind="settings.reloaded")
    world.happen("c", kind="registry.away")
    world.round(receiver)
    assert receiver.subjects == ["a", "c"]


def test_a_failure_holds_up_its_target_only_and_is_tried_again_ever_later_with_the_same_id(world: World) -> None:
    bad, good = Receiver(name="bad"), Receiver(name="good")
    world.round(bad, good)
    world.happen("a", "b")
    bad.problem = "answered 500"
    world.round(bad, good)
    assert (good.subjects, bad.asked) == (["a", "b"], 1)
    world.round(bad, good)
    assert bad.asked == 1
    world.clock.advance(next_try(1))
    world.round(bad, good)
    world.clock.advance(next_try(1))
    world.round(bad, good)
    assert bad.asked == 2
    cursor = world.notifier().cursor(bad.target)
    assert cursor is not None
    assert (cursor.tries, cursor.problem) == (2, "answered 500")
    bad.problem = None
    world.clock.advance(next_try(2))
    world.round(bad, good)
    assert bad.subjects == ["a", "b"]
    assert [headers["webhook-id"] for headers, _ in bad.got] == [headers["webhook-id"] for headers, _ in good.got]


def test_what_nobody_took_for_days_is_dropped(world: World) -> None:
    receiver = Receiver()
    world.round(receiver)
    world.happen("old")
    world.clock.advance(GIVE_UP_AFTER_S + 1)
    world.happen("new")
    world.round(receiver)
    assert receiver.subjects == ["new"]


def test_a_crash_between_two_events_repeats_none_that_was_taken(world: World) -> None:
    receiver = Receiver()
    world.round(receiver)
    world.happen("a", "b")

    def take_one(headers: Mapping[str, str], body: bytes) -> str | None:
        if receiver.got:
            raise KeyboardInterrupt
        return receiver.take(headers, body)

    with pytest.raises(KeyboardInterrupt):
        world.notifier().round([NotifyTarget("there", ("*",), WebhookChannel(take_one, world.clock))])
    world.round(receiver)
    assert receiver.subjects == ["a", "b"]


def test_events_are_read_by_the_library_of_the_format(world: World) -> None:
    receiver = Receiver()
    world.round(receiver)
    world.happen("train/r1")
    world.round(receiver)
    event = from_json(receiver.got[0][1])
    assert event["type"] == "sealrun.run.published"
    assert event["subject"] == "train/r1"
    assert event["source"] == "urn:sealrun:state:state"
    assert event.data == {"registry": "main"}
    assert receiver.got[0][0]["Content-Type"].startswith("application/cloudevents+json")


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain text, and long enough"])
def test_signatures_are_checked_by_the_library_of_the_format(world: World, secret: str) -> None:
    receiver = Receiver(secret=secret)
    world.round(receiver)
    world.happen("a")
    world.round(receiver)
    headers, body = receiver.got[0]
    key = secret if secret.startswith("whsec_") else f"whsec_{base64.b64encode(secret.encode()).decode()}"
    checker = Webhook(key)
    assert checker.verify(body, dict(headers))["subject"] == "a"
    with pytest.raises(WebhookVerificationError):
        checker.verify(body + b" ", dict(headers))


def test_a_test_event_moves_no_cursor(world: World) -> None:
    receiver = Receiver()
    world.round(receiver)
    before = world.notifier().cursor(receiver.target)
    assert world.notifier().test(receiver.target) is None
    assert json.loads(receiver.got[0][1])["type"] == "sealrun.test"
    assert world.notifier().cursor(receiver.target) == before
    receiver.problem = "answered 401"
    assert world.notifier().test(receiver.target) == "answered 401"


def test_of_alarms_only_those_that_are_bad_enough_are_told_and_of_the_rest_what_is_wanted(world: World) -> None:
    critical, all_of_them = Receiver("alarm.*", "run.published", severity="critical", name="c"), Receiver(name="a")
    world.round(critical, all_of_them)
    for kind, subject, severity in [
        ("alarm.raised", "disk", "warning"),
        ("alarm.raised", "main", "critical"),
        ("alarm.cleared", "disk", "warning"),
        ("alarm.cleared", "main", "critical"),
    ]:
        world.events.record(kind, subject, alarm="x", severity=severity, reason="why")
        world.events.seen[-1]["at"] = world.clock.now().timestamp()
    world.happen("train/r1")
    world.round(critical, all_of_them)
    assert critical.subjects == ["main", "main", "train/r1"]
    assert len(all_of_them.subjects) == 5


def test_chats_get_one_line_that_nothing_breaks_out_of(world: World) -> None:
    receiver = Receiver(slack=True)
    world.round(receiver)
    world.events.record(
        "alarm.raised", "a\nb", alarm="low-space", severity="warning", reason="<!channel> & more\x1b[2J"
    )
    world.events.seen[-1]["at"] = world.clock.now().timestamp()
    world.round(receiver)
    headers, body = receiver.got[0]
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body) == {
        "text": "ALARM (warning) low-space a b: &lt;!channel&gt; &amp; more [2J",
    }


class Digest:
    """`Channel` that takes several events at once."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.problem: str | None = None

    def tell(self, notices: Sequence[Notice]) -> str | None:
        if self.problem is None:
            self.told.append([notice.event.subject for notice in notices])
        return self.problem


def test_a_digest_waits_for_what_happens_within_its_time_and_tells_it_at_once_and_in_order(world: World) -> None:
    channel = Digest()
    target = NotifyTarget("mail", ("run.*",), channel, digest_s=60)

    def turn() -> None:
        world.notifier().round([target])

    turn()
    world.happen("a")
    world.happen("unwanted", kind="settings.reloaded")
    turn()
    world.clock.advance(30)
    world.happen("b")
    turn()
    assert channel.told == []
    world.clock.advance(31)
    channel.problem = "away"
    turn()
    channel.problem = None
    world.happen("c")
    turn()
    assert channel.told == []
    world.clock.advance(next_try(1))
    turn()
    turn()
    assert channel.told == [["a", "b", "c"]]
    world.happen("d")
    world.clock.advance(60)
    turn()
    assert channel.told[1:] == [["d"]]


def test_a_very_long_digest_is_told_in_parts(world: World) -> None:
    channel = Digest()
    target = NotifyTarget("mail", ("*",), channel, digest_s=60)
    world.notifier().round([target])
    world.happen(*map(str, range(450)))
    world.notifier().round([target])
    assert [len(part) for part in channel.told] == [200, 200]
    world.clock.advance(60)
    world.notifier().round([target])
    assert [name for part in channel.told for name in part] == [str(number) for number in range(450)]


def test_a_target_that_is_slow_lets_the_others_have_their_turn(world: World) -> None:
    receiver = Receiver()

    def slowly(headers: Mapping[str, str], body: bytes) -> str | None:
        world.clock.advance(15)
        return receiver.take(headers, body)

    slow = NotifyTarget("slow", ("*",), WebhookChannel(slowly, world.clock))
    world.notifier().round([slow])
    world.happen("a", "b", "c")
    world.notifier().round([slow])
    assert receiver.subjects == ["a", "b"]
    world.notifier().round([slow])
    assert receiver.subjects == ["a", "b", "c"]


def test_what_nobody_wants_is_not_looked_at_again(world: World) -> None:
    receiver = Receiver("run.*")
    world.round(receiver)
    world.happen(*map(str, range(300)), kind="settings.reloaded")
    world.round(receiver)
    cursor = world.notifier().cursor(receiver.target)
    assert cursor is not None
    assert cursor.number == 300
