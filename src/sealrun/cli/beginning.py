"""``sealrun init``: look at a folder, write settings for what is there, and check that they work."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.output import print_json, printable, waiting
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.address import is_name, parse_name
from sealrun.domain.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from sealrun.bootstrap.doctor.checking import Finding
    from sealrun.bootstrap.proposing import Plan, Planned

SETTINGS_FILE = "sealrun.toml"
_CONFIGURATION = Path("/etc")
_SERVICE_STATE = "/var/lib/sealrun"
"""Where a unit keeps its state; settings in /etc are a service's, and its folder is no place for a journal."""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--watch", "watch", type=click.Path(file_okay=False, path_type=Path), help="Folder in which runs appear.")
@click.option("--registry", "registries", multiple=True, metavar="URL", help="Where to publish; may be given again.")
@click.option("--experiment", help="Experiment of the runs (default: called after the folder).")
@click.option("--endpoint-url", metavar="URL", help="Where an S3 registry's server is, if it is not Amazon's.")
@click.option("--profile", metavar="NAME", help="Profile of the AWS configuration that has an S3 registry's keys.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the settings; write and create nothing.")
@shared_options
def init(
    around: Surroundings,
    folder: Path,
    watch: Path | None,
    registries: tuple[str, ...],
    experiment: str | None,
    endpoint_url: str | None,
    profile: str | None,
    *,
    dry_run: bool,
) -> int:
    """Write commented settings into FOLDER, for the runs found there, create the registries, and check it all.

    Example: sealrun init . --watch outputs --registry s3://my-bucket/runs
    """
    target = folder / SETTINGS_FILE
    if target.exists():
        msg = f"{target}: there are settings already; edit them, or choose another folder"
        raise ConfigurationError(msg)
    plan, listen = _plan(folder, watch, experiment), _listen()
    options = {"endpoint_url": endpoint_url, "profile": profile}
    text = _settings_text(target, plan, registries, options, listen)
    if dry_run:
        _show(around, target, plan, text)
        return exits.OK
    folder.mkdir(parents=True, exist_ok=True)
    for planned in plan.watches:
        planned.folder.mkdir(parents=True, exist_ok=True)
    _write_new(target, text)
    around.config = target
    try:
        created = _create_registries(around)
    except BaseException:
        target.unlink()  # what cannot be used is not left behind: the same command works once the reason is gone
        raise
    findings = _check(around)
    if around.as_json:
        print_json({"settings": str(target), "registries": created, **_plan_json(plan), "findings": findings})
    else:
        _tell(target, plan, created, findings, listen)
    return exits.PARTLY if any(finding.level == "error" for finding in findings) else exits.OK


def _show(around: Surroundings, target: Path, plan: Plan, text: str) -> None:
    if around.as_json:
        print_json({"settings": str(target), "text": text, **_plan_json(plan)})
    else:
        click.echo(text, nl=False)


def _plan(folder: Path, watch: Path | None, experiment: str | None) -> Plan:
    from sealrun.bootstrap.proposing import plan_watches  # noqa: PLC0415 - not needed by `--help`

    watched = (watch or Path("outbox")).name or "runs"
    name = watched if is_name(watched) else "runs"
    experiment = experiment or os.environ.get("SEALRUN_EXPERIMENT")
    return plan_watches(folder, watch, name, None if experiment is None else parse_name(experiment, "experiment"))


def _listen() -> str:
    from sealrun.bootstrap.proposing import free_listen  # noqa: PLC0415 - not needed by `--help`

    return free_listen()


def _settings_text(
    target: Path, plan: Plan, registries: Sequence[str], options: Mapping[str, str | None], listen: str
) -> str:
    from sealrun.settings.composing import RegistryLines, compose  # noqa: PLC0415 - not needed by `--help`

    given = {key: value for key, value in options.items() if value is not None}
    urls = [_registry_url(url) for url in registries] or ["registry"]
    places = [RegistryLines(url=url, options=given) for url in urls]
    state = _SERVICE_STATE if _CONFIGURATION in target.absolute().parents else None
    text = compose(places, [planned.lines for planned in plan.watches], plan.notes, listen, state)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"{target}: a path that is not UTF-8 cannot be written into settings; rename the folder"
        raise UsageError(msg) from error
    return text


def _create_registries(around: Surroundings) -> dict[str, str]:
    made = {}
    with around.parts() as parts:
        for name, spec in parts.registries.items():
            with waiting(f"making and probing registry {name} ({printable(spec.shown_url)})", quiet=around.quiet):
                made[name] = parts.create_registry(name)
    return made


def _check(around: Surroundings) -> list[Finding]:
    from sealrun.bootstrap.doctor.checking import check_everything  # noqa: PLC0415 - heavy

    with around.parts() as parts, waiting("checking it all", quiet=around.quiet):
        return check_everything(parts, around.settings())


def _plan_json(plan: Plan) -> dict[str, Any]:
    watches = []
    for planned in plan.watches:
        about = msgspec.to_builtins(planned.lines)
        about["folder"] = str(planned.folder)
        watches.append({**about, "found": planned.found, "by": planned.by, "there": planned.there})
    return {"watches": watches, "notes": list(plan.notes)}


def _tell(target: Path, plan: Plan, created: dict[str, str], findings: Sequence[Finding], listen: str) -> None:
    click.echo(f"settings   {printable(str(target))}")
    for planned in plan.watches:
        _tell_found(planned)
    for note in plan.notes:
        click.echo(f"note       {printable(note)}")
    for registry, registry_id in created.items():
        click.echo(f"registry   {registry}: {registry_id}")
    grave = [finding for finding in findings if finding.level in {"error", "warning"}]
    for finding in grave:
        click.echo(f"{finding.level:10} {finding.what}: {printable(finding.detail)}")
        if finding.do:
            click.echo(f"           {printable(finding.do)}")
    if not grave:
        click.echo("checked    nothing is wrong; all that was looked at: sealrun doctor")
    click.echo(f"next       sealrun --config {shlex.quote(str(target))} daemon")
    click.echo(f"page       http://{listen}/ while the daemon runs")
    if any(planned.there for planned in plan.watches):
        click.echo("then       what is there already and complete is published; a .sealignore there leaves some out")
    else:
        click.echo(f"then       drop a folder into {printable(str(target.parent / plan.watches[0].lines.path))}")


def _tell_found(planned: Planned) -> None:
    if planned.found is None and not planned.there:
        return
    there = "1 folder" if planned.there == 1 else f"{planned.there} folders"
    by = f", {planned.found} by {Path(planned.by or '').relative_to(planned.folder)}" if planned.found else ""
    click.echo(f"found      {printable(f'{planned.lines.path}/{planned.lines.glob}: {there}{by}')}")


def _registry_url(url: str) -> str:
    return url if "://" in url else str(Path(url).absolute())


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror}); choose another folder"
        raise ConfigurationError(msg) from error
