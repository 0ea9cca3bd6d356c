"""Roles are asked of real brokers, and what they answer agrees with what the client library can see."""

from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.cluster.endpoints import Endpoints
from bench.cluster.ports import HOST, Ports
from bench.nemesis.asking import GROUP, TRANSACTION, Address, NoAnswer, coordinator, partitions, quorum_leader
from bench.nemesis.roles import addresses, are_in_sync, first_answer, up
from bench.waiting import wait_until

ANSWER_S = 5.0


def test_every_broker_names_the_same_active_controller(three_brokers: Endpoints) -> None:
    leaders = {quorum_leader(each, timeout_s=ANSWER_S) for each in addresses(three_brokers).values()}
    assert len(leaders) == 1
    assert leaders <= {1, 2, 3}


def test_the_coordinator_of_a_group_is_the_one_that_the_client_library_finds(
    three_brokers: Endpoints, prefix: str
) -> None:
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap})
    admin.create_topics([NewTopic(f"{prefix}t", 1, 3)])[f"{prefix}t"].result(30)
    member = Consumer({"bootstrap.servers": three_brokers.bootstrap, "group.id": f"{prefix}g"})
    member.subscribe([f"{prefix}t"])
    wait_until(lambda: member.poll(0.1) or member.assignment(), deadline_s=30, why="the group to be there")
    described = admin.describe_consumer_groups([f"{prefix}g"])[f"{prefix}g"].result(30)
    member.close()
    asked = first_answer(three_brokers, lambda each: coordinator(each, f"{prefix}g", kind=GROUP, timeout_s=ANSWER_S))
    assert asked == described.coordinator.id


def test_the_coordinator_of_a_transactional_id_leads_a_partition_of_their_log(
    three_brokers: Endpoints, prefix: str
) -> None:
    producer = Producer({"bootstrap.servers": three_brokers.bootstrap, "transactional.id": f"{prefix}id"})
    producer.init_transactions(30)
    broker = next(iter(addresses(three_brokers).values()))
    asked = coordinator(broker, f"{prefix}id", kind=TRANSACTION, timeout_s=ANSWER_S)
    # The absolute value of Java's hashCode of the id modulo the log's partitions (TransactionStateManager).
    code = 0
    for letter in f"{prefix}id":
        code = (31 * code + ord(letter)) & 0xFFFFFFFF
    log = {one.partition: one.leader for one in partitions(broker, timeout_s=ANSWER_S) if one.topic == TRANSACTIONS}
    assert asked == log[min(code, 2**32 - code) % len(log)]


TRANSACTIONS = "__transaction_state"


def test_leaders_and_epochs_are_those_of_the_metadata(three_brokers: Endpoints, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap})
    admin.create_topics([NewTopic(f"{prefix}led", 3, 3)])[f"{prefix}led"].result(30)
    broker = next(iter(addresses(three_brokers).values()))

    def known() -> dict[int, int]:
        found = [one for one in partitions(broker, timeout_s=ANSWER_S) if one.topic == f"{prefix}led"]
        assert all(one.epoch >= 0 for one in found)
        return {one.partition: one.leader for one in found if len(one.in_sync) == 3}

    wait_until(lambda: len(known()) == 3, deadline_s=30, why="the topic to be known to all")
    metadata = admin.list_topics(f"{prefix}led", timeout=10).topics[f"{prefix}led"]
    assert known() == {number: each.leader for number, each in metadata.partitions.items()}


def test_brokers_that_all_run_are_in_sync(three_brokers: Endpoints) -> None:
    assert up(three_brokers) == ["broker-1", "broker-2", "broker-3"]
    wait_until(lambda: are_in_sync(up(three_brokers), three_brokers), deadline_s=30, why="all to be in sync")


def test_a_broker_that_is_not_there_gives_no_answer() -> None:
    with closing(Ports()) as ports:
        (port,) = ports.free(1)
        with pytest.raises(NoAnswer, match=f"{HOST}:{port} does not answer"):
            quorum_leader(Address(HOST, port), timeout_s=0.2)
