"""Policies of S3 for the roles, and advice for whoever lacks one. `tests/e2e/test_roles.py` asks a server of them."""

from __future__ import annotations

from typing import Any

import pytest

from sealrun.adapters.stores.s3_address import parse_place
from sealrun.adapters.stores.s3_clients import _NEEDED
from sealrun.adapters.stores.s3_policies import _REQUESTS, advice, policy
from sealrun.domain.address import AttemptId, intent_key, is_discardable
from sealrun.domain.curation.roles import (
    ADMINISTRATOR,
    COLLECTOR,
    PUBLISHER,
    READER,
    ROLES,
    Right,
    Role,
    fits,
    least_role,
)

PREFIXED, WHOLE = parse_place("s3://bucket/team/prod"), parse_place("s3://bucket")
POINT = parse_place("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/runs/prod")


def statements(made: dict[str, Any]) -> dict[str, Any]:
    return {statement["Sid"]: statement for statement in made["Statement"]}


def test_every_request_that_is_made_is_known() -> None:
    spelled = {"".join(word.capitalize() for word in name.split("_")) for name in _REQUESTS}
    assert spelled == _NEEDED.keys()


@pytest.mark.parametrize("role", ROLES.values(), ids=lambda role: role.name)
def test_every_resource_lies_below_the_prefix(role: Role) -> None:
    for statement in policy(PREFIXED, role, write_once=True)["Statement"]:
        for resource in statement["Resource"]:
            assert resource.startswith("arn:aws:s3:::bucket/team/prod/") or resource == "arn:aws:s3:::bucket"
            assert resource != "arn:aws:s3:::bucket" or statement["Action"][0].startswith("s3:ListBucket")


def test_a_bucket_of_its_own_needs_no_condition() -> None:
    assert all("Condition" not in statement for statement in policy(WHOLE, COLLECTOR)["Statement"])
    conditions = [each.get("Condition") for each in policy(PREFIXED, READER)["Statement"]]
    assert {"StringLike": {"s3:prefix": ["team/prod/*"]}} in conditions


def test_an_access_point_is_named_as_such() -> None:
    made = statements(policy(POINT, PUBLISHER))
    assert made["Read"]["Resource"] == ["arn:aws:s3:eu-west-1:123456789012:accesspoint/runs/object/prod/*"]
    assert made["List"]["Resource"] == ["arn:aws:s3:eu-west-1:123456789012:accesspoint/runs"]


def test_write_once_is_forbidden_to_break_only_when_asked_for() -> None:
    assert "WriteOnce" not in statements(policy(PREFIXED, PUBLISHER))
    assert "WriteOnce" not in statements(policy(PREFIXED, READER, write_once=True))
    once = statements(policy(PREFIXED, PUBLISHER, write_once=True))["WriteOnce"]
    assert once["Effect"] == "Deny"
    assert once["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert "arn:aws:s3:::bucket/team/prod/store/objects/sha256/*" not in once["Resource"]


def test_each_role_may_do_what_the_one_before_it_may() -> None:
    for less, more in ((READER, PUBLISHER), (PUBLISHER, COLLECTOR)):
        assert set(less.writes) <= set(more.writes)
        assert set(less.deletes) <= set(more.deletes)
    assert ADMINISTRATOR.permits(Right.WRITE, "anything")
    assert ADMINISTRATOR.permits(Right.DELETE, "anything")


def test_a_publisher_deletes_exactly_what_the_store_lets_it_discard() -> None:
    attempt = AttemptId("20260117T150000Z-eca937c92024f10d")
    for key in (intent_key(attempt), f"experiments/e/index/pending/{attempt}.json", "probe/a/b"):
        assert is_discardable(key)
        assert PUBLISHER.permits(Right.DELETE, key)
    for key in ("registry.json", f"attempts/{attempt}/outcome.json", "store/objects/sha256/a", "latest/x"):
        assert not is_discardable(key)
        assert not PUBLISHER.permits(Right.DELETE, key)


@pytest.mark.parametrize(
    ("operation", "parameters", "action", "role"),
    [
        ("head_object", {"Key": "team/prod/registry.json"}, "s3:GetObject", "reader"),
        ("list_objects_v2", {"Prefix": "team/prod/"}, "s3:ListBucket", "reader"),
        ("put_object", {"Key": "team/prod/latest/x"}, "s3:PutObject", "publisher"),
        ("put_object", {"Key": "team/prod/gc/condemned/x.json"}, "s3:PutObject", "collector"),
        ("put_object", {"Key": "team/prod/registry.json"}, "s3:PutObject", "administrator"),
        ("delete_object", {"Key": "team/prod/probe/x"}, "s3:DeleteObject", "publisher"),
        (
            "delete_objects",
            {"Delete": {"Objects": [{"Key": "team/prod/store/packs/sha256/x"}]}},
            "s3:DeleteObject",
            "collector",
        ),
        ("list_multipart_uploads", {"Prefix": "team/prod/"}, "s3:ListBucketMultipartUploads", "collector"),
    ],
)
def test_the_advice_names_the_permission_and_the_least_role_that_has_it(
    operation: str, parameters: dict[str, Any], action: str, role: str
) -> None:
    said = advice(PREFIXED, operation, parameters)
    assert f"do not permit {action} here, which the role {role} has" in said
    assert said.endswith(f"sealrun policy --role {role} --url s3://bucket/team/prod")


def test_a_star_stands_for_any_text_and_everything_else_for_itself() -> None:
    assert fits("a/*/c.json", "a/b/b/c.json")
    assert fits("*", "")
    assert not fits("a/*.json", "a/bxjson")
    assert not fits("a*", "ba")
    assert least_role(Right.WRITE, "experiments/e/pins/r/p.json") is ADMINISTRATOR
