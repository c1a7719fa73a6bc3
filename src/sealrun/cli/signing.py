"""The command that signs a run's seal, and what `show` and `verify` share about signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, shared_options

if TYPE_CHECKING:
    from sealrun.domain.curation.signing import Signature, SignedRun


def signed_by_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that ask for a signature."""
    file = click.option(
        "--signed-by",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Require of each run a signature by somebody in this file of allowed signers.",
    )
    signer = click.option("--signer", metavar="IDENTITY", help="With --signed-by: by this identity in it.")
    return file(signer(command))


def refuse_signer_alone(signed_by: Path | None, signer: str | None, *, in_rounds: bool) -> None:
    """Refuse what cannot be meant."""
    if signer is not None and signed_by is None:
        msg = "--signer goes with --signed-by"
        raise click.UsageError(msg)
    if signed_by is not None and in_rounds:
        msg = "--signed-by asks of whole registries, not of rounds by --all --subset or --budget"
        raise click.UsageError(msg)


def say_signatures(signatures: Iterable[Signature]) -> None:
    """Tell the signatures of a run, which nobody has verified."""
    for signature in signatures:
        said = signature.problem or "not verified; do so with: sealrun verify --signed-by"
        click.echo(f"{'signed with':14}{printable(signature.maker)} ({printable(said)})")


def as_rows(signatures: Iterable[Signature]) -> list[dict[str, Any]]:
    """Return the same as JSON says it."""
    return [
        {"key": each.key, "problem": each.problem}
        if each.problem
        else {"key": each.key, "key_type": each.key_type, "fingerprint": each.fingerprint, "namespace": each.namespace}
        for each in signatures
    ]


def say_signed(signed: list[SignedRun]) -> None:
    """Tell by whom: of one run with the key, of many by signer."""
    if len(signed) == 1:
        click.echo(f"{signed[0].ref}: signed by {printable(signed[0].identity)} with {signed[0].fingerprint}")
        return
    for identity in sorted({each.identity for each in signed}):
        count = sum(each.identity == identity for each in signed)
        click.echo(f"{count} runs signed by {printable(identity)}")


@click.command("sign")
@click.argument("ref")
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="An OpenSSH private key, or the public half of one that ssh-agent holds.",
)
@click.option("--registry", metavar="NAME|URL", help="Which registry to read (default: the first in the settings).")
@shared_options
def sign(around: Surroundings, ref: str, key: Path, registry: str | None) -> None:
    """Sign the seal of the run that REF names, by ssh-keygen, and keep the signature in the registry.

    Example: sealrun sign training@latest --key ~/.ssh/id_ed25519
    """
    from sealrun.bootstrap.products import signing  # noqa: PLC0415 - --help needs nothing of it

    with around.parts() as parts:
        done = signing.sign(parts, registry, ref, key)
    run, signature = f"{done.target.experiment}/{done.target.run_id}", done.signature
    if around.as_json:
        print_json({"ref": run, "root_sha256": done.target.root_sha256, "new": done.fresh, **as_rows([signature])[0]})
    elif not around.quiet:
        again = "" if done.fresh else ", as it was before"
        click.echo(f"{run} signed with {signature.maker}{again}", err=True)
