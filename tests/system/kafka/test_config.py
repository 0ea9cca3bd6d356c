"""What a group protocol makes of a member's properties."""

import pytest

from system.kafka.config import GROUP_PROTOCOLS, Value, member


def properties(protocol: str) -> dict[str, Value]:
    return member({}, client_id="r-pay-0", group="r-pay", session_timeout_ms=6000, protocol=protocol)


@pytest.mark.parametrize("protocol", list(GROUP_PROTOCOLS))
def test_offsets_are_the_workers_under_every_protocol(protocol: str) -> None:
    found = properties(protocol)
    assert (found["enable.auto.commit"], found["enable.auto.offset.store"]) == (False, False)
    assert found["group.protocol"] == ("consumer" if protocol == "kip-848" else "classic")


def test_under_kip_848_the_client_says_nothing_that_the_broker_says() -> None:
    refused = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"}
    assert not refused & properties("kip-848").keys()


def test_only_a_static_member_has_a_name_of_its_own_in_the_group() -> None:
    named = {protocol for protocol in GROUP_PROTOCOLS if "group.instance.id" in properties(protocol)}
    assert named == {"static"}
    assert properties("static")["group.instance.id"] == "r-pay-0"


def test_eager_members_give_up_everything() -> None:
    assigned = {protocol: properties(protocol).get("partition.assignment.strategy") for protocol in GROUP_PROTOCOLS}
    cooperative = "cooperative-sticky"
    assert assigned == {"eager": "range", "cooperative-sticky": cooperative, "static": cooperative, "kip-848": None}
