"""What each role may do in a bucket: all of its work, and nothing else, on a server that enforces its policy."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from tests.e2e.deployment import Deployment, make_run
from tests.servers.endpoint import Endpoint
from tests.servers.forwarding import address_of
from tests.servers.identities import add_user
from tests.servers.keeping import Heads
from tests.servers.seaweedfs import SeaweedFS

from sealrun.adapters.stores.s3_address import parse_place
from sealrun.adapters.stores.s3_policies import policy
from sealrun.domain.curation.roles import ROLES, WRITE_ONCE, Right, fits
from sealrun.domain.schemas import PUBLISHED

NAMES = tuple(ROLES)
SMALL = {f"shards/{n}.json": f'{{"shard": {n}}}\n'.encode() for n in range(40)}
FILES = {**SMALL, "metrics.json": b'{"loss": 0.5}\n', "model.bin": bytes(range(256)) * 4096}
ATTEMPT = "20260117T150000Z-eca937c92024f10d"
KEYS = (
    "registry.json",
    f"store/objects/sha256/10/fc/{'0' * 60}.{ATTEMPT}",
    f"store/packs/sha256/10/fc/{'0' * 60}.{ATTEMPT}.zip",
    *(f"attempts/{ATTEMPT}/{file}.json" for file in ("intent", "outcome", "refs", "retired")),
    *(f"experiments/e/runs/r/{file}" for file in ("run.json", "manifest.json", "MANIFEST.sha256")),
    f"experiments/e/runs/r/seals/{ATTEMPT}.json",
    "experiments/e/pointers/best/999999999998.json",
    "experiments/e/pointers/best.json",
    f"experiments/e/index/pending/{ATTEMPT}.json",
    "experiments/e/index/base/999999999998.jsonl",
    "experiments/e/manifest.jsonl",
    f"experiments/e/pins/r/{ATTEMPT}.json",
    f"experiments/e/pins/r/{ATTEMPT}.lifted.json",
    f"experiments/e/index/pending/{ATTEMPT}.retired.json",
    f"experiments/e/signatures/r/{'0' * 64}.sig",
    "names/metrics.json/999999999998.json",
    "latest/metrics.json",
    f"builds/t/{'0' * 64}/log/999999999998.json",
    f"builds/t/{'0' * 64}/beat.json",
    "catalog/schemas/s/1.json",
    "probe/0123/race",
    f"quarantine/{'0' * 64}.{ATTEMPT}.json",
    f"gc/condemned/{ATTEMPT}.json",
    f"gc/{ATTEMPT}/verdict.json",
    f"gc/{ATTEMPT}/deleted.jsonl",
    "latest/metrics.json.meta.json",
    "what nobody has thought of",
)
"""One key of each kind in the format."""


class Place(NamedTuple):
    """A registry with one run in it, which an administrator made, and a user for each role."""

    bucket: str
    users: dict[str, Endpoint]
    folder: Path

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/prod"

    def as_(self, role: str, endpoint_url: str | None = None) -> Deployment:
        """A machine with the credentials of a role; one for each role, or its state folder would know the others'."""
        root = self.folder / role
        (root / "outputs").mkdir(parents=True, exist_ok=True)
        options = self.users[role].storage_options
        if endpoint_url:
            options["endpoint_url"] = endpoint_url
        return Deployment(
            root,
            registries={"cloud": {"url": self.url, "storage_options": options, "packs": {"least": 10}}},
            watch={
                "path": str(root / "outputs"),
                "experiment": "train",
                "settle": "0s",
                "names": {"metrics.json": "metrics.json"},
            },
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, seaweedfs_server: SeaweedFS) -> Place:
    bucket = seaweedfs_server.create_bucket()
    where = parse_place(f"s3://{bucket}/prod")
    users = {name: add_user(seaweedfs_server.admin, policy(where, role)) for name, role in ROLES.items()}
    made = Place(bucket, users, tmp_path_factory.mktemp("roles"))
    administrator = made.as_("administrator")
    for number in range(2):
        make_run(Path(administrator.watch["path"]) / f"run-{number}", FILES)
        administrator.run("scan", "--once")
    return made


