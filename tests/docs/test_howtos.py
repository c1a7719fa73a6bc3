"""The commands of the pages on disk space, mirrors, retention and collection, run as they are written."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import DOCS, fences, reader_environment, shell

_SETTINGS = """
version = 1
registry.main.url = "registry"

[[watch]]
name = "outbox"
path = "outbox"
settle = "0s"
reclaim = { after = "0s" }

[mirror.browse]
path = "browse"
"""
_PREPARE = """
mkdir -p outbox/run-1/model
echo '{"loss": 0.1}' > outbox/run-1/metrics.json
echo weights > outbox/run-1/model/weights.bin
touch outbox/run-1/_SUCCESS
sealrun scan --once
"""


def said_by(page: str, mark: str, tmp_path: Path) -> str:
    (script,) = [fence.text for fence in fences(DOCS / "how-to" / page) if fence.mark == f"run: {mark}"]
    here = tmp_path / "here"
    here.mkdir()
    (here / "sealrun.toml").write_text(_SETTINGS)
    return shell(f"{_PREPARE}{script}", here, reader_environment(tmp_path / "home"))


def test_the_page_on_disk_space_reclaims_a_published_run(tmp_path: Path) -> None:
    said = said_by("reclaim-disk-space.md", "reclaim", tmp_path)
    assert "would delete" in said
    assert "\ndeleted   " in said
    assert list((tmp_path / "here/outbox").iterdir()) == []


def test_the_page_on_mirrors_makes_a_folder_that_sha256sum_verifies(tmp_path: Path) -> None:
    said = said_by("mirror.md", "mirror", tmp_path)
    assert "would copy" in said
    assert "model/weights.bin: OK" in said
    (run,) = (tmp_path / "here/browse/outbox").iterdir()
    assert (run / "metrics.json").read_text() == '{"loss": 0.1}\n'


def test_the_page_on_pausing_pauses_shows_it_and_resumes(tmp_path: Path) -> None:
    said = said_by("pause-and-limit.md", "pause", tmp_path)
    assert "registry main is paused until " in said
    assert ": the link is needed (" in said
    assert said.rstrip().endswith("registry main goes on")


_THREE_RUNS = """
sealrun init . --experiment training > /dev/null
printf '[retention.default]\\nkeep_last = 1\\n' >> sealrun.toml
for number in 1 2 3; do
  mkdir -p run-$number/.sealrun
  echo $number > run-$number/model.bin
  echo "{\\"finished_at\\": \\"2026-01-1${number}T00:00:00Z\\"}" > run-$number/.sealrun/done.json
  sealrun publish run-$number --experiment training > /dev/null
done
retired=training/$(sealrun ls training --json | sed -n '1s/.*"run_id": "\\([^"]*\\)".*/\\1/p')
digest=$(sha256sum run-1/model.bin | cut -d' ' -f1)
"""


def scripts(page: str, mark: str) -> str:
    return "".join(fence.text for fence in fences(DOCS / "how-to" / page) if fence.mark == f"run: {mark}")


def test_the_page_on_retention_retires_undoes_and_pins(tmp_path: Path) -> None:
    said = shell(_THREE_RUNS + scripts("retention.md", "retention"), tmp_path, reader_environment(tmp_path / "home"))
    assert "2 runs, 4 B, would be retired" in said
    assert "2 runs, 4 B, retired" in said
    assert "is back; it was retired at" in said
    assert "figure 3 of the paper" in said
    assert len(shell("sealrun ls training --json", tmp_path, reader_environment(tmp_path / "home")).splitlines()) == 2


def test_the_page_on_collection_deletes_and_explains(tmp_path: Path) -> None:
    script = f"{_THREE_RUNS}sealrun retire --all > /dev/null\n{scripts('collect-garbage.md', 'gc')}"
    said = shell(script, tmp_path, reader_environment(tmp_path / "home"))
    assert "0 of 3 objects, 0 B of 6 B, would be deleted" in said
    assert "2 of 3 objects, 4 B of 6 B, would be deleted" in said
    assert "deleted 2 objects, 4 B" in said
    assert "last used by run training/" in said


def test_the_page_on_small_files_shows_the_pack(tmp_path: Path) -> None:
    many = "sealrun init . > /dev/null; mkdir many-files; for n in $(seq 99); do echo $n > many-files/$n; done\n"
    said = shell(many + scripts("small-files.md", "packs"), tmp_path, reader_environment(tmp_path / "home"))
    assert "     99 files in store/packs/sha256/" in said
    assert "Done testing" in said


def test_the_page_on_importing_imports_old_runs(tmp_path: Path) -> None:
    old = "sealrun init . > /dev/null; for n in 1 2 3; do mkdir -p old-runs/run-$n; echo $n > old-runs/run-$n/n; done\n"
    said = shell(old + scripts("import-old-runs.md", "import"), tmp_path, reader_environment(tmp_path / "home"))
    assert "3 of 3 folders imported" in said


_TO_COMPARE = """
sealrun init . --experiment training > /dev/null
made() {
  mkdir -p outbox/$1/.sealrun
  echo "lr: $3" > outbox/$1/config.yaml
  echo "<svg xmlns='http://www.w3.org/2000/svg'/>" > outbox/$1/loss.svg
  echo "{\\"status\\": \\"success\\", \\"params\\": {\\"lr\\": $3, \\"optimizer\\": \\"$2\\", \\"seed\\": 1},
    \\"metrics\\": {\\"loss\\": $4}, \\"finished_at\\": \\"$5\\"}" > outbox/$1/.sealrun/done.json
}
made 20260111T000000Z-sgd-0000a1 sgd 0.1 0.5 2026-01-11T00:00:00Z
made 20260112T000000Z-adam-0000a2 adam 0.2 0.25 2026-01-12T00:00:00Z
made 20260113T000000Z-adam-0000a3 adam 0.3 0.125 2026-01-13T00:00:00Z
sealrun scan --once > /dev/null
"""


def test_the_page_on_comparing_runs_prints_what_it_shows(tmp_path: Path) -> None:
    page = DOCS / "how-to" / "compare-runs.md"
    said = shell(_TO_COMPARE + scripts(page.name, "compare"), tmp_path, reader_environment(tmp_path / "home"))
    (shown,) = [fence.text for fence in fences(page) if fence.language == "text"]
    assert said.startswith(shown)
    assert "lr: 0.1 -> 0.3  (+0.2)" in said
    assert "-lr: 0.1\n+lr: 0.3" in said
    assert {path.name for path in (tmp_path / "gallery").iterdir()} == {
        "gallery.html",
        "gallery.json",
        "gallery.md",
        "adam.svg",
        "sgd.svg",
    }
