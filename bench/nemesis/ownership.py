"""Who owns which partition at this moment, from the events that the workers have written: no broker is asked, as it may
be the one that is away.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from bench.provision import owners
from bench.spec import RunSpec

Held = dict[str, list[int]]
"""Full topic name → partitions."""


def held_partitions(spec: RunSpec, process: str) -> Held:
    """What the newest life of a process was assigned and has not been told to give up."""
    held: Held = {}
    lives = _lives(spec, process)
    for topic, number in sorted(owners(list(_events(lives[-1]))).get(process, ())) if lives else ():
        held.setdefault(topic, []).append(number)
    return held


def lives_of(spec: RunSpec, process: str) -> int:
    """How many lives of a process have begun to write."""
    return len(_lives(spec, process))


def owner_of(spec: RunSpec) -> str | None:
    """The worker that owns partition 0 of the scenario's busiest topic; None where nobody does."""
    topic = spec.prefix + spec.described().busiest_topic
    group = next(group.removeprefix(spec.prefix) for group, topics in spec.groups().items() if topic in topics)
    files = (spec.path / "raw" / "events").glob(f"{group}-*~*.jsonl")
    for process in sorted({path.name.partition("~")[0] for path in files}):
        if 0 in held_partitions(spec, process).get(topic, ()):
            return process
    return None


def _lives(spec: RunSpec, process: str) -> list[Path]:
    return sorted((spec.path / "raw" / "events").glob(f"{process}~*.jsonl"))


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    """The events of one life, whole lines alone: its last one may be on the way."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        yield orjson.loads(line)
