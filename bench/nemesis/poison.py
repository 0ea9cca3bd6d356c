"""Records that no consumer can decode, written into the topics that a service reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from bench.nemesis.plan import Fault
from bench.nemesis.site import Missed, Site, Wound
from system.kafka.config import producer

MALFORMED: Final = (b"\xff\xfe not text", b'["pay"', b'{"what": 1}', b"[]", None, b"")
DEADLINE_S: Final = 10.0


@dataclass(slots=True)
class _Letters:
    """What was sent, and where the broker says that it stands."""

    producer: Producer
    planned: int
    offsets: dict[str, list[list[int]]] = field(default_factory=dict)

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            place = [int(message.partition() or 0), int(message.offset() or 0)]
            self.offsets.setdefault(str(message.topic()), []).append(place)

    def bites(self) -> Mapping[str, Any] | None:
        self.producer.poll(0)
        there = sum(map(len, self.offsets.values()))
        return {"records": self.offsets} if there == self.planned else None

    def healed(self) -> bool:
        """They stay where they are; all that has to end is their delivery."""
        self.producer.poll(0)
        return len(self.producer) == 0


def poison(fault: Fault, site: Site) -> Wound | Missed:
    """Every malformation once into every topic that the service reads, spread over its partitions."""
    spec = site.spec
    topics = spec.groups()[spec.prefix + fault.role]
    # What librdkafka says of a broker that goes belongs to the broker's own fault, not on the user's terminal.
    properties = {**producer(spec.connection, client_id=f"{spec.prefix}nemesis"), "log_level": 0}
    letters = _Letters(Producer(properties), planned=len(topics) * len(MALFORMED))
    for topic in topics:
        for number, value in enumerate(MALFORMED):
            letters.producer.produce(
                topic,
                key=f"nemesis-{number}",
                value=value,
                partition=number % spec.partitions,
                on_delivery=letters.delivered,
            )
    return Wound({"processes": []}, healed=letters.healed, bites=letters.bites)
