"""What a way to take part in a group makes of a member's properties."""

import pytest

from system.kafka.config import ASSIGNORS, Membership, Value, member, reader

EVERY = [
    Membership(protocol, assignor, static)
    for protocol, assignors in ASSIGNORS.items()
    for assignor in assignors
    for static in (False, True)
]


def properties(how: Membership) -> dict[str, Value]:
    return member({}, client_id="r-pay-0", group="r-pay", session_timeout_ms=6000, how=how)


@pytest.mark.parametrize("how", EVERY, ids=str)
def test_offsets_are_the_workers_and_only_a_static_member_has_a_name_of_its_own(how: Membership) -> None:
    found = properties(how)
    assert (found["enable.auto.commit"], found["enable.auto.offset.store"]) == (False, False)
    assert found["group.protocol"] == how.protocol
    assert found.get("group.instance.id") == ("r-pay-0" if how.static else None)


@pytest.mark.parametrize("assignor", ASSIGNORS["consumer"])
def test_under_kip_848_the_client_says_nothing_that_the_broker_says(assignor: str) -> None:
    found = properties(Membership("consumer", assignor))
    refused = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"}
    assert not refused & found.keys()
    assert found["group.remote.assignor"] == assignor


def test_eager_members_give_up_everything() -> None:
    assert {how.assignor for how in EVERY if how.is_eager} == {"range", "roundrobin"}
    assert {how.protocol for how in EVERY if how.is_eager} == {"classic"}


def test_a_fetch_over_many_partitions_waits_longer() -> None:
    waits = [reader({}, client_id="t", partitions=count)["fetch.wait.max.ms"] for count in (1, 64, 900)]
    assert waits == [6, 16, 156]
    grouped = member({}, client_id="t", group="g", session_timeout_ms=6000, partitions=900)
    assert grouped["fetch.wait.max.ms"] == 156
