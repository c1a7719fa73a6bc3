"""Which damage of a registry is known: an alarm stands until a later verification or a repair finds it gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from sealrun.domain.oversight.alarming import KINDS, several
from sealrun.domain.upkeep.damage import Damage
from sealrun.ports import Clock, Journal
from sealrun.services.oversight.alarming import clear_alarm, raise_alarm

_MOST = 1000
"""So many damaged references are remembered; the next verification names the rest."""


def known_damage(journal: Journal, registry: str) -> Mapping[str, str]:
    """What is damaged in a registry as far as is known: references of runs, and what was found last."""
    fact = journal.facts.fact(_fact(registry))
    return {str(ref): str(what) for ref, what in fact.items()} if isinstance(fact, dict) else {}


def damage_texts(found: Iterable[Damage]) -> dict[str, str]:
    """Say of each damaged reference what is wrong with it. A missing signature is no damage."""
    texts: dict[str, str] = {}
    for each in found:
        if each.kind != "signature":
            texts.setdefault(each.ref, f"{each.path}: {each.detail}" if each.path else each.detail)
    return texts


def note_damage(
    journal: Journal,
    clock: Clock,
    registry: str,
    found: Mapping[str, str],
    looked_at: Callable[[str], bool] = lambda _ref: False,
) -> None:
    """Remember what was found, and forget what was `looked_at` and not found; the alarm follows. Durable on return."""
    before = known_damage(journal, registry)
    now = {ref: what for ref, what in before.items() if not looked_at(ref)}
    now = dict(islice((now | dict(found)).items(), _MOST))
    if now != before:
        journal.facts.set_fact(_fact(registry), now)
    if now:
        named = [f"{ref} ({what})" for ref, what in sorted(now.items())]
        reason = several("damaged", named, len(named))
        raise_alarm(journal, clock, "damage", registry, KINDS["damage"].severity, reason)
    else:
        clear_alarm(journal, clock, "damage", registry)


def _fact(registry: str) -> str:
    return f"damaged:{registry}"
