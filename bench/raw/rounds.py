"""The rounds of a cell: A B C, A B C, …, so that a slow minute of the machine is everybody's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.raw import machine, ours
from bench.raw.contenders import Contender
from bench.raw.payloads import Payloads
from bench.raw.plan import Cell
from bench.raw.site import Sample, Site, Stand, stand

WARM_UP_ROUNDS: Final = 4

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a contender answered, a sample a round."""

    contender: Contender
    samples: list[Sample] = field(default_factory=list)

    def figures(self) -> list[float]:
        """The figures by round."""
        return [sample.figure for sample in self.samples]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a cell is: rounds, and the records (or trips) of a measurement."""

    rounds: int
    records: int


def measure(site: Site, cell: Cell, who: Sequence[Contender], size: Size, *, seed: int, tell: Tell) -> list[Measured]:
    """Every contender of the cell in every round. Raises `RecordingFailed` where one of them loses a record."""
    found = [Measured(contender) for contender in who]
    payloads = Payloads(cell.payload_bytes, seed)
    if cell.workload == "consume":
        # A log that stands still can be read by all: the very same bytes for everybody.
        with stand(site, cell, payloads) as at:
            at.require_stored(ours.produce(at, max(_records(one, size) for one in who)).stored)
            _go_round(found, size, lambda one: one.measure(at, _records(one, size)), tell)
    else:
        _go_round(found, size, lambda one: _alone(site, cell, payloads, one, _records(one, size)), tell)
    return found


def _records(contender: Contender, size: Size) -> int:
    return max(1, int(size.records * contender.share))


def _alone(site: Site, cell: Cell, payloads: Payloads, contender: Contender, records: int) -> Sample:
    with stand(site, cell, payloads) as at:
        sample = contender.measure(at, records)
        at.require_stored(sample.stored)
        return sample


def _go_round(found: list[Measured], size: Size, measured: Callable[[Contender], Sample], tell: Tell) -> None:
    for number in range(1, size.rounds + 1):
        for one in found:
            one.samples.append(measured(one.contender))
        figures = ", ".join(f"{one.contender.name} {one.samples[-1].figure:,.0f}" for one in found)
        tell(f"round {number} of {size.rounds}: {figures}")


def warm_up(site: Site, *, records: int, seed: int) -> None:
    """A broker that has just started compiles its code in the first seconds under load: they are nobody's."""
    cell = Cell(name="warm-up", workload="produce")
    for _ in range(WARM_UP_ROUNDS):
        with stand(site, cell, Payloads(cell.payload_bytes, seed)) as at:
            _warm_up_once(at, records)


def _warm_up_once(at: Stand, records: int) -> None:
    ours.produce(at, records)
    ours.consume(at, records)


def bounds(folder: Path, *, rounds: int) -> list[machine.Bound]:
    """What the machine carries, a sample a round."""
    return [machine.bound(folder) for _ in range(rounds)]