def is_allowed(client: Any, operation: str, **parameters: Any) -> bool:  # noqa: ANN401 - boto's
    try:
        getattr(client, operation)(**parameters)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
            raise
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_the_server_permits_each_role_what_it_needs_on_each_kind_of_key_and_nothing_else(
    seaweedfs_server: SeaweedFS, name: str
) -> None:
    bucket = seaweedfs_server.create_bucket()
    role = ROLES[name]
    user = add_user(seaweedfs_server.admin, policy(parse_place(f"s3://{bucket}/prod"), role))
    with user.client() as client, seaweedfs_server.admin.client() as admin:
        for key in KEYS:
            named = {"Bucket": bucket, "Key": f"prod/{key}"}
            assert is_allowed(client, "put_object", **named, Body=b"") == role.permits(Right.WRITE, key), key
            admin.put_object(**named, Body=b"")
            assert is_allowed(client, "get_object", **named), key
            assert is_allowed(client, "delete_object", **named) == role.permits(Right.DELETE, key), key
            admin.put_object(Bucket=bucket, Key=f"elsewhere/{key}", Body=b"")
            beside = {"Bucket": bucket, "Key": f"elsewhere/{key}"}
            assert not is_allowed(client, "put_object", **beside, Body=b"")
            assert not is_allowed(client, "get_object", **beside)
            assert not is_allowed(client, "delete_object", **beside)
        assert is_allowed(client, "list_objects_v2", Bucket=bucket, Prefix="prod/")
        assert not is_allowed(client, "list_objects_v2", Bucket=bucket, Prefix="elsewhere/")
        assert is_allowed(client, "list_multipart_uploads", Bucket=bucket, Prefix="prod/") == role.unfinished
        assert not is_allowed(client, "put_bucket_policy", Bucket=bucket, Policy=json.dumps(policy_of_all(bucket)))
        assert not is_allowed(client, "delete_bucket", Bucket=bucket)


def policy_of_all(bucket: str) -> dict[str, Any]:
    everything = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return {"Version": "2012-10-17", "Statement": [everything]}


def test_every_kind_of_record_has_a_key_that_the_roles_are_tried_on() -> None:
    kinds = {re.sub(r"[:( ].*", "", re.sub("<[^>]+>", "*", shown)) for shown in PUBLISHED.values()}
    # Without those of a mirror and of a run folder.
    for kind in (kind for kind in kinds if "/" in kind and not kind.startswith(".")):
        assert any(fits(kind, key) for key in KEYS), kind


@pytest.mark.parametrize("name", ["reader", "publisher"])
def test_every_role_reads_lists_restores_and_verifies(place: Place, name: str, tmp_path: Path) -> None:
    somebody = place.as_(name)
    assert somebody.runs("cloud")
    somebody.run("get", "train@latest", str(tmp_path / "restored"))
    assert (tmp_path / "restored/model.bin").read_bytes() == FILES["model.bin"]
    somebody.run("verify", "train@latest")
    somebody.run("resolve", "metrics.json")
    somebody.run("pins")
    missing = somebody.run("show", "train/there-is-none", check=1)
    assert "train/there-is-none" in missing.stderr


@pytest.mark.parametrize("name", ["publisher", "collector", "administrator"])
def test_who_may_publish_publishes_moves_pointers_and_names(place: Place, name: str) -> None:
    somebody = place.as_(name)
    large = bytes(40 << 20 if name == "publisher" else 1) + name.encode()  # 40 MiB go in parts
    make_run(Path(somebody.watch["path"]) / f"run-of-{name}", {**FILES, "metrics.json": name.encode(), "large": large})
    somebody.run("scan", "--once")
    assert f"run-of-{name}" in {run["name"] for run in somebody.runs("cloud")}
    somebody.run("promote", "train@latest", "best")
    assert somebody.run("cat", "train@best:metrics.json").stdout == name
    assert somebody.run("cat", "metrics.json").stdout == name
    with place.users["administrator"].client() as client:
        listed = client.list_objects_v2(Bucket=place.bucket, Prefix="prod/probe/").get("Contents", [])
        assert [item["Key"] for item in listed if not item["Key"].endswith("/")] == []


@pytest.mark.parametrize(
    ("name", "arguments", "needed"),
    [
        ("reader", ("publish", "RUN", "--experiment", "train"), "publisher"),
        ("reader", ("promote", "train@latest", "mine"), "publisher"),
        ("reader", ("retire", "train@latest", "--why", "trying"), "publisher"),
        ("reader", ("gc",), "publisher"),
        ("reader", ("pin", "train@latest", "--why", "trying"), "publisher"),
        ("publisher", ("retire", "RETIRED", "--why", "trying"), "collector"),
        ("publisher", ("gc",), "collector"),
        ("publisher", ("pin", "train@latest", "--why", "trying"), "administrator"),
        ("collector", ("pin", "train@latest", "--why", "trying"), "administrator"),
    ],
)
def test_what_a_role_does_not_permit_is_refused_with_the_role_that_does(
    place: Place, name: str, arguments: tuple[str, ...], needed: str
) -> None:
    somebody = place.as_(name)
    make_run(somebody.root / "refused", {"new": b"nobody has this yet"})
    before = somebody.rows("ls", "train")
    first = next(f"train/{run['run_id']}" for run in before if run["name"] == "run-0")
    given = [{"RUN": str(somebody.root / "refused"), "RETIRED": first}.get(word, word) for word in arguments]
    refused = somebody.run(*given, check=12)
    assert f"which the role {needed} has" in refused.stderr
    assert f"sealrun policy --role {needed} --url {place.url}" in refused.stderr
    assert somebody.rows("ls", "train") == before


