"""Commands that produce: daemon, scan, status, detect, seal."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.alarming import since
from sealrun.cli.output import print_json, printable, published_json
from sealrun.cli.surroundings import NO_SETTINGS, Surroundings, shared_options
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.alarming import RELOAD, advice

if TYPE_CHECKING:
    from sealrun.domain.oversight.board import Pause
    from sealrun.services.oversight.reporting import RegistryStatus, StatusReport, WatchStatus
    from sealrun.settings import Settings

_OFTEN = (700, 10, 10)  # Python's own thresholds: a daemon lives long, and memory counts for more than its start


@click.command()
@shared_options
def daemon(around: Surroundings) -> int:
    """Watch, seal and publish until stopped. SIGTERM stops, SIGHUP reloads the settings.

    Example: sealrun daemon --config /etc/sealrun/sealrun.toml
    """
    if not around.quiet and around.verbose == 0:
        logging.getLogger("sealrun").setLevel(logging.INFO)
    gc.set_threshold(*_OFTEN)
    settings = around.settings_to_watch_by()
    if settings.file is None and not settings.registries:
        raise ConfigurationError(NO_SETTINGS)
    for warning in settings.warnings:
        logging.getLogger("sealrun.daemon").warning("%s", warning)
    from sealrun.bootstrap.allocating import return_large_buffers  # noqa: PLC0415 - not needed by `--help`
    from sealrun.bootstrap.daemon.running import Described, run_daemon  # noqa: PLC0415 - as above
    from sealrun.bootstrap.describing import described_registries  # noqa: PLC0415 - as above
    from sealrun.bootstrap.verbs.in_force import Source  # noqa: PLC0415 - as above
    from sealrun.web.site import Site  # noqa: PLC0415 - as above

    latest = settings

    def described(said: Settings) -> Described:
        nonlocal latest
        if said.http is not None:
            said.http.open_token()  # what is wrong with it is wrong with the settings
        latest = said
        return Described(
            described_registries(said),
            said.watches,
            said.mirrors,
            said.keeping,
            said.rules,
            said.targets,
            said.alarms,
            said.metrics,
            Source(said.file, said.digest),
        )

    return_large_buffers()
    return run_daemon(
        settings.state,
        described(settings),
        lambda: described(around.settings_to_watch_by()),
        around.jobs,
        lambda surface: Site(surface, lambda: latest, around.jobs),
    )


@click.command()
@click.option("--once", is_flag=True, required=True, help="Look once, deliver what is queued, and end.")
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if nothing was published.")
@shared_options
def scan(around: Surroundings, *, once: bool, error_on_nothing: bool) -> int:  # noqa: ARG001 - says what it is
    """Take what is complete now in every watch and publish it: for cron and batch schedulers.

    Example: sealrun scan --once
    """
    from sealrun.bootstrap.daemon.alarming import judge_once  # noqa: PLC0415 - not needed by `--help`

    settings = around.settings_to_watch_by()
    with around.parts() as parts:
        report = parts.scan_once()
        judge_once(parts, settings.alarms, report)
    failed = [(run, bad) for run in report.published for bad in run.deliveries if bad.error is not None]
    if around.as_json:
        print_json(
            {
                "published": [published_json(run) for run in report.published],
                "waiting": report.waiting,
                "rejected": report.rejected,
                "missing": report.missing,
            }
        )
    else:
        for run in report.published:
            names = ", ".join(done.registry for done in run.deliveries if done.published)
            if names:
                click.echo(f"published {run.ref} to {names}")
        for path, reason in report.waiting.items():
            click.echo(f"waiting   {printable(path)}: {printable(reason)}")
        for path, reason in report.rejected.items():
            click.echo(f"rejected  {printable(path)}: {printable(reason)}")
        for text in report.missing:
            click.echo(f"missing   {printable(text)}")
        for run, bad in failed:
            click.echo(f"failed    {run.ref} to {bad.registry}: {printable(str(bad.error))}", err=True)
    if failed or report.rejected or report.missing:
        return exits.PARTLY
    return exits.NOTHING if error_on_nothing and not report.published else exits.OK


@click.command()
@click.option("--events", type=click.IntRange(min=0), default=10, help="How many recent events to show.")
@shared_options
def status(around: Surroundings, events: int) -> None:
    """Tell what stands, which folder waits for what, what was rejected and why, and how far each registry is.

    Example: sealrun status
    """
    problem: ConfigurationError | None = None
    try:
        around.tell_if_unset()
        parts, file = around.parts(), around.settings().file
    except ConfigurationError as error:
        problem, parts, file = error, around.journal_parts(error), None
    with parts:
        report = parts.status(events, file)
    if around.as_json:
        print_json(report)
    else:
        _tell_status(report)
    if problem is not None:
        raise problem  # last: what the journal knows is shown whatever is wrong with the settings


def _tell_status(report: StatusReport) -> None:
    for alarm in report.alarms:
        click.echo(f"ALARM     {alarm.kind} {printable(alarm.subject)}, {since(alarm)}: {printable(alarm.reason)}")
        click.echo(f"  do        {advice(alarm.kind)}")
        click.echo(f"  runbook   {alarm.help}")
    click.echo(f"daemon    {f'running, process {report.daemon}' if report.daemon else 'not running'}")
    if report.settings is not None and report.settings.unread is not None:
        click.echo(f"  settings  {printable(report.settings.unread)}")
        click.echo(f"  do        {RELOAD}")
    for watch in report.watches:
        _tell_watch(watch)
    for registry in report.registries:
        _tell_registry(registry)
    for event in report.events:
        click.echo(f"event     {_event(event)}")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--explain", "everything", is_flag=True, help="Say everything that was looked at.")
@click.option("--watch", help="Judge by the rules of this watch (default: the one the path lies in).")
@shared_options
def detect(around: Surroundings, path: Path, watch: str | None, *, everything: bool) -> None:
    """Tell whether the run at PATH is complete, and what it is waiting for.

    Example: sealrun detect outbox/run-7 --explain
    """
    from sealrun.bootstrap.verbs.awaiting import explain_path  # noqa: PLC0415 - not needed by `--help`

    said = explain_path(str(path), around.settings().watches, watch)
    if around.as_json:
        print_json(said)
        return
    if said.rejected is not None:
        click.echo(f"rejected: {printable(said.rejected)}")
    elif said.complete:
        click.echo(f"complete: {printable(said.evidence or '')}")
    for reason in said.awaited:
        click.echo(f"waiting: {printable(reason)}")
    if everything:
        for name, value in msgspec.to_builtins(said).items():
            several = [f"{key}: {item}" for key, item in value.items()] if isinstance(value, dict) else value
            text = ", ".join(map(str, several)) if isinstance(several, (list, tuple)) else str(value)
            click.echo(f"  {name.replace('_', ' '):18}{printable(text)}")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--experiment", required=True, envvar="SEALRUN_EXPERIMENT", help="Experiment the run belongs to.")
@click.option("--run-id", help="The run's id (default: its own, or derived from its content).")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the three records into this folder.")
@shared_options
def seal(around: Surroundings, path: Path, experiment: str, run_id: str | None, output: Path | None) -> None:
    """Seal the run at PATH without publishing it, and print its ROOT_SHA256. PATH is not touched.

    Example: sealrun seal outbox/run-7 --experiment training
    """
    with around.parts() as parts:
        sealing = parts.producer.seal(str(path), experiment, run_id=run_id, output=output)
    root = sealing.run.sums().root
    if around.as_json:
        envelope = sealing.envelope
        said = {"experiment": experiment, "run_id": envelope.run_id, "root_sha256": root, "urn": envelope.urn}
        print_json({**said, "tree_digest": envelope.tree_digest, "files": envelope.files, "size": envelope.size})
    else:
        click.echo(f"{experiment}/{sealing.envelope.run_id} {root}")


def _tell_watch(watch: WatchStatus) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(watch.counts.items())) or "nothing yet"
    click.echo(f"watch     {watch.name}: {printable(watch.path)} -> {watch.experiment}: {counts}")
    if watch.paused is not None:
        click.echo(f"  paused    {_held(watch.paused)}")
    if watch.run_due_by is not None:
        click.echo(f"  expects   a run by {shown_time(watch.run_due_by)}")
    for folder in watch.folders:
        click.echo(f"  {folder.state:9} {printable(folder.path)}: {printable(folder.reason)}")


def _tell_registry(registry: RegistryStatus) -> None:
    click.echo(
        f"registry  {registry.name}: {printable(registry.url)}: {registry.published} published, "
        f"{registry.queued} queued, {registry.parked} parked"
    )
    if registry.paused is not None:
        click.echo(f"  paused    {_held(registry.paused)}")
    if registry.standing is not None and registry.standing.state != "up":
        click.echo(f"  {registry.standing.state:9} {printable(registry.standing.reason)}")
    elif registry.error is not None:
        click.echo(f"  error     {printable(registry.error)}")


def _held(pause: Pause) -> str:
    until = "until somebody resumes it" if pause.until is None else f"until {pause.until}"
    if pause.cause == "quiet-hours":
        return f"quiet hours, {until}"
    return printable(f"since {pause.since}, {until}: {pause.reason}")


def _event(event: Mapping[str, Any]) -> str:
    rest = ", ".join(f"{key} {value}" for key, value in event.items() if key not in {"at", "kind", "subject"})
    return printable(f"{shown_time(float(event.get('at', 0)))} {event.get('kind')} {event.get('subject')} ({rest})")
