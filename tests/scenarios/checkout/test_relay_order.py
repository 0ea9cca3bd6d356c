"""Under `outbox` the replies of a partition stand in the order of its requests, on recordings of a few orders."""

from pathlib import Path

import orjson
import pytest

from bench.scenarios.checkout.invariants.relay import replies_follow_requests
from tests.verifiers.legal_history import History, legal_history
from tests.verifiers.run_folder import write
from verifiers.checker import Finding
from verifiers.recording import open_recording

SERVICES = {"Pay-topic": ("psuccess", "pfail", "canok"), "Stock-topic": ("ssuccess", "sfail", "incok")}
UNDOES = ("can", "increment", "canok", "incok")


def kind(value: bytes) -> str:
    return str(orjson.loads(value)[0])


def places(history: History, service: str) -> list[int]:
    """Where the replies of a service stand in the one partition of the outcomes."""
    replies = enumerate(history.topics["Outcomes-topic"])
    return [place for place, row in replies if kind(row["value"]) in SERVICES[service]]


def relayed(orders: int) -> History:
    """A legal history whose replies were relayed: those of a service take their places in the order of its requests."""
    history = legal_history(orders, partitions=1)
    replies = history.topics["Outcomes-topic"]
    for service in SERVICES:
        asked = [(row["key"], kind(row["value"]) in UNDOES) for row in history.topics[service]]
        taken = places(history, service)
        said = {(replies[at]["key"], kind(replies[at]["value"]) in UNDOES): replies[at] for at in taken}
        for at, request in zip(taken, asked, strict=True):
            replies[at] = said[request]
    return history


def judged(history: History, folder: Path, *, guarantee: str = "outbox") -> Finding:
    recording = open_recording(write(history, folder / "run", guarantee=guarantee))
    try:
        return replies_follow_requests(recording)
    finally:
        recording.close()


def test_replies_in_the_order_of_their_requests_are_legal(tmp_path: Path) -> None:
    finding = judged(relayed(40), tmp_path)
    assert finding.counts == {}
    assert finding.examined["relayed replies"] > 80


def test_a_repeated_reply_behind_later_ones_is_no_disorder(tmp_path: Path) -> None:
    history = relayed(40)
    history.topics["Outcomes-topic"].append(dict(history.topics["Outcomes-topic"][0]))
    assert judged(history, tmp_path).counts == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_reply_before_that_to_an_earlier_request_is_named(tmp_path: Path, service: str) -> None:
    history = relayed(40)
    replies = history.topics["Outcomes-topic"]
    first, second = places(history, service)[3:5]
    replies[first], replies[second] = replies[second], replies[first]
    finding = judged(history, tmp_path)
    assert finding.counts == {"relay-reorder": 1}
    assert finding.anomalies[0].entity == replies[first]["key"].decode()


def test_no_other_guarantee_promises_an_order(tmp_path: Path) -> None:
    history = relayed(10)
    history.topics["Outcomes-topic"].reverse()
    assert judged(history, tmp_path, guarantee="idempotent") == Finding({})
