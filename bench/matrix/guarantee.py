"""The guarantee matrix, or the price of correctness: the same load under each guarantee, in interleaved rounds.

Every run has servers of its own: their processors' time and their bytes are part of the price, and nothing that an
earlier guarantee left behind is in the way of the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from bench.matrix.cells import BROKEN, HELD, UNKNOWN, Cell, Claim, Result
from bench.options import Options
from bench.raw.claims import verdict
from bench.raw.intervals import Interval, interval, ratio
from bench.scenario import Scenario

YARDSTICK: Final = "at-most-once"
FLOORS: Final = {"idempotent": 0.5, "transactional": 0.25}
"""Guarantee → least throughput, as a share of the yardstick's."""
FULL_SPEED: Final = "full speed"
STEADY: Final = "fixed rate"
LATE: Final = "full speed, late in life"
"""Behind as many earlier sagas as `LATE_SETTING` says."""
LATE_GUARANTEE: Final = "idempotent"
LATE_SETTING: Final = "inbox_rows=10000000"
LATE_FLOOR: Final = 0.8
COSTS: Final = ("cpu_us_total", "wal_bytes", "broker_bytes", "fsyncs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How much is measured; a sketch is too small to claim anything."""

    guarantees: Sequence[str] | None
    rounds: int
    operations: int
    steady_rate: str
    steady_s: float | None
    late_rounds: int = 0
    is_sketch: bool = False


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "smoke": Profile(
            guarantees=("at-most-once", "idempotent"),
            rounds=1,
            operations=3_000,
            steady_rate="500",
            steady_s=None,
            is_sketch=True,
        ),
        "standard": Profile(guarantees=None, rounds=3, operations=60_000, steady_rate="1500", steady_s=20.0),
        "full": Profile(
            guarantees=None, rounds=5, operations=100_000, steady_rate="1500", steady_s=30.0, late_rounds=3
        ),
    }
)


def cells(scenario: Scenario, profile: str, *, seed: int) -> list[Cell]:
    """A B C D E, A B C D E, … at full speed, one of them also with a long life behind it; then each once at a rate that
    all of them carry.
    """
    size = PROFILES[profile]
    names = [name for name in scenario.guarantees if size.guarantees is None or name in size.guarantees]
    rounds = []
    for number in range(size.rounds):
        rounds += [_full_speed(scenario, name, size, number, seed) for name in names]
        if number < size.late_rounds:
            rounds.append(_late(scenario, size, number, seed))
    return rounds + ([_steady(scenario, name, size, seed) for name in names] if size.steady_s else [])


def _full_speed(scenario: Scenario, guarantee: str, size: Profile, number: int, seed: int) -> Cell:
    options = Options(
        scenario=scenario.name, guarantee=guarantee, rate="max", operations=size.operations, seed=seed + number
    )
    return Cell(name=f"{guarantee}.max.{number}", row=guarantee, column=FULL_SPEED, options=options)


def _late(scenario: Scenario, size: Profile, number: int, seed: int) -> Cell:
    cell = _full_speed(scenario, LATE_GUARANTEE, size, number, seed)
    assert cell.options is not None
    options = replace(cell.options, settings=(LATE_SETTING,))
    return replace(cell, name=f"{LATE_GUARANTEE}.late.{number}", column=LATE, options=options)


def _steady(scenario: Scenario, guarantee: str, size: Profile, seed: int) -> Cell:
    options = Options(
        scenario=scenario.name, guarantee=guarantee, rate=size.steady_rate, duration_s=size.steady_s, seed=seed
    )
    return Cell(name=f"{guarantee}.steady", row=guarantee, column=STEADY, options=options)


def rates(results: Sequence[Result], column: str = FULL_SPEED) -> dict[str, list[float]]:
    """Guarantee → sagas a second at full speed, by round; a run that completed nothing has 0."""
    found: dict[str, list[float]] = {}
    for one in results:
        if one["column"] == column:
            found.setdefault(one["row"], []).append(float(one["figures"]["sagas_per_s"] or 0.0))
    return found


def over_yardstick(rates: Mapping[str, Sequence[float]], guarantee: str, *, seed: int) -> Interval | None:
    """Throughput over that of the yardstick, round by round; None where a round of either is not there."""
    return _paired(rates.get(guarantee, ()), rates.get(YARDSTICK, ()), seed=seed)


