"""The rebalance matrix: how long a partition goes without new records when members join, leave, crash or are paused.

A cell is one run of `checkout` under one group protocol with so many partitions and workers of pay; each kind of change
is repeated in it. Claims: with cooperative-sticky and KIP-848 nine of ten clean hand-overs are over within 1 s; after a
crash nine of ten within the session timeout + 1 s, under each protocol.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.matrix.cells import BROKEN, HELD, UNKNOWN, Cell, Claim, Result
from bench.measure.handovers import CRASH, JOIN, KINDS, LEAVE
from bench.options import Options
from bench.scenario import Scenario
from system.kafka.config import COOPERATIVE, SESSION_TIMEOUT_MS, Membership

PROTOCOLS: Final[Mapping[str, Membership]] = {
    "cooperative-sticky": COOPERATIVE,
    "eager": Membership(assignor="range"),
    "static": Membership(static=True),
    "kip-848": Membership("consumer", "uniform"),
}
"""The four that are compared, by the names that the field has for them."""
SERVICE: Final = "pay"
"""Whose workers come and go; the other services stay as they are."""
QUICK: Final = ("cooperative-sticky", "kip-848")
"""Protocols of which a clean hand-over is claimed to be quick."""
CLEAN_MS: Final = 1_000.0
CRASH_MS: Final = SESSION_TIMEOUT_MS + 1_000.0
SLOWER: Final = 3
"""Exit code of a claim about speed that does not hold."""
RATE: Final = 400
MANY: Final = 500
RATE_OF_MANY: Final = 40
"""Over so many partitions nearly each record is a produce request, for which the broker looks at every partition of
every fetch that waits: at 100 operations a second it did nothing else.
"""
WARM_S: Final = 2.0
WARM_OF_MANY_S: Final = 20.0
"""And for so long it looks through them with code that is not compiled: a join took twice as long."""


@dataclass(frozen=True, slots=True)
class Profile:
    """`shapes`: (partitions, workers); `rounds` of every kind of change in `kinds`."""

    shapes: tuple[tuple[int, int], ...]
    rounds: int
    kinds: tuple[str, ...]
    protocols: tuple[str, ...] = tuple(PROTOCOLS)


PROFILES: Final[Mapping[str, Profile]] = {
    "smoke": Profile(((4, 2),), 1, ("in",), protocols=QUICK),
    "standard": Profile(((4, 2),), 2, ("out", "in", "kill", "pause")),
    "full": Profile(
        tuple((partitions, workers) for partitions in (4, 64, 900) for workers in (2, 10)),
        2,
        ("out", "in", "kill", "pause"),
    ),
}
LASTS_S: Final = {"out": 5.0, "in": 3.0, "kill": 8.0, "pause": 8.0}
"""How long each change lasts: a crashed or paused member stays away longer than its session."""
SETTLES_S: Final = 8.0
"""Until the next change: a process that was started has joined by then, on a slow machine too."""


def plan(profile: Profile, *, partitions: int, workers: int) -> tuple[str, float]:
    """The faults of a run, and how long its load lasts in seconds; a third of a second later in each round, so that no
    two rounds meet the heartbeats in the same phase. Where every partition can have a member of its own one more would
    be given nothing.
    """
    kinds = [kind for kind in profile.kinds if kind != "out" or workers < partitions]
    words, at_s = [], 2.0
    for number in range(profile.rounds):
        for kind in kinds:
            role = SERVICE if kind in ("out", "in") else f"{SERVICE}-0"
            lasts_s = LASTS_S[kind]
            words.append(f"{kind}:{role}@{at_s + number / 3:.3f}s~{lasts_s:g}s")
            at_s += lasts_s + SETTLES_S
    return "+".join(words), at_s


def cells(scenario: Scenario, profile: str, *, seed: int) -> list[Cell]:
    """smoke: one leave and join under two protocols · standard: four protocols · full: more partitions and members."""
    chosen = PROFILES[profile]
    return [
        _cell(scenario, chosen, protocol, partitions=partitions, workers=workers, seed=seed)
        for partitions, workers in chosen.shapes
        for protocol in chosen.protocols
    ]


def _cell(scenario: Scenario, profile: Profile, protocol: str, *, partitions: int, workers: int, seed: int) -> Cell:
    fault, duration_s = plan(profile, partitions=partitions, workers=workers)
    how = PROTOCOLS[protocol]
    return Cell(
        name=f"{protocol}.{partitions}x{workers}",
        row=f"{partitions} partitions, {workers} members",
        column=protocol,
        options=Options(
            scenario=scenario.name,
            fault=fault,
            rate=str(RATE if partitions < MANY else RATE_OF_MANY),
            duration_s=duration_s,
            warmup_s=WARM_S if partitions < MANY else WARM_OF_MANY_S,
            seed=seed,
            partitions=partitions,
            workers=(f"{SERVICE}={workers}",),
            group_protocol=how.protocol,
            assignor=how.assignor,
            static_members=how.static,
        ),
    )


def claims(results: Sequence[Result]) -> list[Claim]:
    """Correctness first, then the two claims about time."""
    wrong = [one["name"] for one in results if one["verdict"] == "INVALID"]
    unsure = [one["name"] for one in results if one["verdict"] == "UNKNOWN"]
    found = f"{len(results) - len(wrong) - len(unsure)} of {len(results)} runs"
    named = f"{found}; not {', '.join(wrong or unsure)}" if wrong or unsure else found
    verdict = BROKEN if wrong else UNKNOWN if unsure else HELD
    valid = Claim("no rebalance costs what the guarantee promises", named, verdict, 1 if wrong else 2)  # type: ignore[arg-type]
    return [valid, *_times(results)]


def _times(results: Sequence[Result]) -> Iterator[Claim]:
    for protocol in QUICK:
        sentence = f"{protocol}: 9 of 10 clean hand-overs are over within {CLEAN_MS / 1000:g} s"
        yield from _time(sentence, _rows(results, protocol, (JOIN, LEAVE)), CLEAN_MS)
    for protocol in PROTOCOLS:
        sentence = f"{protocol}: 9 of 10 hand-overs after a crash are over within {CRASH_MS / 1000:g} s"
        yield from _time(sentence, _rows(results, protocol, (CRASH,)), CRASH_MS)


def _time(sentence: str, rows: Sequence[Mapping[str, Any]], limit_ms: float) -> Iterator[Claim]:
    """Nothing for a protocol and kind that the profile does not try."""
    if not rows:
        return
    known = [row for row in rows if row["first_record_ms"] is not None]
    if not known:
        yield Claim(sentence, "no partition moved", UNKNOWN, 2)
        return
    worst = max(known, key=lambda row: row["first_record_ms"]["p90"])
    p90 = worst["first_record_ms"]["p90"]
    found = f"p90 {p90:,.0f} ms at worst ({worst['kind']}, {worst['shape']}; {_count(known)} hand-overs in all)"
    yield Claim(sentence, found, HELD if p90 <= limit_ms else BROKEN, SLOWER)


def _count(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["first_record_ms"]["count"] for row in rows)


def _rows(results: Sequence[Result], protocol: str, kinds: Sequence[str]) -> list[Mapping[str, Any]]:
    return [row for row in rows(results) if row["protocol"] == protocol and row["kind"] in kinds]


def rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row a protocol, shape and kind of change: how often it was tried and what it cost."""
    return [
        {"protocol": one["column"], "shape": one["row"], "kind": kind, "run": one.get("run"), **one["rebalance"][kind]}
        for one in results
        for kind in KINDS
        if kind in (one.get("rebalance") or {})
    ]


def summary(results: Sequence[Result]) -> Mapping[str, Any]:
    """What stands beside the cells in `matrix.json`."""
    return {"rebalances": rows(results)}