def test_only_an_administrator_makes_a_registry(seaweedfs_server: SeaweedFS, tmp_path: Path) -> None:
    bucket = seaweedfs_server.create_bucket()
    where = parse_place(f"s3://{bucket}/prod")
    users = {name: add_user(seaweedfs_server.admin, policy(where, ROLES[name])) for name in NAMES}
    empty = Place(bucket, users, tmp_path)
    for name, code in (("collector", 12), ("administrator", 0)):
        somebody = empty.as_(name)
        make_run(somebody.root / "run", FILES)
        said = somebody.run("publish", str(somebody.root / "run"), "--experiment", "train", check=code)
        assert ("the role administrator has" in said.stderr) == bool(code)


def test_a_collector_deletes_what_nobody_needs_and_a_publisher_never(place: Place) -> None:
    collector = place.as_("collector")
    for folder, finished in (("doomed", 1_700_000_000), ("another", 1_700_000_060)):
        make_run(collector.root / folder, {"large.bin": folder.encode() * 1000})
        for file in (collector.root / folder).iterdir():
            os.utime(file, (finished, finished))
        collector.run("publish", str(collector.root / folder), "--experiment", "doomed")
    run = next(run["run_id"] for run in collector.rows("ls", "doomed") if run["name"] == "doomed")
    collector.run("retire", f"doomed/{run}", "--why", "trying")
    place.as_("publisher").run("gc", "--grace", "0", "--max-delete-ratio", "100%", check=12)
    with place.users["administrator"].client() as client:
        before = keys(client, place.bucket, "prod/store/")
        collector.run("gc", "--grace", "0", "--max-delete-ratio", "100%")
        after = keys(client, place.bucket, "prod/store/")
    assert after < before
    collector.run("verify", "train@latest")


def keys(client: Any, bucket: str, prefix: str) -> set[str]:  # noqa: ANN401 - boto's
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"] for page in pages for item in page.get("Contents", ()) if not item["Key"].endswith("/")}


@pytest.mark.parametrize(
    "missing", ["attempts/*/outcome.json", "experiments/*/index/pending/*", "store/packs/sha256/*"]
)
def test_credentials_that_end_half_way_show_nothing_half_done_and_the_right_ones_finish(
    seaweedfs_server: SeaweedFS, tmp_path: Path, missing: str
) -> None:
    bucket = seaweedfs_server.create_bucket()
    where = parse_place(f"s3://{bucket}/prod")
    publisher = ROLES["publisher"]
    less = publisher._replace(writes=tuple(key for key in publisher.writes if key != missing))
    users = {
        "administrator": add_user(seaweedfs_server.admin, policy(where, ROLES["administrator"])),
        "publisher": add_user(seaweedfs_server.admin, policy(where, less)),
    }
    made = Place(bucket, users, tmp_path)
    administrator, somebody = made.as_("administrator"), made.as_("publisher")
    make_run(administrator.root / "first", {"first": b"first"})
    administrator.run("publish", str(administrator.root / "first"), "--experiment", "train")
    make_run(Path(somebody.watch["path"]) / "run-1", FILES)
    refused = somebody.run("scan", "--once", check=None)
    assert refused.returncode != 0
    assert "which the role" in refused.stderr
    for run in administrator.rows("ls", "train"):
        administrator.run("verify", f"train/{run['run_id']}")
    users["publisher"] = add_user(seaweedfs_server.admin, policy(where, publisher))
    again = made.as_("publisher")
    again.run("scan", "--once")
    assert "run-1" in {run["name"] for run in administrator.rows("ls", "train")}
    administrator.run("verify", "train@latest")


def test_records_that_are_never_written_again_are_only_created_on_that_condition(place: Place) -> None:
    with Heads(*address_of(place.users["administrator"].endpoint_url)) as heads:
        somebody = place.as_("administrator", heads.url)
        make_run(somebody.root / "watched", {**FILES, "metrics.json": b"watched"})
        somebody.run("publish", str(somebody.root / "watched"), "--experiment", "watched")
        somebody.run("promote", "watched@latest", "best")
        somebody.run("pin", "watched@latest", "--why", "trying")
        somebody.run("unpin", "watched@latest", "--why", "trying")
        somebody.run("gc", "--grace", "0", "--max-delete-ratio", "100%")
        head = re.compile(rb"PUT /([^ ?]+)(?:\?\S*)? HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
        puts = [found for sent in heads.sent for found in head.findall(bytes(sent))]
    once = 0
    for path, headers in puts:
        key = path.decode().removeprefix(f"{place.bucket}/prod/")
        if any(fits(pattern, key) for pattern in WRITE_ONCE):
            assert b"if-none-match: *" in headers.lower(), key
            once += 1
    assert once > 10


def test_the_policies_that_come_with_the_project_are_the_ones_that_are_printed() -> None:
    folder = Path(__file__).parents[2] / "deploy" / "policies"
    assert {path.stem for path in folder.iterdir()} == set(NAMES)
    for name in NAMES:
        made = policy(parse_place("s3://BUCKET/PREFIX"), ROLES[name])
        assert json.loads((folder / f"{name}.json").read_text()) == made
