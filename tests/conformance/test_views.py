"""What is made of many runs, on a directory and on a server: TensorBoard's own reader opens it, pages show it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tests.builders.libraries import Library
from tests.conformance.libraries import KINDS, a_library

from sealrun.bootstrap.products.linking import Linker
from sealrun.bootstrap.products.viewing import Choice, Viewer, Wanted, is_event_file
from sealrun.domain.curation.tabulating import parse_condition
from sealrun.domain.errors import NotFoundError, UsageError

PICTURE = b"\x89PNG, as far as a gallery cares: "


@pytest.fixture(params=KINDS)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Library:
    return a_library(request.param, tmp_path)


def a_run(library: Library, second: int, losses: list[float], sampler: str = "hmc", **pictures: bytes) -> str:
    """Publish a run as a training script leaves it: event files, metrics, pictures."""
    folder = library.room / f"made-{second}"
    (folder / "plots").mkdir(parents=True)
    if losses:
        writer = EventFileWriter(str(folder / "tb" / "train"))
        for step, loss in enumerate(losses):
            summary = Summary(value=[Summary.Value(tag="loss", simple_value=loss)])
            writer.add_event(Event(step=step, wall_time=1e9 + step, summary=summary))
        writer.close()
    finished = f"2026-01-17T14:30:{second:02}Z"
    metrics = {"loss": losses[-1]} if losses else {}
    said = {"finished_at": finished, "pipeline_id": sampler, "metrics": metrics, "params": {"depth": second}}
    (folder / "run.json").write_text(json.dumps(said))
    for name, body in pictures.items():
        (folder / "plots" / f"{name}.png").write_bytes(PICTURE + body)
    return library.publish(folder)


def scalars(path: Path) -> dict[str, list[float]]:
    """What TensorBoard shows of a directory: each of its runs with the losses."""
    shown = EventMultiplexer().AddRunsFromDirectory(str(path)).Reload()
    return {
        run: [event.tensor_proto.float_val[0] for event in shown.Tensors(run, "loss")] for run in sorted(shown.Runs())
    }


def test_tensorboard_reads_every_run_of_an_experiment_and_follows_what_is_published_and_retired(
    library: Library,
) -> None:
    first, second = a_run(library, 1, [3.0, 2.0]), a_run(library, 2, [5.0])
    a_run(library, 3, [])
    with library.at_hand(Viewer) as viewer:
        found = viewer.tensorboard(Choice("train"))
    ids = [ref.partition("/")[2] for ref in (first, second)]
    assert scalars(found.path) == {f"{ids[0]}/tb/train": [3.0, 2.0], f"{ids[1]}/tb/train": [5.0]}
    assert (list(found.runs), list(found.added), len(found.without)) == (ids, ids, 1)

    library.forget(first)
    third = a_run(library, 4, [7.0]).partition("/")[2]
    with library.at_hand(Viewer) as viewer:
        again = viewer.tensorboard(Choice("train"))
    assert (again.path, again.added, again.removed) == (found.path, (third,), (ids[0],))
    assert scalars(again.path) == {f"{ids[1]}/tb/train": [5.0], f"{third}/tb/train": [7.0]}


def test_only_the_runs_that_are_meant_are_shown(library: Library) -> None:
    refs = [a_run(library, second, [float(second)]) for second in range(1, 5)]
    ids = [ref.partition("/")[2] for ref in refs]
    with library.at_hand(Viewer) as viewer:
        assert viewer.tensorboard(Choice("train", limit=2)).runs == tuple(ids[2:])
        chosen = viewer.tensorboard(Choice("train", [parse_condition("params.depth<3")]))
        assert (chosen.runs, chosen.removed) == (tuple(ids[:2]), tuple(ids[2:]))
        with pytest.raises(NotFoundError, match="no experiment 'other'"):
            viewer.tensorboard(Choice("other"))


def test_a_folder_of_somebody_elses_is_not_touched(library: Library) -> None:
    a_run(library, 1, [1.0], trace=b"1")
    mine = library.room / "mine"
    mine.mkdir()
    (mine / "hmc.png").write_bytes(b"mine")
    with library.at_hand(Viewer) as viewer:
        with pytest.raises(UsageError, match="was not made by sealrun"):
            viewer.tensorboard(Choice("train"), mine)
        page = viewer.plan_gallery([Choice("train")], Wanted(pictures=("trace.png",)))
        with pytest.raises(UsageError, match=r"hmc\.png: is there already"):
            viewer.write_gallery(page, mine, markdown=True, as_page=True)
    assert [path.name for path in mine.iterdir()] == ["hmc.png"]
    assert (mine / "hmc.png").read_bytes() == b"mine"


def test_a_gallery_shows_of_each_group_the_newest_run_that_has_the_picture(library: Library) -> None:
    a_run(library, 1, [0.5], "hmc", trace=b"old")
    newest = a_run(library, 2, [0.25], "hmc", trace=b"new")
    a_run(library, 3, [0.1], "hmc")
    other = a_run(library, 4, [0.75], "vi/<b>", trace=b"vi")
    a_run(library, 5, [0.9], "sgld", other=b"x")
    into = library.room / "gallery"
    with library.at_hand(Viewer) as viewer:
        page = viewer.plan_gallery([Choice("train")], Wanted(pictures=("trace.png",), metrics=("loss",)))
        assert not into.exists()
        assert viewer.write_gallery(page, into, markdown=True, as_page=True) == []
    assert [(shown.file, shown.ref, shown.metrics) for shown in page.pictures] == [
        ("hmc.png", newest, {"loss": 0.25}),
        ("vi-b.png", other, {"loss": 0.75}),
    ]
    assert page.without == ("sgld",)
    assert (into / "hmc.png").read_bytes() == PICTURE + b"new"
    assert (into / "vi-b.png").read_bytes() == PICTURE + b"vi"
    text = (into / "gallery.html").read_text()
    assert "vi/&lt;b&gt;" in text
    assert "<b>" not in text
    assert "0.25" in text
    assert "| ![hmc](hmc.png) |" in (into / "gallery.md").read_text()


def test_a_gallery_is_brought_up_to_date_and_forgets_what_it_shows_no_longer(library: Library) -> None:
    into = library.room / "gallery"
    gone = a_run(library, 1, [], "vi", trace=b"vi")
    a_run(library, 2, [], "hmc", trace=b"one", rank=b"two")
    wanted = Wanted(pictures=("trace.png",))
    with library.at_hand(Viewer) as viewer:
        page = viewer.plan_gallery([Choice("train")], wanted)
        viewer.write_gallery(page, into, markdown=True, as_page=False)
        viewer.write_gallery(page, into, markdown=True, as_page=False)
    assert {path.name for path in into.iterdir()} == {"vi.png", "hmc.png", "gallery.md", "gallery.json"}
    library.forget(gone)
    with library.at_hand(Viewer) as viewer:
        page = viewer.plan_gallery([Choice("train")], Wanted(pictures=("trace.png", "plots/r*.png")))
        assert viewer.write_gallery(page, into, markdown=False, as_page=True) == ["gallery.md", "hmc.png", "vi.png"]
    assert {path.name for path in into.iterdir()} == {"hmc-trace.png", "hmc-r.png", "gallery.html", "gallery.json"}


def test_links_lead_to_files_and_to_what_runs_were_made_from(library: Library) -> None:
    target = library.publish({"weights": "w"}, "targets")
    inputs = [{"type": "target", "ref": target}, {"ref": "targets/gone"}, {"type": "table", "ref": "s3://b/t"}]
    done = {"status": "success", "inputs": inputs}
    refs = [
        library.publish(
            {"a": str(at), ".sealrun/done.json": json.dumps({**done, "finished_at": f"2026-01-0{at}T00:00:00Z"})}
        )
        for at in (1, 2)
    ]
    ids = [ref.partition("/")[2] for ref in refs]
    into = library.room / "browse"
    with library.at_hand(Linker) as linker:
        found = linker.links(Choice("train"), into)
        assert (found.runs, found.gone) == (tuple(ids), ("targets/gone",))
        assert linker.links(Choice("train"), into).added == ()
    for number, name in enumerate(ids, 1):
        run = into / "runs" / name
        assert (run / "artifacts/a").read_text() == str(number)
        assert (run / "inputs/target/weights").read_text() == "w"
        assert [path.name for path in (run / "inputs").iterdir()] == ["target"]
    (shown,) = [path for path in (into / "targets").iterdir() if not path.name.startswith(".")]
    assert shown.name == target.replace("/", "__")
    (broken,) = (into / "runs" / ids[0] / "inputs").iterdir()
    broken.unlink()
    broken.symlink_to(library.room / "cleaned away")
    with library.at_hand(Linker) as linker:
        again = linker.links(Choice("train", limit=1), into)
        assert (again.removed, again.added) == ((ids[0],), ())
        assert linker.links(Choice("train"), into).added == (ids[0],)
    assert (into / "runs" / ids[0] / "inputs/target/weights").read_text() == "w"


def test_event_files_are_known_as_tensorboard_knows_them() -> None:
    assert is_event_file("tb/events.out.tfevents.1.host.1.0")
    assert is_event_file("tb/plugins/profile/x.trace.json.gz")
    assert not is_event_file("tb/metrics.csv")
    assert not is_event_file("plugins")
