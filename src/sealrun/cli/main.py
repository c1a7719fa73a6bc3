"""The entry point: which command lives where, and what its errors become."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback

import click

from sealrun import __version__
from sealrun.cli import exits
from sealrun.cli.output import printable_lines
from sealrun.cli.surroundings import Surroundings
from sealrun.domain.errors import SealrunError

# Command, where it is, and its one line: a listing of all commands imports none of them.
_COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("sealrun.cli.beginning:init", "Write settings for what lies in a folder, and check them."),
    "demo": ("sealrun.cli.setting_up:demo", "Show the main job in half a minute."),
    "doctor": ("sealrun.cli.setting_up:doctor", "Check settings, folders, registries and clocks."),
    "config": ("sealrun.cli.setting_up:config", "Show, validate or describe the settings."),
    "daemon": ("sealrun.cli.working:daemon", "Watch, seal and publish until stopped."),
    "scan": ("sealrun.cli.working:scan", "Take what is complete now, once."),
    "status": ("sealrun.cli.working:status", "Which folder waits for what; how far each registry is."),
    "alarms": ("sealrun.cli.alarming:alarms", "List what stands, and what to do about it."),
    "runbook": ("sealrun.cli.alarming:runbook", "What to do about each kind of alarm."),
    "pause": ("sealrun.cli.pausing:pause", "Hold deliveries to a registry, or a watch, back."),
    "resume": ("sealrun.cli.pausing:resume", "Let what was paused go on."),
    "detect": ("sealrun.cli.working:detect", "Tell whether a folder is complete, and why."),
    "seal": ("sealrun.cli.working:seal", "Seal a folder without publishing it."),
    "publish": ("sealrun.cli.artifacts:publish", "Seal a folder or file and publish it now."),
    "exec": ("sealrun.cli.recording:exec_", "Run a command and record it as a run."),
    "mark": ("sealrun.cli.recording:mark", "Declare a run folder complete."),
    "import": ("sealrun.cli.importing:import_", "Seal and publish every run folder below a folder."),
    "ls": ("sealrun.cli.listing:ls", "List experiments or runs."),
    "show": ("sealrun.cli.consuming:show", "Show a run: its envelope and its files."),
    "get": ("sealrun.cli.consuming:get", "Restore a run or a file, verified."),
    "cat": ("sealrun.cli.consuming:cat", "Print one file of a run."),
    "resolve": ("sealrun.cli.artifacts:resolve", "Tell what a reference stands for, and where."),
    "latest-manifest": ("sealrun.cli.artifacts:latest_manifest", "List what stands under each published name."),
    "diff": ("sealrun.cli.listing:diff", "Compare two runs, or two text files."),
    "lineage": ("sealrun.cli.lineage:lineage", "Show what a run was made from, and what from it."),
    "derive": ("sealrun.cli.deriving:derive", "Compute declared outputs of runs, and publish them."),
    "tb": ("sealrun.cli.viewing:tb", "Print a directory of event files for TensorBoard."),
    "links": ("sealrun.cli.viewing:links", "Make a folder of links to runs and their inputs."),
    "gallery": ("sealrun.cli.viewing:gallery", "Show the newest picture of each group of runs."),
    "export": ("sealrun.cli.exporting:export", "Write a run as BagIt or RO-Crate, or state its seal."),
    "sign": ("sealrun.cli.signing:sign", "Sign a run's seal with an SSH key."),
    "verify": ("sealrun.cli.consuming:verify", "Check seals and stored bytes."),
    "cache": ("sealrun.cli.caching:cache", "List and clean what is kept on this machine."),
    "pointer": ("sealrun.cli.pointing:pointer", "List, read, move and roll back pointers."),
    "promote": ("sealrun.cli.pointing:promote", "Point a pointer at a run."),
    "validate": ("sealrun.cli.validating:validate", "Check seal, composition, schemas, pointers and inputs."),
    "catalog": ("sealrun.cli.catalog:catalog", "List every registry artifact known, and seal that list."),
    "schema": ("sealrun.cli.schemas:schema", "Print published schemas; keep versions of your own."),
    "retire": ("sealrun.cli.keeping:retire", "Take runs out of the registry, by policy or by name."),
    "undo": ("sealrun.cli.keeping:undo", "Bring retired runs back, while their bytes are there."),
    "pin": ("sealrun.cli.keeping:pin", "Keep a run from being retired."),
    "unpin": ("sealrun.cli.keeping:unpin", "Lift a run's pins."),
    "pins": ("sealrun.cli.keeping:pins", "List pins and holds."),
    "gc": ("sealrun.cli.collecting:gc", "Delete bytes that no run needs; explain why one is kept or gone."),
    "repair": ("sealrun.cli.mending:repair", "Restore damaged objects from a replica."),
    "reclaim": ("sealrun.cli.reclaiming:reclaim", "Delete the sources of published runs, once verified again."),
    "mirror": ("sealrun.cli.reclaiming:mirror", "Bring the mirrors up to date."),
    "policy": ("sealrun.cli.permitting:policy", "Print the bucket policy that a role needs."),
    "notify": ("sealrun.cli.notifying:notify", "List or test who is told of what happens."),
    "service": ("sealrun.cli.service:service", "Run the daemon as a service of systemd."),
    "completion": ("sealrun.cli.setting_up:completion", "Print a shell's completion script."),
}


_SELDOM = 200_000
"""How many more objects than before there may be until cycles are looked for among them.

