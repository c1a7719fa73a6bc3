"""Opening registries: made once, remembered, probed once a day, and never written to where they vanished."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.bootstrap import registries
from sealrun.bootstrap.registries import Opener, RegistrySpec, find_spec, open_reader
from sealrun.domain.errors import ConfigurationError, NoRegistryError, StorageError, UnsafeStoreError
from sealrun.ports import Store
from sealrun.services.storage.probing import ProbeReport

DAY_S = 24 * 3600.0


def a_spec(folder: Path, *, create: bool = True, single_writer: bool = False, read_only: bool = False) -> RegistrySpec:
    return RegistrySpec(name="main", url=str(folder), create=create, single_writer=single_writer, read_only=read_only)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class Office:
    """An opener with its own memory, whose probes are counted and answer what the test wants."""

    def __init__(self, journal: SqliteJournal, clock: FakeClock) -> None:
        self.clock = clock
        self.opener = Opener(journal, clock, FakeEntropy())
        self.probes = 0
        self.answer = ProbeReport()

    def probe(self, _store: Store, **_: object) -> ProbeReport:
        self.probes += 1
        return self.answer

    def open(self, spec: RegistrySpec) -> str:
        opened = self.opener.for_publishing(spec)
        opened.close()
        return opened.registry_id


@pytest.fixture
def office(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    clock = FakeClock()
    with closing(open_journal(tmp_path_factory.mktemp("state"), clock, FakeEntropy())) as journal:
        made = Office(journal, clock)
        monkeypatch.setattr(registries, "probe", made.probe)
        yield made


def test_the_first_publisher_makes_a_registry_and_the_next_finds_it(tmp_path: Path, office: Office) -> None:
    spec = a_spec(tmp_path / "registry")
    assert office.open(spec) == office.open(spec)
    assert (tmp_path / "registry" / "registry.json").is_file()


@pytest.mark.parametrize(
    "ask", [lambda office, spec: office.open(spec), lambda office, spec: office.opener.examine(spec)]
)
def test_an_unmounted_disk_is_never_filled_not_even_with_a_probe(
    tmp_path: Path, office: Office, ask: Callable[[Office, RegistrySpec], object]
) -> None:
    folder = tmp_path / "registry"
    spec = a_spec(folder)
    office.open(spec)
    shutil.rmtree(folder)
    folder.mkdir()
    probes = office.probes
    with pytest.raises(NoRegistryError, match="there was one before"):
        ask(office, spec)
    assert office.probes == probes
    assert tree(folder) == []


def test_a_folder_that_vanished_altogether_is_not_made_again(tmp_path: Path, office: Office) -> None:
    folder = tmp_path / "registry"
    office.open(a_spec(folder))
    shutil.rmtree(folder)
    with pytest.raises(StorageError):
        office.open(a_spec(folder))
    assert not folder.exists()


def test_another_registry_in_its_place_is_refused_until_the_old_one_is_forgotten(
    tmp_path: Path, office: Office
) -> None:
    folder = tmp_path / "registry"
    spec = a_spec(folder)
    old = office.open(spec)
    shutil.rmtree(folder)
    with closing(open_journal(tmp_path / "another state", office.clock, FakeEntropy(6))) as journal:
        new = Opener(journal, office.clock, FakeEntropy(7)).make(spec)
    probes = office.probes
    with pytest.raises(NoRegistryError, match=old):
        office.open(spec)
    assert office.probes == probes
    office.opener.forget(spec)
    assert office.open(spec) == new != old


def test_a_registry_that_was_made_and_is_gone_is_not_made_again(tmp_path: Path, office: Office) -> None:
    folder = tmp_path / "registry"
    made = office.opener.make(a_spec(folder))
    assert office.opener.make(a_spec(folder)) == made
    shutil.rmtree(folder)
    for again in (office.opener.make, office.open):
        with pytest.raises(NoRegistryError, match="there was one before"):
            again(a_spec(folder))


def test_a_registry_that_must_be_there_is_not_made(tmp_path: Path, office: Office) -> None:
    with pytest.raises(NoRegistryError):
        office.open(a_spec(tmp_path, create=False))
    assert (office.probes, tree(tmp_path)) == (0, [])


def test_a_good_probe_is_remembered_for_a_day(tmp_path: Path, office: Office) -> None:
    spec = a_spec(tmp_path)
    office.open(spec)
    office.clock.advance(DAY_S - 1)
    office.open(spec)
    assert office.probes == 1
    office.clock.advance(1)
    office.open(spec)
    assert office.probes == 2


def test_a_single_writer_may_live_with_races_and_nobody_with_faults(tmp_path: Path, office: Office) -> None:
    office.answer = ProbeReport(races=("conditions are ignored",))
    with pytest.raises(UnsafeStoreError, match="conditions are ignored"):
        office.open(a_spec(tmp_path))
    assert not (tmp_path / "registry.json").exists()
    assert office.open(a_spec(tmp_path, single_writer=True))
    office.answer = ProbeReport(faults=("bytes are lost",))
    with pytest.raises(UnsafeStoreError, match="bytes are lost"):
        office.open(a_spec(tmp_path, single_writer=True))


def test_a_probe_that_found_races_is_not_remembered(tmp_path: Path, office: Office) -> None:
    office.answer = ProbeReport(races=("conditions are ignored",))
    office.open(a_spec(tmp_path, single_writer=True))
    with pytest.raises(UnsafeStoreError):
        office.open(a_spec(tmp_path))


def test_a_read_only_registry_is_read_without_a_trace_and_never_opened_for_publishing(
    tmp_path: Path, office: Office
) -> None:
    office.open(a_spec(tmp_path))
    before = tree(tmp_path)
    spec = a_spec(tmp_path, read_only=True)
    reader = open_reader(spec, office.clock, FakeEntropy())
    assert list(reader.experiments()) == []
    reader.store.close()
    with pytest.raises(ConfigurationError, match="read-only"):
        office.open(spec)
    assert tree(tmp_path) == before


def test_reading_where_there_is_no_registry_makes_none(tmp_path: Path) -> None:
    with pytest.raises(NoRegistryError):
        open_reader(a_spec(tmp_path), FakeClock(), FakeEntropy())
    assert tree(tmp_path) == []


def test_a_registry_is_found_by_name_or_url_and_else_by_neither(tmp_path: Path) -> None:
    spec = a_spec(tmp_path)
    specs = {"main": spec}
    assert find_spec(specs, None) is find_spec(specs, "main") is find_spec(specs, str(tmp_path)) is spec
    assert find_spec(specs, "s3://elsewhere/x").url == "s3://elsewhere/x"
    with pytest.raises(NoRegistryError, match="they name: main"):
        find_spec(specs, "mian")
    with pytest.raises(NoRegistryError, match="no registry is configured"):
        find_spec({}, None)


def test_a_description_shows_no_secret() -> None:
    spec = RegistrySpec(name="main", url="s3://me:hunter2@b/p?token=hunter2", storage_options={"secret": "hunter2"})
    assert "hunter2" not in f"{spec!r} {spec} {[spec]} {spec.shown_url}"
    assert spec.shown_url == "s3://b/p"


def test_a_url_that_holds_a_secret_is_remembered_without_it_and_told_from_another() -> None:
    plain, one, other = (
        RegistrySpec(name="a", url=url)
        for url in ("s3://bucket/prod", "ftp://u:hidden1@host/p?sig=hidden1", "ftp://u:hidden2@host/p?sig=hidden1")
    )
    assert registries._url_fact(plain) == "registry:a:s3://bucket/prod"
    for fact in (registries._url_fact, registries._probe_fact):
        assert "hidden" not in fact(one)
        assert fact(one) != fact(other)
