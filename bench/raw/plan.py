"""What is measured: a base cell of each workload, and from it one factor at a time.

A cross product would be thousands of cells that say the same; one factor at a time says what each of them costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, Literal

from bench.options import UsageError, one_of

Workload = Literal["produce", "consume", "produce+consume", "transactional", "round-trip"]

KIB: Final = 1024
ALL_ACKS: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One setting of one workload. `varies` names the factor in which it differs from the workload's base cell."""

    name: str
    workload: Workload
    varies: str = "base"
    payload_bytes: int = 100
    partitions: int = 4
    acks: str = ALL_ACKS
    idempotence: bool = True
    compression: str = "none"

    @property
    def is_base(self) -> bool:
        """Every contender meets in the base cell; in the others those that are cheap to start."""
        return self.varies == "base"


PRODUCE: Final = (
    Cell(name="produce", workload="produce"),
    Cell(name="produce-1KiB", workload="produce", varies="payload", payload_bytes=KIB),
    Cell(name="produce-10KiB", workload="produce", varies="payload", payload_bytes=10 * KIB),
    Cell(name="produce-1-partition", workload="produce", varies="partitions", partitions=1),
    Cell(name="produce-16-partitions", workload="produce", varies="partitions", partitions=16),
    Cell(name="produce-lz4", workload="produce", varies="compression", compression="lz4"),
    Cell(name="produce-zstd", workload="produce", varies="compression", compression="zstd"),
    Cell(name="produce-not-idempotent", workload="produce", varies="idempotence", idempotence=False),
    # Idempotence needs acks=all (KIP-98), so that these two are to be compared with the one above.
    Cell(name="produce-acks-1", workload="produce", varies="acks", acks="1", idempotence=False),
    Cell(name="produce-acks-0", workload="produce", varies="acks", acks="0", idempotence=False),
)
CONSUME: Final = (
    Cell(name="consume", workload="consume"),
    Cell(name="consume-1KiB", workload="consume", varies="payload", payload_bytes=KIB),
    Cell(name="consume-10KiB", workload="consume", varies="payload", payload_bytes=10 * KIB),
    Cell(name="consume-1-partition", workload="consume", varies="partitions", partitions=1),
    Cell(name="consume-16-partitions", workload="consume", varies="partitions", partitions=16),
    Cell(name="consume-lz4", workload="consume", varies="compression", compression="lz4"),
    Cell(name="consume-zstd", workload="consume", varies="compression", compression="zstd"),
)
TOGETHER: Final = (
    Cell(name="produce+consume", workload="produce+consume"),
    Cell(name="produce+consume-1KiB", workload="produce+consume", varies="payload", payload_bytes=KIB),
)
TRANSACTIONAL: Final = (
    Cell(name="transactional", workload="transactional"),
    Cell(name="transactional-1KiB", workload="transactional", varies="payload", payload_bytes=KIB),
)
ROUND_TRIP: Final = (
    Cell(name="round-trip", workload="round-trip", partitions=1),
    Cell(name="round-trip-1KiB", workload="round-trip", varies="payload", payload_bytes=KIB, partitions=1),
    Cell(name="round-trip-acks-1", workload="round-trip", varies="acks", acks="1", idempotence=False, partitions=1),
)
CELLS: Final = PRODUCE + CONSUME + TOGETHER + TRANSACTIONAL + ROUND_TRIP


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How much is measured: rounds, records a measurement in base cells and in the others, at most `payload_bytes`.

    `is_sketch`: too small to claim anything; Java tools that only repeat a path are left out.
    """

    rounds: int
    base_records: int
    records: int
    payload_bytes: int
    trips: int
    is_sketch: bool = False
    java_everywhere: bool = False


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "smoke": Profile(rounds=3, base_records=50_000, records=50_000, payload_bytes=10**7, trips=100, is_sketch=True),
        # Java's consumer needs millions of records to be warm: 2.7 M/s over 4 M of them, 2.1 M/s over 3 M, 0.5 M/s
        # over 100,000.
        "standard": Profile(rounds=5, base_records=3_000_000, records=1_000_000, payload_bytes=3 * 10**8, trips=2_000),
        "full": Profile(
            rounds=11,
            base_records=5_000_000,
            records=3_000_000,
            payload_bytes=5 * 10**8,
            trips=5_000,
            java_everywhere=True,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells of one run, in order."""

    name: str
    profile: Profile
    cells: tuple[Cell, ...]

    def records_of(self, cell: Cell) -> int:
        """Records (or round trips) a measurement of the fastest contender."""
        if cell.workload == "round-trip":
            return self.profile.trips
        records = self.profile.base_records if cell.is_base else self.profile.records
        return min(records, self.profile.payload_bytes // cell.payload_bytes)


def plan(profile: str, only: str | None = None) -> Plan:
    """The cells of `profile` whose names match `only` (a shell pattern). Raises `UsageError`.

    A pattern may name any cell, also one that the profile alone would leave out.
    """
    found = PROFILES[one_of("profile", profile, list(PROFILES))]
    if only is None:
        return Plan(profile, found, tuple(cell for cell in CELLS if cell.is_base or not found.is_sketch))
    chosen = tuple(cell for cell in CELLS if fnmatchcase(cell.name, only))
    if not chosen:
        raise UsageError(f"--only {only}: matches no cell; legal: {', '.join(cell.name for cell in CELLS)}")
    return Plan(profile, found, chosen)
