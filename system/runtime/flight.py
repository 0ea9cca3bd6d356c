"""The batch that a worker has in hand between two polls, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from system.kafka.batch import Batch, Outgoing, Raw, Span
from system.runtime.decoding import DeadLetter, decode
from system.runtime.observer import Times
from system.runtime.pending import PendingChange
from system.runtime.service import Service


@dataclass(slots=True)
class Flight:
    """As polled (`raws`), as decoded (`batches`, `letters`), what it says (`outgoing`), what it opened and closed
    (`change`), its Kafka transaction and its times.
    """

    raws: list[Raw] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    change: PendingChange | None = None
    transaction: str | None = None
    times: Times = Times()  # noqa: RUF009 - an immutable tuple

    def spans(self) -> list[Span]:
        """The part of each partition."""
        return [span for raw in self.raws for span in raw.spans()]

    def taken_letters(self) -> list[DeadLetter]:
        """The dead letters, once: a batch that is produced again has told them already."""
        letters, self.letters = self.letters, []
        return letters

    def positions(self) -> dict[int, int]:
        """Partition → the offset behind the batch, of a service that reads one topic."""
        return {span.partition: span.last_offset + 1 for span in self.spans()}


def taken(raws: Sequence[Raw], service: Service, *, prefix: str, polled_ns: int) -> Flight:
    """What was polled, decoded; what does not decode or fails its schema is a dead letter."""
    flight = Flight(list(raws), times=Times(polled_ns=polled_ns))
    for raw in raws:
        check = service.check[raw.topic.removeprefix(prefix)]
        batch, letters = decode(raw, decode_key=service.decode_key, check=check)
        flight.letters += letters
        if len(batch):
            flight.batches.append(batch)
    return flight
