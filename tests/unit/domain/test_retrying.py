from __future__ import annotations

import pytest

from sealrun.domain import errors
from sealrun.domain.registry.retrying import BASE_S, CAP_S, Response, next_delay, plan_response

ASKED_FOR = {
    errors.UnavailableError: Response.WAIT,
    errors.OutcomeUnknownError: Response.WAIT,
    errors.NoSpaceError: Response.MAKE_ROOM,
    errors.AccessDeniedError: Response.MEND_ACCESS,
    errors.ConfigurationError: Response.MEND_ACCESS,
    errors.UnsafeStoreError: Response.MEND_ACCESS,
    errors.NoRegistryError: Response.MEND_ACCESS,
    errors.ConflictError: Response.NEW_ATTEMPT,
    errors.RunChangedError: Response.SETTLE_AGAIN,
    errors.RunRejectedError: Response.SETTLE_AGAIN,
    errors.DigestMismatchError: Response.PARK,
    errors.UnsupportedFormatError: Response.PARK,
    errors.IntegrityError: Response.PARK,
    errors.UsageError: Response.PARK,
    errors.NotFoundError: Response.TRY_AGAIN,
    errors.HeldError: Response.TRY_AGAIN,
    errors.StorageError: Response.TRY_AGAIN,
    ValueError: Response.TRY_AGAIN,
}


def test_the_longest_delay_doubles_up_to_five_minutes() -> None:
    assert [next_delay(tries, 1.0) for tries in (1, 2, 3, 9)] == [BASE_S, 2, 4, 256]
    assert {next_delay(tries, 1.0) for tries in (10, 11, 1_000_000)} == {CAP_S}
    assert CAP_S == 300


def test_delays_are_spread_over_the_whole_range_but_never_nothing() -> None:
    assert next_delay(8, 0.5) == next_delay(8, 1.0) / 2
    assert next_delay(8, 0.0) > 0


@pytest.mark.parametrize(("error", "response"), ASKED_FOR.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_every_error_has_its_response(error: type[Exception], response: Response) -> None:
    assert plan_response(error("why")) is response
