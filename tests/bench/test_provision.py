"""Who owns which partition follows from what the workers said, in order."""

from typing import Any

from bench.provision import owners


def said(process: str, event: str, *partitions: int) -> dict[str, Any]:
    return {"process": process, "event": event, "topic": "t", "partitions": list(partitions)}


def test_what_was_assigned_and_not_taken_away_is_owned() -> None:
    events: list[dict[str, Any]] = [
        said("pay-0", "partitions-assigned", 0, 1, 2, 3),
        {"process": "pay-0", "event": "process-ready"},
        said("pay-0", "partitions-revoked", 2, 3),
        said("pay-1", "partitions-assigned", 2, 3),
    ]
    assert owners(events) == {"pay-0": {("t", 0), ("t", 1)}, "pay-1": {("t", 2), ("t", 3)}}


def test_a_worker_that_lost_everything_owns_nothing() -> None:
    assert owners([said("pay-0", "partitions-assigned", 0), said("pay-0", "partitions-lost", 0)]) == {}


def test_no_event_is_no_owner() -> None:
    assert owners([]) == {}
