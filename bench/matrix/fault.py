"""The fault matrix: every kind of fault under every guarantee, on servers of each cell's own, in one small run each.

Two workers a service, so that there is somebody to whom partitions go. A rewind is judged apart: what it loses no
guarantee keeps, and the checkers must show it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.matrix import crash
from bench.matrix.cells import HELD, UNKNOWN, Cell, Claim, Result
from bench.nemesis.hands import HANDS
from bench.nemesis.plan import parse_plan
from bench.options import Options
from bench.scenario import Scenario

REWIND: Final = "postgres.rewind"
RATE: Final = 300
DURATION_S: Final = 8.0
JOINING_S: Final = 18.0
"""Where a fault begins with a process that starts and joins, which takes 10 s where several cells go on at a time."""
SEEDS: Final = 5
"""Of the full profile."""
SMOKE: Final = (("idempotent", "kill"), ("transactional", "pause"), ("idempotent", "postgres.kill"))


@dataclass(frozen=True, slots=True)
class Row:
    """A plan and the load that it needs."""

    plan: str
    duration_s: float = DURATION_S
    brokers: int = 1


ROWS: Final[Mapping[str, Row]] = {
    # A worker last: what the driver had begun goes with it, and a saga must be left to be asked about.
    "kill": Row("kill:pay-0@1s+kill:stock@2s~1s+kill:driver@3s+kill:owner@12s", duration_s=16),
    "pause": Row("pause:pay-0@1s+pause:stock-0@1.5s+pause:owner@2s", duration_s=12),
    "restart": Row("restart:pay@1s+restart:stock-0@2s+restart:owner@3s"),
    "rolling": Row("rolling:pay@1s+rolling:order@2s"),
    "out": Row("out:pay@1s~3s+out:order@1s~4s", duration_s=JOINING_S),
    "in": Row("in:stock@1s~4s+in:order@2s~4s"),
    "slow": Row("slow:order@1s~4s+slow:pay-0@2s~4s"),
    "twin": Row("twin:pay@1s~3s+twin:order@1s~3s", duration_s=JOINING_S),
    "poison": Row("poison:pay@1s+poison:stock@2s+poison:order@3s"),
    "driver": Row("pause:driver@1s~2s+kill:driver@5s"),
    "postgres.kill": Row("kill:postgres@1s+kill:postgres@5s~2s", duration_s=10),
    "postgres.pause": Row("pause:postgres@1s~2s+pause:postgres@5s~5s", duration_s=12),
    "postgres.disconnect": Row("disconnect:postgres@1s~2s+disconnect:postgres@5s~2s"),
    "postgres.slow": Row("slow:postgres@1s~4s"),
    REWIND: Row("rewind:postgres@1s~2s"),
    "broker.kill": Row("kill:leader@2s~4s", duration_s=12, brokers=3),
    "broker.pause": Row("pause:leader@2s~8s", duration_s=14, brokers=3),
    "broker.restart": Row("restart:group-coordinator@2s", duration_s=12, brokers=3),
    "broker.rolling": Row("rolling:brokers@2s", duration_s=25, brokers=3),
    "broker.majority": Row("kill:majority@2s~5s", duration_s=12, brokers=3),
    "network.cut": Row("cut:leader@2s~5s", duration_s=14, brokers=3),
    "network.one-way": Row("cut-from:leader@2s~4s+cut-to:pay-0@8s~4s", duration_s=16, brokers=3),
    "network.flap": Row("flap:transaction-coordinator@2s~5s", duration_s=14, brokers=3),
}


def cells(scenario: Scenario, profile: str, *, seed: int) -> list[Cell]:
    """smoke: three cells · standard: every fault under every guarantee · full: the same over five seeds."""
    seeds = range(seed, seed + (SEEDS if profile == "full" else 1))
    return [
        _cell(scenario, guarantee, name, row, seed=each, says_seed=profile == "full")
        for each in seeds
        for name, row in ROWS.items()
        if _can_strike(row)
        for guarantee in scenario.guarantees
        if profile != "smoke" or (guarantee, name) in SMOKE
    ]


def _can_strike(row: Row) -> bool:
    return all(fault.kind in HANDS[fault.family] for fault in parse_plan(row.plan).faults)


def _cell(scenario: Scenario, guarantee: str, name: str, row: Row, *, seed: int, says_seed: bool) -> Cell:
    ending = f".s{seed}" if says_seed else ""
    return Cell(
        name=f"{guarantee}.{name}{ending}",
        row=name + ending,
        column=guarantee,
        options=Options(
            scenario=scenario.name,
            guarantee=guarantee,
            fault=row.plan,
            rate=f"{RATE}",
            duration_s=row.duration_s,
            warmup_s=1.0,
            seed=seed,
            brokers=row.brokers,
            workers=[f"{service}=2" for service in scenario.services],
        ),
    )


def claims(results: Sequence[Result]) -> list[Claim]:
    """What must hold of the whole matrix."""
    rewound = [one for one in results if one["row"].startswith(REWIND)]
    others = [one for one in results if one not in rewound]
    made = [crash.no_more_than_tolerated(others), crash.all_alive(others)] if others else []
    made.append(crash.all_struck(results, what="planned fault"))
    return [*made, _shown(rewound)] if rewound else made


def _shown(results: Sequence[Result]) -> Claim:
    blind = [one["name"] for one in results if not one["findings"]]
    sentence = "what was lost when the database was put back is shown by the checkers"
    return Claim(sentence, crash.of(results, blind), UNKNOWN if blind else HELD, 2)


def summary(results: Sequence[Result]) -> Mapping[str, Any]:
    """What stands beside the cells in `matrix.json`: what was tolerated, the rewinds left out."""
    return {"observed": crash.observed([one for one in results if not one["row"].startswith(REWIND)])}
