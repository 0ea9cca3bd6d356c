"""Who owns which partition at this moment, from the events that the workers have written: no broker is asked, as it may
be the one that is away.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from bench.spec import RunSpec

Held = dict[str, list[int]]
"""Full topic name → partitions."""


def held_partitions(spec: RunSpec, process: str) -> Held:
    """What the newest life of a process was assigned and has not been told to give up."""
    held: dict[str, set[int]] = {}
    for event in _events(spec, process):
        partitions = set(event.get("partitions") or ())
        if event["event"] == "partitions-assigned":
            held.setdefault(event["topic"], set()).update(partitions)
        elif event["event"] in ("partitions-revoked", "partitions-lost"):
            held.setdefault(event["topic"], set()).difference_update(partitions)
    return {topic: sorted(numbers) for topic, numbers in held.items() if numbers}


def owner_of(spec: RunSpec) -> str | None:
    """The worker that owns partition 0 of the scenario's busiest topic; None where nobody does."""
    topic = spec.prefix + spec.described().busiest_topic
    group = next(group.removeprefix(spec.prefix) for group, topics in spec.groups().items() if topic in topics)
    files = (spec.path / "raw" / "events").glob(f"{group}-*~*.jsonl")
    for process in sorted({path.name.partition("~")[0] for path in files}):
        if 0 in held_partitions(spec, process).get(topic, ()):
            return process
    return None


def _events(spec: RunSpec, process: str) -> Iterator[Mapping[str, Any]]:
    """The events of the newest life, whole lines alone: its last one may be on the way."""
    lives = sorted((spec.path / "raw" / "events").glob(f"{process}~*.jsonl"))
    if lives:
        for line in lives[-1].read_bytes().split(b"\n")[:-1]:
            yield orjson.loads(line)
