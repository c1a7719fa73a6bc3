"""The magics, in a real IPython shell, as a notebook without functions uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from tests.builders.places import a_place


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    a_place(tmp_path, monkeypatch)
    shell: Any = InteractiveShell.instance()
    shell.history_manager.enabled = False

    def run(source: str) -> Any:  # noqa: ANN401 - whatever the last line is
        done = shell.run_cell(source)
        done.raise_error()
        return done.result

    run("%load_ext sealrun")
    yield run
    run("%unload_ext sealrun")
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def test_a_notebook_without_functions_publishes_and_finds(cell: Any) -> None:  # noqa: ANN401 - the fixture's
    cell("from pathlib import Path; Path('my reports').mkdir()")
    cell("profile_path = Path('my reports') / 'profile.csv'; _ = profile_path.write_text('a\\n1\\n')")
    cell("PUBLISH_SECTION = '2.3'")
    done = cell('%publish "{profile_path}" --section {PUBLISH_SECTION} --tag profile --tag numeric')
    assert (done.name, done.section, done.tags) == ("profile.csv", "2.3", ("numeric", "profile"))
    assert cell("path = %resolve profile.csv --section 2.3\npath.read_text()") == "a\n1\n"
    assert cell("%resolve profile.csv --section 2.4") is None
    table = cell("%latest_manifest")
    assert list(table["section"]) == ["2.3"]
    assert cell("%latest_manifest --frame none")[0]["name"] == "profile.csv"
    assert type(cell("%latest_manifest --frame polars")).__module__.startswith("polars")


def test_a_magic_has_the_options_of_the_function(cell: Any) -> None:  # noqa: ANN401 - as above
    cell("from pathlib import Path; _ = Path('a').write_text('1'), Path('b').write_text('2')")
    assert cell("%publish a --name x --also-copy-to copies").copies[0].read_text() == "1"
    with pytest.raises(Exception, match="not to be overwritten"):
        cell("%publish b --name x --no-overwrite")
    cell("_ = Path('deep/er').mkdir(parents=True), Path('deep/er/y').write_text('3')")
    assert cell("%resolve y --search-dir deep") is None
    assert cell("found = %resolve y --search-dir deep --recursive\nfound.read_text()") == "3"
    assert cell("%resolve x --no-latest") is None
    with pytest.raises(Exception, match="artifact not found"):
        cell("%resolve z --search-dir deep --required")


def test_variables_stand_for_their_values(cell: Any) -> None:  # noqa: ANN401 - as above
    cell("from pathlib import Path; Path('my reports').mkdir(); reports = {'2.3': Path('my reports'), '2.4': None}")
    cell("path = reports['2.3'] / 'it\\'s a profile.csv'; _ = path.write_text('a\\n')")
    cell("name, section, tags, overwrite, nothing = 'p.csv', '2.3', ['profile', 'numeric'], False, None")
    done = cell("%publish {path} --name $name --section {section} --tag {tags} --tag {nothing} --overwrite={overwrite}")
    assert (done.name, done.section, done.tags) == ("p.csv", "2.3", ("numeric", "profile"))
    again = cell("%publish {path} --section {nothing} --name {nothing} --also-copy-to {[path.parent / 'copies']}")
    assert (again.name, again.section, again.copies[0].parent.name) == ("it's a profile.csv", None, "copies")
    cell('wanted, recursive, required = "it\'s a profile.csv", True, False')
    cell("found = %resolve {wanted} --no-latest --search-dir {reports} --section 2.3")
    assert cell("found == path.resolve()")
    cell("dirs = [None, '.']")
    cell("found = %resolve {wanted} --latest={False} --search-dir {dirs} --recursive {recursive} --required={required}")
    assert cell("found.name") == "it's a profile.csv"
    cell("found = %resolve {wanted} --no-latest --search-dir {reports.values()} --search-dir .")
    assert cell("found.parent.name") == "my reports"
    cell("found = [name for name in ('p.csv', 'q.csv') if get_ipython().run_line_magic('resolve', '{name}')]")
    assert cell("found") == ["p.csv"]
    cell("for each in ['p.csv']:\n    found = %resolve {each}")
    assert cell("found.read_text()") == "a\n"
    cell("_ = Path('{x}$').write_text('signs')")
    assert cell("%publish {{x}}$$").name == "{x}$"


def test_a_variable_that_is_not_there_is_an_error_and_never_a_name(cell: Any) -> None:  # noqa: ANN401 - as above
    for line in ("%resolve {RESOLVE_NAME}", "%resolve $RESOLVE_NAME", "%resolve x --search-dir {RESOLVE_NAME}"):
        with pytest.raises(Exception, match="'RESOLVE_NAME' is not defined; run the cell that sets it first"):
            cell(line)
    cell("RESOLVE_NAME = None")
    with pytest.raises(Exception, match=r"%resolve: name is None: \{RESOLVE_NAME\}"):
        cell("%resolve {RESOLVE_NAME}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%publish", "required: path"),
        ("%publish a --nme b", "unrecognized arguments"),
        ("%publish a --section {[1, 2]}", r"one is needed here, and \{\[1, 2\]\} is several"),
        ("%publish a --overwrite={'no'}", r"--overwrite is on or off: \{'no'\}"),
        ("%publish a --tag {1 +}", "no expression of Python"),
        ("%resolve a --search-dir {dict(x='.')} --search-dir .", "is a mapping, which has to be the only one"),
        ("%resolve 'a", "No closing quotation"),
        ("%latest_manifest --frame arrow", "invalid choice"),
    ],
)
def test_a_line_that_cannot_be_right_is_an_error_and_no_exit(cell: Any, line: str, says: str) -> None:  # noqa: ANN401
    with pytest.raises(Exception, match=says):
        cell(line)
