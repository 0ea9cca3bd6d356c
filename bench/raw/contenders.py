"""Who is measured in a cell: the columnar client, and the yardsticks that do the same by other calls."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.raw import confluent, ours
from bench.raw.java_tools import Tools
from bench.raw.plan import Cell, Profile
from bench.raw.site import Sample, Stand
from system.kafka.portable_kernel import PortableKernel

COLUMNAR: Final = "columnar client"
KEYED: Final = "columnar client, keyed"
PORTABLE: Final = "columnar client, ctypes kernel"
PRODUCE_BATCH: Final = "confluent-kafka produce_batch"
PRODUCE_LOOP: Final = "confluent-kafka produce"
CONSUME: Final = "confluent-kafka consume(10000)"
BOTH: Final = "confluent-kafka produce_batch and consume"
ROUND_TRIP: Final = "confluent-kafka produce, poll, consume"
PRODUCER_PERFORMANCE: Final = "ProducerPerformance"
PRODUCER_WARM: Final = "ProducerPerformance, warm"
PRODUCER_AS_IT_COMES: Final = "ProducerPerformance as it comes"
CONSUMER_PERFORMANCE: Final = "ConsumerPerformance"
END_TO_END: Final = "EndToEndLatency"


@dataclass(frozen=True)
class Contender:
    """`share` of the cell's records is enough for a contender that is slow; one that has no warm-up of its own and
    needs one gets more. `base_only`: not in varied cells.

    `is_extra`: a Java tool that a sketch can do without; each costs it the start of a JVM a round.
    """

    name: str
    measure: Callable[[Stand, int], Sample]
    share: float = 1.0
    base_only: bool = False
    is_java: bool = False
    is_extra: bool = False


def contenders(cell: Cell, profile: Profile, tools: Tools | None) -> tuple[Contender, ...]:
    """The contenders of `cell` in the order in which each round goes through them, ours first.

    Java's tools are in base cells alone unless the profile has them everywhere: to start a JVM costs more than the
    measurement. `tools` None: no Java tool can reach this cluster.
    """
    found = _of_workload(cell, tools)
    if cell.is_base:
        return tuple(one for one in found if not (one.is_extra and profile.is_sketch))
    return tuple(one for one in found if not one.base_only or (one.is_java and profile.java_everywhere))


def _of_workload(cell: Cell, tools: Tools | None) -> tuple[Contender, ...]:
    java = () if tools is None else _java(cell, tools)
    match cell.workload:
        case "produce":
            return (*_producing(), *java)
        case "consume":
            portable = partial(ours.consume, kernel=PortableKernel())
            return (
                Contender(COLUMNAR, ours.consume),
                Contender(PORTABLE, portable, share=0.1, base_only=True),
                Contender(CONSUME, confluent.consume, share=0.3),
                *java,
            )
        case "produce+consume":
            both = confluent.produce_and_consume
            return (Contender(COLUMNAR, ours.produce_and_consume), Contender(BOTH, both, share=0.3))
        case "transactional":
            batch = confluent.transactional
            return (Contender(COLUMNAR, ours.transactional), Contender(PRODUCE_BATCH, batch, share=0.5), *java)
        case "round-trip":
            return (Contender(COLUMNAR, ours.round_trip), Contender(ROUND_TRIP, confluent.round_trip), *java)


def _producing() -> tuple[Contender, ...]:
    return (
        Contender(COLUMNAR, ours.produce),
        Contender(KEYED, partial(ours.produce, keyed=True), base_only=True),
        Contender(PORTABLE, partial(ours.produce, kernel=PortableKernel()), share=0.2, base_only=True),
        Contender(PRODUCE_BATCH, confluent.produce_batch, share=0.5),
        Contender(PRODUCE_LOOP, confluent.produce_loop, share=0.5, base_only=True),
    )


def _java(cell: Cell, tools: Tools) -> tuple[Contender, ...]:
    tool = partial(Contender, base_only=True, is_java=True)
    match cell.workload:
        case "produce" if cell.is_base:
            as_it_comes = tool(PRODUCER_AS_IT_COMES, tools.produce_as_it_comes, share=0.2, is_extra=True)
            warm = tool(PRODUCER_WARM, tools.produce_warm, share=0.4, is_extra=True)
            return (tool(PRODUCER_PERFORMANCE, tools.produce, share=0.4), warm, as_it_comes)
        case "produce":
            return (tool(PRODUCER_WARM, tools.produce_warm, share=0.4),)
        case "consume":
            return (tool(CONSUMER_PERFORMANCE, tools.consume, share=2.0),)
        case "produce+consume":
            return ()
        case "transactional":
            return (tool(PRODUCER_WARM, tools.transactional, share=0.2, is_extra=True),)
        case "round-trip":
            return (tool(END_TO_END, tools.round_trip, is_extra=True),)
