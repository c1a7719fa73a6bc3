"""verify in parts, and repair, as commands: what they print, where they look, and their exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.unit.cli.test_verbs import Place, place

__all__ = ["place"]

BODY = b"bytes that will be damaged"


def damage(place: Place, body: bytes | None, registry: str = "registry") -> Path:
    """Change the one object that holds `BODY`, or take it away."""
    victim = next(
        path
        for path in (place.folder / registry / "store" / "objects").rglob("*")
        if path.is_file() and path.read_bytes() == BODY
    )
    victim.unlink()
    if body is not None:
        victim.write_bytes(body)
    return victim


def a_run(place: Place, name: str = "run") -> str:
    ref: str = place.publish(place.drop(name, a=BODY, b=name.encode()))["ref"]
    return ref


def test_the_original_folder_is_a_replica(place: Place) -> None:
    ref = a_run(place)
    damage(place, b"?")
    assert place("verify", "--all").code == 20
    shown = place("repair", "--dry-run")
    assert shown.code == 20
    assert b"a (26 B): from the original folders" in shown.out
    assert place("verify", "--all").code == 20, "a dry run repairs nothing"
    done = place("repair")
    assert (done.code, done.err) == (0, "")
    assert f"{ref}: repaired by attempt".encode() in done.out
    assert place("verify", "--all").code == 0
    assert place("cat", f"{ref}:a").out == BODY
    folder = place.folder / "registry" / "experiments" / "e" / "runs" / ref.split("/")[1]
    assert (folder / "artifacts" / "a").read_bytes() == BODY


def test_the_file_that_was_dropped_is_a_replica(place: Place) -> None:
    (place.folder / "one.bin").write_bytes(BODY)
    place.publish("one.bin")
    damage(place, None)
    assert place("repair").code == 0
    assert place("cat", "one.bin").out == BODY
    assert (place.folder / "registry" / "latest" / "one.bin").read_bytes() == BODY


def test_an_original_that_changed_is_no_replica(place: Place) -> None:
    ref = a_run(place)
    damage(place, b"?")
    (place.folder / "run" / "a").write_bytes(BODY[::-1])
    answer = place("repair")
    assert answer.code == 20
    assert f"{ref}:a: still damaged".encode() in answer.out
    assert "looked for good bytes in: the original folders" in answer.err
    assert place("repair", "--json").json()["remaining"][0]["path"] == "a"


def test_another_registry_is_a_replica_by_its_path(place: Place) -> None:
    ref = a_run(place)
    shutil.copytree(place.folder / "registry", place.folder / "backup")
    shutil.rmtree(place.folder / "run")
    damage(place, None)
    assert place("repair").code == 20
    assert b"from backup" in place("repair", "-n", "--from", "backup").out
    report = place("repair", ref, "--from", "backup", "--json")
    assert report.code == 0
    (run,) = report.json()["repaired"]
    assert (run["ref"], run["uploaded_objects"], run["pointers"]) == (ref, 1, ["e@latest"])
    assert place("verify", "--all").code == 0


def test_a_plain_folder_of_runs_is_a_replica(place: Place) -> None:
    ref = a_run(place)
    shutil.copytree(place.folder / "run", place.folder / "mirror" / ref)
    shutil.rmtree(place.folder / "run")
    damage(place, b"!")
    assert place("repair", "--from", "mirror").code == 0
    assert place("cat", f"{ref}:a").out == BODY


def test_other_registries_in_the_settings_are_replicas(place: Place) -> None:
    settings = place.folder / "sealrun.toml"
    settings.write_text(
        settings.read_text() + '\n[registry.second]\nurl = "second"\n\n[registry.never]\nurl = "never"\n'
    )
    place.publish(place.drop("run", a=BODY), "--registry", "main", "--registry", "second")
    shutil.rmtree(place.folder / "run")
    damage(place, b"?")
    answer = place("repair", "--json")
    assert answer.code == 0, answer.err
    assert not (place.folder / "never").exists()
    damage(place, b"?", "second")
    assert place("repair", "--registry", "second").code == 0
    assert place("verify", "--all", "--registry", "second").code == 0


def test_a_run_that_shares_the_damage_is_repaired_by_the_same_upload(place: Place) -> None:
    refs = [a_run(place, "one"), a_run(place, "two")]
    shutil.rmtree(place.folder / "two")
    damage(place, b"?")
    said = place("repair", "--json").json()
    assert sorted(run["ref"] for run in said["repaired"]) == sorted(refs)
    assert sum(run["uploaded_objects"] for run in said["repaired"]) == 1
    assert place("status", "--json").json()["events"][0]["kind"] == "run.repaired"


def test_repairing_what_is_whole_does_nothing(place: Place) -> None:
    ref = a_run(place)
    before = place.objects()
    assert place("repair").out.endswith(b": no damage, nothing to repair\n")
    assert place("repair", ref, "--dry-run").code == 0
    assert place.objects() == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["repair", "e/nothing"], 1),
        (["repair", "--from", "nowhere"], 10),
        (["repair", "--from", "registry"], 2),
        (["verify", "--all", "--subset", "many"], 2),
        (["verify", "--all", "--subset", "0%"], 2),
        (["verify", "--all", "--budget", "soon"], 2),
        (["verify", "--all", "--subset", "5%", "--no-bytes"], 2),
        (["verify", "e@latest", "--subset", "5%"], 2),
        (["verify", "--experiment", "e", "--budget", "1m"], 2),
    ],
)
def test_what_cannot_be_meant_is_refused(place: Place, arguments: list[str], code: int) -> None:
    a_run(place)
    assert place(*arguments).code == code


def test_parts_go_on_where_the_last_one_ended_until_all_was_read(place: Place) -> None:
    place.drop("many", **{f"f{number}": f"content {number}".encode() for number in range(20)})
    place.publish("many")
    rounds = [place("verify", "--all", "--subset", "25%", "--json").json() for _ in range(4)]
    assert sum(said["objects"] for said in rounds) == 20
    assert [said["window"]["start"] for said in rounds] == [0.0, 0.25, 0.5, 0.75]
    assert rounds[-1]["next"] == 0.0
    damaged = next((place.folder / "registry" / "store").rglob("*.2*"))
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[::-1])
    codes = [place("verify", "--all", "--subset", "25%").code for _ in range(4)]
    assert sorted(codes) == [0, 0, 0, 20]


def test_a_budget_cuts_a_round_short_and_the_next_goes_on(place: Place) -> None:
    place.drop("many", **{f"f{number}": f"content {number}".encode() for number in range(40)})
    place.publish("many")
    said = json.loads(place("verify", "--all", "--budget", "0s", "--json").out)
    assert not said["complete"]
    assert 0 < said["next"] < 1
    assert place("verify", "--all", "--budget", "10m", "--json").json()["window"]["start"] == said["next"]


def test_a_random_part_of_an_experiment_is_read_and_the_rest_looked_at(place: Place) -> None:
    place.drop("many", **{f"f{number}": f"content {number}".encode() for number in range(40)})
    place.publish("many")
    said = place("verify", "--experiment", "e", "--subset", "20%", "--json").json()
    assert said["objects"] == 40
    assert 0 < said["bytes_read"] < sum(len(f"content {number}") for number in range(40))