Python does so every 700, and again and again among all that was imported: a quarter of what a short command took. What
is not part of a cycle is freed at once all the same."""


class LazyGroup(click.Group):
    """Knows every command's name and one line; imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, in the order of first use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import and return a command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        _end_with_example(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """List commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _end_with_example(command: click.Command) -> None:
    """Move the example of a command's docstring below its options, unwrapped, so that it can be copied."""
    text, found, example = (command.help or "").partition("Example: ")
    if found:
        command.help, command.epilog = text.rstrip(), f"\b\n{found}{example.strip()}"
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        _end_with_example(child)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="sealrun")
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="Settings file (default: searched for).")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Threads that hash files.")
@click.option("-v", "--verbose", count=True, help="Say more on stderr; twice for tracebacks, too.")
@click.option("-q", "--quiet", is_flag=True, help="Say less on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (JSON Lines for lists).")
@click.pass_context
def root(
    ctx: click.Context, /, config: str | None, jobs: int | None, verbose: int, *, quiet: bool, as_json: bool
) -> None:
    """Seal run folders, publish them deduplicated to every registry, and keep them findable.

    Example: sealrun demo
    """
    from pathlib import Path  # noqa: PLC0415 - not needed by `--help`

    file = Path(config) if config else None
    ctx.obj = Surroundings(config=file, jobs=jobs, verbose=verbose, quiet=quiet, as_json=as_json)


_end_with_example(root)


def main() -> None:
    """Run the command line and exit with the code of `sealrun.cli.exits`."""
    gc.set_threshold(_SELDOM, 10, 10)
    code = run(sys.argv[1:])
    gc.freeze()  # the end of the process would look through all that is left, more than once
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code. Errors are printed to stderr, as JSON if that was asked for."""
    try:
        answer = root.main(arguments, prog_name="sealrun", standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = exits.INTERRUPTED
    except click.ClickException as error:
        code = exits.USAGE
        if "--json" in arguments:
            _tell(error, error.format_message(), code, arguments)
        else:
            error.show()
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = exits.ERROR
    except SealrunError as error:
        code = exits.exit_code(error)
        _tell(error, str(error), code, arguments)
    except Exception as error:  # noqa: BLE001 - the last resort: nobody should see a traceback who did not ask for it
        code = exits.ERROR
        kind = "" if isinstance(error, OSError) else f"unexpected {type(error).__name__}: "
        _tell(error, f"{kind}{error} (with -vv: where it comes from)", code, arguments)
    else:
        code = answer if isinstance(answer, int) else exits.OK
    return code


def _tell(error: Exception, message: str, code: int, arguments: list[str]) -> None:
    if any(argument.startswith("-vv") for argument in arguments) or arguments.count("-v") > 1:
        traceback.print_exception(error)
    if "--json" in arguments:
        said = {"error": {"class": type(error).__name__, "message": message, "exit_code": code}}
        click.echo(json.dumps(said), err=True)
    else:
        click.echo(f"sealrun: {printable_lines(message)}", err=True)
