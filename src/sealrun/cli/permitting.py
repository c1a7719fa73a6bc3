"""The command that prints what a role may do in a bucket."""

from __future__ import annotations

import json

import click

from sealrun.cli.surroundings import Surroundings, shared_options

_ROLES = ("reader", "publisher", "collector", "administrator")


@click.command()
@click.option("--role", type=click.Choice(_ROLES), required=True, help="Whose policy.")
@click.option("--url", required=True, metavar="URL", help="Where the registry is: s3://BUCKET or s3://BUCKET/PREFIX.")
@click.option("--write-once", is_flag=True, help="Let the bucket refuse to overwrite records (Amazon S3).")
@shared_options
def policy(around: Surroundings, role: str, url: str, *, write_once: bool) -> None:
    """Print the bucket policy that a role needs, and no more: an IAM policy in JSON.

    Attach it to the user or role whose credentials are used. Nothing is asked of any server.

    Example: sealrun policy --role publisher --url s3://ml-artifacts/prod
    """
    from sealrun.adapters.stores.s3_address import parse_place  # noqa: PLC0415 - for this command only
    from sealrun.adapters.stores.s3_policies import policy as made  # noqa: PLC0415 - as above
    from sealrun.domain.curation.roles import ROLES  # noqa: PLC0415 - as above

    del around  # it prints JSON either way
    click.echo(json.dumps(made(parse_place(url), ROLES[role], write_once=write_once), indent=2))
