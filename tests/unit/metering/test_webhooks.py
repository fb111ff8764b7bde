"""The signature of a webhook, and how long it is waited for an acknowledgement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from kat_metering.alerts import BudgetSpent, wait_after
from kat_metering.webhooks import signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_headers_are_those_of_the_specifications_example() -> None:
    headers = signed_headers(
        SECRET,
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        body=b'{"test": 2432232314}',
        at=datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("changed", [{"message_id": "b"}, {"body": b"}"}, {"at": datetime.fromtimestamp(1, UTC)}])
def test_whatever_is_changed_changes_the_signature(changed: dict[str, object]) -> None:
    message: dict[str, object] = {"message_id": "a", "body": b"{", "at": datetime.fromtimestamp(0, UTC)}
    signed, other = (signed_headers(SECRET, **each) for each in (message, {**message, **changed}))  # type: ignore[arg-type] # a table of arguments
    assert signed["webhook-signature"] != other["webhook-signature"]


def test_the_waits_grow_from_seconds_to_hours_and_no_further() -> None:
    waits = [wait_after(attempts) for attempts in range(1, 40)]
    assert waits[0] == timedelta(seconds=5)
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert waits[-1] == timedelta(hours=6)


@pytest.mark.parametrize(
    ("spent", "reached"),
    [("0", []), ("49.999999", []), ("50", [50]), ("79.99", [50]), ("80", [50, 80]), ("100", [50, 80, 100])],
)
def test_a_share_is_reached_to_the_last_digit(spent: str, reached: list[int]) -> None:
    assert list(BudgetSpent("acme", None, monthly=Decimal(100), spent=Decimal(spent)).reached()) == reached
