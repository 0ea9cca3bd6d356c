"""Which brokers a role means at this moment: asked of those that run, when the fault strikes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import psutil

from bench.cluster.endpoints import Endpoints
from bench.nemesis.asking import GROUP, TRANSACTION, Address, Led, NoAnswer, coordinator, partitions, quorum_leader
from bench.nemesis.kinds import CLUSTER, MAJORITY
from bench.spec import RunSpec

ANSWER_S: Final = 0.3
BROKER: Final = "broker-"

Answer = TypeVar("Answer")


def brokers_of(role: str, spec: RunSpec, endpoints: Endpoints) -> list[str]:
    """The brokers (`broker-1` …) that `role` means now. Raises `NoAnswer`: none of them runs, or nobody knows."""
    running = up(endpoints)
    if role == CLUSTER:
        return running
    if role == MAJORITY:
        # The leader of the busiest partition is among them; which other one is chance.
        first = _found("leader", spec, endpoints)
        return [first, *(name for name in running if name != first)][: len(addresses(endpoints)) // 2 + 1]
    name = role if role.startswith(BROKER) else _found(role, spec, endpoints)
    if name not in running:
        raise NoAnswer(f"{name} is not running")
    return [name]


def _found(role: str, spec: RunSpec, endpoints: Endpoints) -> str:
    """The broker that is what the role says. The busiest topic's group, and the transactional id of its first member,
    stand for all.
    """
    topic = spec.prefix + spec.described().busiest_topic
    group = next(group for group, topics in spec.groups().items() if topic in topics)
    ask: Mapping[str, Callable[[Address], int]] = {
        "leader": lambda broker: _leader(broker, topic),
        "controller": lambda broker: quorum_leader(broker, timeout_s=ANSWER_S),
        "group-coordinator": lambda broker: coordinator(broker, group, kind=GROUP, timeout_s=ANSWER_S),
        "transaction-coordinator": lambda broker: coordinator(
            broker, f"{group}-0", kind=TRANSACTION, timeout_s=ANSWER_S
        ),
    }
    return f"{BROKER}{first_answer(endpoints, ask[role])}"


def _leader(broker: Address, topic: str) -> int:
    for led in partitions(broker, timeout_s=ANSWER_S):
        if (led.topic, led.partition) == (topic, 0) and led.leader >= 0:
            return led.leader
    raise NoAnswer(f"{topic}[0] has no leader")


def first_answer(endpoints: Endpoints, ask: Callable[[Address], Answer]) -> Answer:
    """What the first of the running brokers that knows it says. Raises `NoAnswer` with the last one's reason."""
    reason = "no broker is running"
    for name in up(endpoints):
        try:
            return ask(addresses(endpoints)[name])
        except NoAnswer as error:
            reason = str(error)
    raise NoAnswer(reason)


def addresses(endpoints: Endpoints) -> dict[str, Address]:
    """Where each broker of ours listens; `bootstrap` names them in their order."""
    names = [name for name in endpoints.roster.names() if name.startswith(BROKER)]
    places = [place.rpartition(":") for place in endpoints.bootstrap.split(",")]
    return {name: Address(host, int(port)) for name, (host, _, port) in zip(names, places, strict=True)}


def up(endpoints: Endpoints) -> list[str]:
    """The brokers that run and are not stopped."""
    return [name for name in addresses(endpoints) if _is_up(endpoints, name)]


def _is_up(endpoints: Endpoints, name: str) -> bool:
    process = endpoints.roster.of(name)
    if process.poll() is not None:
        return False
    return bool(psutil.Process(process.pid).status() != psutil.STATUS_STOPPED)


def hit_by(names: Sequence[str], spec: RunSpec, endpoints: Endpoints) -> dict[str, Any]:
    """What `fault-struck` says of brokers that are about to be hit: processes, pids, and what of the run they lead,
    each partition with the epoch of its leader.
    """
    led: dict[str, list[list[int]]] = {}
    for each in first_answer(endpoints, lambda broker: partitions(broker, timeout_s=ANSWER_S)):
        if f"{BROKER}{each.leader}" in names and each.topic.startswith(spec.prefix):
            led.setdefault(each.topic, []).append([each.partition, each.epoch])
    pids = {name: endpoints.roster.of(name).pid for name in names}
    return {"processes": list(names), "pids": pids, "partitions": _numbers(led), "epochs": led}


def _numbers(led: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, list[int]]:
    return {topic: [partition for partition, _epoch in pairs] for topic, pairs in led.items()}


def are_in_sync(names: Sequence[str], endpoints: Endpoints) -> bool:
    """Whether each of these brokers runs and holds every partition up to date, as every broker that runs says."""
    running = up(endpoints)
    if not set(names) <= set(running):
        return False
    where = addresses(endpoints)
    wanted = {int(name.removeprefix(BROKER)) for name in names}
    try:
        return all(_complete(partitions(where[name], timeout_s=ANSWER_S), wanted) for name in running)
    except NoAnswer:
        return False


def _complete(known: Sequence[Led], wanted: set[int]) -> bool:
    return bool(known) and all(wanted <= set(each.in_sync) and each.leader >= 0 for each in known)
