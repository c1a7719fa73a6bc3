from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sealrun.adapters.machine import systemd
from sealrun.bootstrap import service
from sealrun.bootstrap.service import (
    Layout,
    Plan,
    UnitExistsError,
    install,
    plan_install,
    show,
    uninstall,
)
from sealrun.domain.errors import ConfigurationError, UsageError
from sealrun.domain.oversight.units import Places

DEPLOY = Path(__file__).parents[3] / "deploy" / "systemd"
UNITS = Path(systemd.__file__).parent / "units"
COMMAND = ("/opt/sealrun/bin/sealrun",)

SETTINGS = """\
version = 1
[registry.main]
url = "/srv/registry"
[registry.old]
url = "file:///srv/old"
read_only = true
[registry.cloud]
url = "s3://runs/prod"
storage_options = { key = { credential = "s3-key" }, secret = { env = "ONLY_THE_SERVICE_HAS_IT" } }
[mirror.people]
path = "/srv/people"
[[watch]]
path = "/data/outputs"
registries = ["main"]
[[watch]]
path = "/home/ann/runs"
registries = ["main"]
reclaim = { after = "1d" }
"""


class Manager:
    """A machine with systemd, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(user=False, root=str(folder / "root"))
        self.config = folder / "sealrun.toml"
        self.config.write_text(SETTINGS)
        self.ran: list[tuple[str, ...]] = []
        self.made: list[str] = []

    def plan(self) -> Plan:
        return plan_install(self.layout, self.config, {}, COMMAND)

    def installed(self) -> dict[str, str]:
        root = Path(self.layout.root)
        return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    manager = Manager(tmp_path)

    def run(command: tuple[str, ...]) -> str:
        manager.ran.append(tuple(command))
        return ""

    def make(path: str, user: str) -> bool:
        assert user == "sealrun"
        manager.made.append(path)
        return True

    monkeypatch.setattr(service, "run", run)
    monkeypatch.setattr(service, "make_folder_for", make)
    monkeypatch.setattr(service, "require_systemd", lambda: None)
    return manager


@pytest.mark.parametrize("name", ["sealrun.service", "sealrun-user.service", "sysusers.conf", "tmpfiles.conf"])
def test_what_is_packaged_is_what_the_repository_shows(name: str) -> None:
    assert (DEPLOY / name).read_text() == (UNITS / name).read_text() == systemd.packaged_unit(name)


def test_a_plan_changes_nothing(manager: Manager) -> None:
    plan = manager.plan()
    assert {each.condition for each in plan.files} == {"absent"}
    assert manager.installed() == {}
    assert manager.ran == []


def test_a_plan_needs_no_secret_that_only_the_service_has_and_says_how_it_gets_it(manager: Manager) -> None:
    notes = "\n".join(manager.plan().notes)
    assert "LoadCredential=s3-key:" in notes
    assert "ONLY_THE_SERVICE_HAS_IT" in notes
    assert 'state = "/var/lib/sealrun"' in notes


def test_an_installation_writes_the_unit_for_this_program_and_these_settings(manager: Manager) -> None:
    install(manager.plan(), force=False)
    files = manager.installed()
    assert (
        list(files)
        == [
            "etc/systemd/system/sealrun.service",
            "etc/systemd/system/sealrun.service.d/10-paths.conf",
            "etc/sysusers.d/sealrun.conf",
            "etc/tmpfiles.d/sealrun.conf",
        ]
        or len(files) == 4
    )
    unit = files["etc/systemd/system/sealrun.service"]
    assert f"\nExecStart=/opt/sealrun/bin/sealrun daemon --config {manager.config}\n" in unit
    paths = files["etc/systemd/system/sealrun.service.d/10-paths.conf"].splitlines()
    assert {"ReadWritePaths=-/srv/registry", "ReadWritePaths=-/srv/people", "BindPaths=-/home/ann/runs"} <= set(paths)
    assert "ProtectHome=tmpfs" in paths
    assert not any("/srv/old" in line or "/data/outputs" in line for line in paths)
    assert "z /etc/sealrun" not in files["etc/tmpfiles.d/sealrun.conf"]  # these settings lie elsewhere
    assert any(str(manager.config) in note for note in manager.plan().notes)
    assert [command[0] for command in manager.ran] == ["systemd-sysusers", "systemd-tmpfiles", "systemctl"]
    assert "/srv/registry" in manager.made


def test_a_second_installation_writes_nothing(manager: Manager) -> None:
    install(manager.plan(), force=False)
    assert not any(line.startswith("wrote") for line in install(manager.plan(), force=False))


def test_a_newer_version_replaces_what_the_older_one_wrote(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    install(manager.plan(), force=False)
    packaged: Callable[[str], str] = systemd.packaged_unit
    monkeypatch.setattr(service, "packaged_unit", lambda name: packaged(name) + "# newer\n")
    install(manager.plan(), force=False)
    assert manager.installed()["etc/systemd/system/sealrun.service"].endswith("# newer\n")


@pytest.mark.parametrize("theirs", ["[Service]\nExecStart=/bin/true\n", None])
def test_what_somebody_else_wrote_or_edited_is_not_overwritten_unless_asked(
    manager: Manager, theirs: str | None
) -> None:
    unit = Path(manager.layout.units) / "sealrun.service"
    if theirs is None:
        install(manager.plan(), force=False)
        theirs = unit.read_text() + "Nice=5\n"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(theirs)
    before, manager.ran = manager.installed(), []
    with pytest.raises(UnitExistsError, match="--force"):
        install(manager.plan(), force=False)
    assert manager.installed() == before
    assert manager.ran == []
    install(manager.plan(), force=True)
    assert unit.read_text() != theirs


def test_a_drop_in_that_is_not_needed_any_more_goes(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    install(manager.plan(), force=False)
    drop_in = "etc/systemd/system/sealrun.service.d/10-paths.conf"
    assert drop_in in manager.installed()
    monkeypatch.setattr(service, "places_of", lambda *_: Places())
    install(manager.plan(), force=False)
    assert drop_in not in manager.installed()


def test_uninstalling_removes_what_was_written_and_leaves_what_was_edited(manager: Manager) -> None:
    install(manager.plan(), force=False)
    edited = Path(manager.layout.root) / "etc/sysusers.d/sealrun.conf"
    edited.write_text(edited.read_text() + "# mine\n")
    own = Path(manager.layout.units) / "sealrun.service.d" / "50-mine.conf"
    own.write_text("[Service]\nNice=5\n")
    manager.ran.clear()
    assert any("left" in line for line in uninstall(manager.layout, force=False, dry_run=False))
    assert {Path(path).name for path in manager.installed()} == {"sealrun.conf", "50-mine.conf"}
    assert manager.ran == [("systemctl", "disable", "--now", "sealrun.service"), ("systemctl", "daemon-reload")]
    assert manager.config.exists()


def test_uninstalling_twice_is_harmless_and_a_dry_run_removes_nothing(manager: Manager) -> None:
    install(manager.plan(), force=False)
    before = manager.installed()
    uninstall(manager.layout, force=False, dry_run=True)
    assert manager.installed() == before
    uninstall(manager.layout, force=False, dry_run=False)
    assert manager.installed() == {}
    assert uninstall(manager.layout, force=False, dry_run=False) == ["nothing to remove"]


def test_a_user_gets_a_unit_and_nothing_of_the_system_s(manager: Manager, tmp_path: Path) -> None:
    layout = Layout(user=True, config_home=str(tmp_path / "config"))
    install(plan_install(layout, manager.config, {"ONLY_THE_SERVICE_HAS_IT": "x"}, COMMAND), force=False)
    (unit,) = (tmp_path / "config").rglob("*.service")
    assert unit == tmp_path / "config" / "systemd" / "user" / "sealrun.service"
    assert "User=" not in unit.read_text()
    assert manager.ran == [("systemctl", "--user", "daemon-reload")]


def test_what_is_shown_tells_edited_files_from_others(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "unit_state", lambda _name, *, user: {"ActiveState": f"active {user}"})
    assert show(manager.layout)["files"] == {}
    install(manager.plan(), force=False)
    unit = Path(manager.layout.units) / "sealrun.service"
    unit.write_text(unit.read_text() + "\n")
    said = show(manager.layout)
    assert said["files"][str(unit)].startswith("edited")
    assert "as installed" in said["files"].values()
    assert said["state"] == {"ActiveState": "active False"}


def test_without_systemd_it_says_what_to_do_instead(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scan --once"):
        systemd.require_systemd(str(tmp_path / "not-there"))


def test_bad_settings_are_refused_before_anything_is_written(manager: Manager) -> None:
    manager.config.write_text("version = 1\nwat = 2\n")
    with pytest.raises(ConfigurationError, match="wat"):
        manager.plan()


def test_a_command_that_fails_says_what_it_complained_about() -> None:
    with pytest.raises(systemd.ServiceManagerError, match="no such thing"):
        systemd.run(("sh", "-c", "echo no such thing >&2; exit 3"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.service.d" / "x.conf"
    systemd.write_file(str(path), "one")
    systemd.write_file(str(path), "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o644
    systemd.remove_file(str(path))
    systemd.remove_file(str(path))
    assert not path.parent.exists()
