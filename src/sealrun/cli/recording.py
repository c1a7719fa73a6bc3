"""Commands that record: exec, mark. They need no settings."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import click

from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.errors import SealrunError


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("--pipeline-id", required=True, help="What is run, such as nightly-backfill.")
@click.option("--pipeline-version", help="Which version of it.")
@click.option(
    "--required-env",
    multiple=True,
    metavar="NAME",
    help="A variable without which nothing is run (NAME,NAME too); may be given again.",
)
@click.option("--experiment", help="Record below this experiment's folder, as the Python interface does.")
@click.option("--root", type=click.Path(path_type=Path), help="Record below this folder (default: reports/runs).")
@click.option("--run-id", help="The run's id (default: <utc>__<pipeline id>__<commit>).")
@click.option("--tag", "tags", multiple=True, help="Tag the run; may be given again.")
@click.option(
    "--heartbeat",
    type=float,
    default=30.0,
    metavar="SECONDS",
    help="How often to show other machines that the run lives. 0: never. Default: 30.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True, metavar="COMMAND...")
@shared_options
def exec_(  # noqa: PLR0913 - one argument for each option
    around: Surroundings,
    *,
    pipeline_id: str,
    pipeline_version: str | None,
    required_env: tuple[str, ...],
    experiment: str | None,
    root: Path | None,
    run_id: str | None,
    tags: tuple[str, ...],
    heartbeat: float,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND and record it as a run: its output, its exit code, what it used, and the files it leaves there.

    Example: sealrun exec --pipeline-id backfill --required-env DATABASE_URL -- python backfill.py
    """
    from sealrun.recording import Paths, RunWriter, record_command  # noqa: PLC0415 - not needed by `--help`

    if experiment is not None:
        root = root or Paths.from_env().runs(experiment)
    names = [name for given in required_env for name in given.replace(",", " ").split()]
    root = root or Path("reports/runs")
    writer = RunWriter(pipeline_id, pipeline_version, names, root=root, run_id=run_id, heartbeat=heartbeat)
    writer.start()
    writer.record(tags=tags)
    if experiment is not None:
        writer.record(experiment=experiment)
    code = record_command(writer, command)
    if around.as_json:
        said = {"run_id": writer.run_id, "path": str(writer.run_dir), "status": writer.status, "exit_code": code}
        click.echo(json.dumps(said), err=True)
    elif not around.quiet:
        click.echo(f"sealrun: {writer.status}: {printable(str(writer.run_dir))}", err=True)
    return code


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--status",
    type=click.Choice(["success", "failed", "partial", "interrupted"]),
    default="success",
    help="How the run ended. Default: success.",
)
@click.option("--tag", "tags", multiple=True, help="Tag the run; may be given again.")
@click.option("-m", "--why", help="Why it ended so, for its record.")
@click.option("--seal", is_flag=True, help="Also write MANIFEST.sha256 into it, for sha256sum -c.")
@shared_options
def mark(around: Surroundings, path: Path, status: str, tags: tuple[str, ...], why: str | None, *, seal: bool) -> None:
    """Declare the run folder at PATH complete, so that a daemon takes it at once. Write everything else first.

    Example: sealrun mark outbox/run-7 --status failed -m "diverged"
    """
    from sealrun.recording import mark_complete  # noqa: PLC0415 - not needed by `--help`

    written = mark_complete(path, status, tags=tags, reason=why, seal=seal)
    awaited = _awaited(around, path)
    if around.as_json:
        said = {"path": str(path), "status": status, "declaration": str(written.path), "sealed": seal}
        print_json({**said, "awaited": awaited})
    elif not around.quiet:
        click.echo(f"{printable(str(path))}: {status}", err=True)
        for reason in awaited or ():
            click.echo(f"waiting: {printable(reason)}", err=True)


def _awaited(around: Surroundings, path: Path) -> tuple[str, ...] | None:
    """What the watch that the folder lies in still waits for; None where it lies in none that is known here.

    The declaration is written: whatever is wrong with settings is no matter of whoever marks a run.
    """
    from sealrun.bootstrap.verbs.awaiting import explain_path, watch_of  # noqa: PLC0415 - not needed by `--help`

    try:
        watches = around.settings().watches
        if watch_of(os.path.realpath(path), watches) is None:
            return None
        said = explain_path(str(path), watches)
    except (SealrunError, OSError) as error:
        logging.getLogger("sealrun").info("what is still awaited is not known: %s", error)
        return None
    return said.awaited if said.rejected is None else (*said.awaited, f"rejected: {said.rejected}")
