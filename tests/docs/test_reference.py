"""The reference pages list what there is, all of it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from tests.docs.pages import DOCS

from sealrun.cli import exits
from sealrun.cli.main import root
from sealrun.domain import errors
from sealrun.settings import schema

CLI = DOCS / "reference" / "cli.md"
SETTINGS = DOCS / "reference" / "settings.md"
ERRORS = DOCS / "reference" / "errors-and-exit-codes.md"
TABLES: dict[str, type[msgspec.Struct]] = {
    "[registry.NAME]": schema.RegistryTable,
    "[[watch]]": schema.WatchTable,
    "[[derive]]": schema.DeriveTable,
    "[[notify]]": schema.NotifyTable,
    "[notify.mail]": schema.MailTable,
    "[alarms]": schema.AlarmsTable,
    "[mirror.NAME]": schema.MirrorTable,
    "[retention.EXPERIMENT]": schema.RetentionTable,
    "[gc]": schema.GcTable,
    "[verify]": schema.VerifyTable,
    "[gate.POINTER]": schema.GateTable,
    "[http]": schema.HttpTable,
    "[metrics]": schema.MetricsTable,
}
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def sections(page: Path) -> dict[str, str]:
    """Text below each heading of the second level, by heading."""
    _, *parts = re.split(r"(?m)^## ", page.read_text())
    return {heading: text for heading, _, text in (part.partition("\n") for part in parts)}


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in `text`, headings left out."""
    tables = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in tables]


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its whole name."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command
    if not isinstance(command, click.Group):
        return
    context = click.Context(command)
    for inner in command.list_commands(context):
        found = command.get_command(context, inner)
        assert found is not None
        yield from leaves(f"{name} {inner}", found)


def options(command: click.Command) -> set[str]:
    names = {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}
    return names | {name for p in command.params if isinstance(p, click.Option) for name in p.secondary_opts}


COMMANDS = dict(leaves("sealrun", root))
SHARED = options(root) | {"-h", "--help"}


def test_every_command_has_its_section_and_no_other_is_there() -> None:
    described = {heading for heading in sections(CLI) if heading.startswith("sealrun ")}
    assert described == COMMANDS.keys()


def test_every_option_is_described_and_no_other_is() -> None:
    text = sections(CLI)
    for name, command in COMMANDS.items():
        described = {option for row in rows(text[name]) for option in _OPTION.findall(row[0])}
        assert described == options(command) - SHARED, name
    assert {option for row in rows(text["Options of every command"]) for option in _OPTION.findall(row[0])} == SHARED


def test_every_command_takes_the_shared_options_after_its_name() -> None:
    for name, command in COMMANDS.items():
        assert options(command) >= SHARED - {"-h", "--help", "--version"}, name


def test_every_argument_is_shown_in_order() -> None:
    text = sections(CLI)
    for name, command in COMMANDS.items():
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        shown = [p.human_readable_name if p.required else f"[{p.human_readable_name}]" for p in arguments]
        head = [name, *(["[OPTIONS]"] if options(command) - SHARED else []), *shown]
        assert f"```text\n{' '.join(head)}\n```" in text[name]


def test_every_setting_is_described_in_its_section_and_no_other_is() -> None:
    text = sections(SETTINGS)
    for heading, table in TABLES.items():
        described = {row[0].strip("` ") for row in rows(text[heading])}
        assert described == {field.encode_name for field in msgspec.structs.fields(table)}, heading
    top = {row[0].strip("` ") for row in rows(text["Top level"])}
    assert top == {"version", "state", "engine"}
    named = {re.sub(r"[\[\]]|\..*", "", heading) for heading in TABLES}
    assert top | named == {field.encode_name for field in msgspec.structs.fields(schema.SettingsFile)}


def test_the_keys_of_a_reclaim_table_are_named() -> None:
    watch = next(row for row in rows(sections(SETTINGS)["[[watch]]"]) if row[0] == "`reclaim`")
    assert all(f"`{field.encode_name}`" in watch[2] for field in msgspec.structs.fields(schema.ReclaimTable))


def test_the_defaults_that_are_shown_are_the_defaults() -> None:
    for heading, table in TABLES.items():
        shown = {row[0].strip("` "): row[1] for row in rows(sections(SETTINGS)[heading])}
        for field in msgspec.structs.fields(table):
            default = field.default if field.default is not msgspec.NODEFAULT else None
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            if field.required:
                assert shown[field.encode_name] == "required"
            elif default is not None:
                written = msgspec.json.encode(default).decode().replace('","', '", "')
                assert shown[field.encode_name] == f"`{written}`", field.name


def test_every_exit_code_is_listed_and_no_other_is() -> None:
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    listed = {int(code) for code in re.findall(r"(?m)^\| (\d+) \|", ERRORS.read_text())}
    assert listed == codes


def test_every_error_is_listed_with_its_exit_code() -> None:
    listed = {row[0].strip("`"): int(row[2].removesuffix(" |").rstrip("|").strip()) for row in rows(ERRORS.read_text())}
    kinds = {name: getattr(errors, name) for name in errors.__all__ if name != "SealrunError"}
    assert listed == {name: exits.exit_code(kind("")) for name, kind in kinds.items()}
