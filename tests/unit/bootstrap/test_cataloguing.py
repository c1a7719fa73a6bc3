"""Building the catalogue through crashes: what was published and is not active yet becomes so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.products.cataloguing import Cataloguer
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.consuming import Mover


def parts(folder: Path, state: str) -> Parts:
    spec = RegistrySpec(name="main", url=str(folder / "registry"))
    return Parts(folder / state, {"main": spec}, ())


def publish(folder: Path, state: str) -> None:
    source = folder / "r"
    source.mkdir(exist_ok=True)
    (source / "STATUS_v0_1.json").write_text(json.dumps([]))
    with parts(folder, state) as own:
        own.producer.publish(str(source), "status")


def test_a_crash_before_the_pointer_moves_is_made_good_by_the_next_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "one")

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, parts(tmp_path, "one") as own:
        patched.setattr(Mover, "set", dies)
        with pytest.raises(KeyboardInterrupt):
            Cataloguer(own).build()
    with parts(tmp_path, "one") as own:
        assert own.consumer().pointers("catalog")[0].pointer == "catalog@latest"
        assert Cataloguer(own).build(dry_run=True).state == "would publish"
        built = Cataloguer(own).build()
        assert built.state == "published"
        assert [row.run_id for row in own.consumer().runs("catalog")] == [built.ref.partition("/")[2]]
        assert Cataloguer(own).build().state == "stands"


def test_another_machine_builds_the_same_run_of_the_same_state(tmp_path: Path) -> None:
    publish(tmp_path, "one")
    with parts(tmp_path, "one") as own:
        first = Cataloguer(own).read()
    with parts(tmp_path, "two") as other:
        assert Cataloguer(other).read() == first
        built = Cataloguer(other).build()
    with parts(tmp_path, "one") as own:
        again = Cataloguer(own).build()
        assert (again.state, again.ref) == ("stands", built.ref)
    assert not list((tmp_path / "two" / "catalog").iterdir())