def _paired(mine: Sequence[float], other: Sequence[float], *, seed: int) -> Interval | None:
    paired = [(one, base) for one, base in zip(mine, other, strict=False) if base > 0]
    return ratio(*zip(*paired, strict=True), seed=seed) if paired else None


def claims(results: Sequence[Result], *, profile: str, seed: int) -> list[Claim]:
    """Floors of the price, unless it is a sketch; and that nothing was wrong in runs that nothing disturbed."""
    wrong = [one["name"] for one in results if one["verdict"] != "VALID"]
    found = f"{len(results) - len(wrong)} of {len(results)} runs" + (f"; not {', '.join(wrong)}" if wrong else "")
    worst = any(one["gates"]["safety"] == "INVALID" for one in results)
    quiet = Claim("undisturbed, every guarantee keeps everything", found, BROKEN if wrong else HELD, 1 if worst else 2)
    late = [one["name"] for one in results if one["column"] == STEADY and one["gates"]["measurement"] != "VALID"]
    steady = [one for one in results if one["column"] == STEADY]
    fit = Claim(
        "every fixed rate was fit to be measured",
        f"{len(steady) - len(late)} of {len(steady)} runs" + (f"; not {', '.join(late)}" if late else ""),
        BROKEN if late else HELD,
        4,
    )
    floors = [] if PROFILES[profile].is_sketch else [_floor(name, results, seed=seed) for name in FLOORS]
    if PROFILES[profile].late_rounds:
        floors.append(_late_floor(results, seed=seed))
    return [quiet, *([fit] if steady else []), *floors]


def _floor(guarantee: str, results: Sequence[Result], *, seed: int) -> Claim:
    sentence = f"{guarantee} reaches {FLOORS[guarantee]:g} of the throughput of {YARDSTICK}"
    return _reached(sentence, over_yardstick(rates(results), guarantee, seed=seed), FLOORS[guarantee])


def _late_floor(results: Sequence[Result], *, seed: int) -> Claim:
    sentence = f"{LATE_GUARANTEE} with {LATE_SETTING} reaches {LATE_FLOOR:g} of its throughput with none"
    late, fresh = (rates(results, column).get(LATE_GUARANTEE, ()) for column in (LATE, FULL_SPEED))
    return _reached(sentence, _paired(late, fresh, seed=seed), LATE_FLOOR)


def _reached(sentence: str, measured: Interval | None, floor: float) -> Claim:
    if measured is None:
        return Claim(sentence, "not measured", UNKNOWN, 2)
    found = f"{measured.median:.2f} ({measured.low:.2f} to {measured.high:.2f}) over {measured.count} rounds"
    decided = {"reached": HELD, "not reached": BROKEN}.get(verdict(measured, floor), UNKNOWN)
    return Claim(sentence, found, decided, 3 if decided == BROKEN else 2)  # type: ignore[arg-type]


def summary(results: Sequence[Result], *, seed: int) -> Mapping[str, Any]:
    """`prices`: guarantee → throughput and its ratio as intervals, latencies, and what a saga costs."""
    found = rates(results)
    return {"yardstick": YARDSTICK, "prices": {name: _price(name, results, found, seed=seed) for name in found}}


def _price(
    guarantee: str, results: Sequence[Result], found: Mapping[str, Sequence[float]], *, seed: int
) -> dict[str, Any]:
    mine = [one for one in results if one["row"] == guarantee]
    costs = [one["figures"]["cost_per_saga"] or {} for one in mine if one["column"] == FULL_SPEED]
    steady: Mapping[str, Any] = next((one["figures"] for one in mine if one["column"] == STEADY), {})
    measured = over_yardstick(found, guarantee, seed=seed)
    names = dict.fromkeys(name for cost in costs for name in cost.get("cpu_us") or {})
    return {
        "sagas_per_s": asdict(interval(found[guarantee], seed=seed)),
        "ratio": asdict(measured) if measured else None,
        "samples": list(found[guarantee]),
        "steady_per_s": steady.get("offered_per_s"),
        "response_latency_ms": steady.get("response_latency_ms"),
        "cpu_us": {name: _median([(cost.get("cpu_us") or {}).get(name) for cost in costs]) for name in names},
        **{name: _median([cost.get(name) for cost in costs]) for name in COSTS},
        "anomalies": sum(finding["count"] for one in mine for finding in one["findings"]),
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
