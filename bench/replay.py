"""Replay from zero: the groups are reset to the earliest offset and the services run again over the whole log.

Under a guarantee with an inbox no table may change: whatever is done twice shows as a difference between `tables/` and
`tables-replayed/`.
"""

from collections.abc import Callable
from functools import partial

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from bench.cluster.process import Process
from bench.cluster.shield import shield
from bench.recording import tables
from bench.recording.positions import admin_client
from bench.recording.quiescence import await_quiescence
from bench.spec import RunSpec
from bench.waiting import wait_until
from system.runtime.observer import NullObserver, Observer
from system.runtime.supervisor import Supervisor

REQUEST_S = 30.0


def replay(spec: RunSpec, start: Callable[[str, str, int], Process], observer: Observer) -> None:
    """Runs the services once more over everything and dumps the tables. Raises `DeadlineExceeded`."""
    reset(spec)
    observer.event("replay-began")
    # A life of its own, so that no armed crash strikes again.
    supervisor = Supervisor(
        spec.worker_names(), lambda name, life: start("replayer", name, life + 1000), NullObserver()
    )
    try:
        deadline_s = spec.drain_deadline_s + spec.operations / 1000
        await_quiescence(spec.connection, spec.groups(), deadline_s=deadline_s, also=spec.nothing_to_relay)
    finally:
        with shield():
            supervisor.stop()
    tables.dump_tables(spec.dsn, spec.prefix, None, spec.path / "tables-replayed")
    observer.event("replay-ended")


def reset(spec: RunSpec) -> None:
    """Every group back to offset 0. Only a group without members can be reset: a member leaves when it closes."""
    admin = admin_client(spec.connection)
    for group, names in spec.groups().items():
        zero = [TopicPartition(topic, number, 0) for topic in names for number in range(spec.partitions)]

        wanted = ConsumerGroupTopicPartitions(group, zero)
        wait_until(
            partial(_is_reset, admin, wanted), deadline_s=REQUEST_S, why=f"group {group} to be reset", poll_s=0.2
        )


def _is_reset(admin: AdminClient, wanted: ConsumerGroupTopicPartitions) -> bool:
    answer = admin.alter_consumer_group_offsets([wanted], request_timeout=REQUEST_S)
    return next(iter(answer.values())).exception(REQUEST_S) is None
