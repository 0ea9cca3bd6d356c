"""The crash matrix: under every guarantee a SIGKILL at every failpoint, in every service that has it, in one run each.

Restart points (`after-start`, `after-connect`, `after-assign`, and the driver's `after-recover`) strike in the second
life: whoever comes up after a crash dies once more on the way.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bench.guarantees import TOLERATES
from bench.matrix.cells import BROKEN, HELD, UNKNOWN, Cell, Claim, Result
from bench.options import Options
from bench.scenario import Scenario
from system.runtime.guarantees import GUARANTEES, RESTART_POINTS

COUNTS: Final = {"pay": 3, "stock": 4, "order": 5, "checkout": 1}
"""At which passing each service dies: early in the load, and not all at once. A driver that a busy
machine holds up begins everything together.
"""
OTHER_COUNT: Final = 3
RECOVER: Final = "after-recover"
LOSSES: Final = frozenset({"missing-effect", "incomplete-saga", "missing-compensation"})
REPEATS: Final = frozenset({"duplicate", "double-effect", "double-compensation", "double-terminal"})
MUST_SHOW: Final = {"at-most-once": ("lost", LOSSES), "at-least-once": ("repeated", REPEATS)}
"""Guarantee → what its crashes must have done, and the kinds by which that is seen: else the harness is blind."""
SMOKE: Final = (
    ("at-most-once", "after-commit"),
    ("at-least-once", "after-produce"),
    ("transactional", "after-produce"),
)
"""Points at which whatever was in hand shows, if the guarantee lets it: each record has an answer, which is lost or
stands twice. Behind the state alone a batch of a few refusals repeats without a trace.
"""
OPERATIONS: Final = 2_500
"""A load that outlasts the first `begin` on a busy machine, at which the driver dies: its next life has some left."""
RATE: Final = "1000"


def cells(scenario: Scenario, profile: str, *, seed: int) -> list[Cell]:
    """smoke: three cells · standard: every point between two steps · full: the points of the restart too."""
    return [
        Cell(
            name=f"{guarantee}.{point}",
            row=point,
            column=guarantee,
            options=Options(
                scenario=scenario.name,
                guarantee=guarantee,
                fault=plan,
                operations=OPERATIONS,
                rate=RATE,
                warmup_s=0.2,
                seed=seed,
            ),
        )
        for guarantee in scenario.guarantees
        for point, plan in plans(scenario, guarantee).items()
        if _belongs(profile, guarantee, point)
    ]


def _belongs(profile: str, guarantee: str, point: str) -> bool:
    if profile == "smoke":
        return (guarantee, point) in SMOKE
    return profile == "full" or point not in (*RESTART_POINTS, RECOVER)


def plans(scenario: Scenario, guarantee: str) -> dict[str, str]:
    """Failpoint → the plan that arms it in every service that has it, in the order of the steps."""
    services: dict[str, list[str]] = {}
    for service, points in scenario.failpoints(GUARANTEES[guarantee]).items():
        for point in points:
            services.setdefault(point, []).append(service)
    return {point: "+".join(_crashes(point, having)) for point, having in services.items()}


def _crashes(point: str, services: Sequence[str]) -> Iterator[str]:
    for service in services:
        count = COUNTS.get(service, OTHER_COUNT)
        if point in RESTART_POINTS:
            yield f"crash:{service}@after-state#{count}"
        elif point == RECOVER:
            yield f"crash:{service}@after-produce#{count}"
        yield f"crash:{service}@{point}#{1 if point in (*RESTART_POINTS, RECOVER) else count}"


def claims(results: Sequence[Result]) -> list[Claim]:
    """What must hold of the whole matrix."""
    return [
        no_more_than_tolerated(results),
        all_alive(results),
        all_struck(results),
        *(_shown(name, results) for name in MUST_SHOW if any(one["column"] == name for one in results)),
    ]


def no_more_than_tolerated(results: Sequence[Result]) -> Claim:
    """No cell is INVALID."""
    wrong = [one["name"] for one in results if one["gates"]["safety"] == "INVALID"]
    sentence = "no anomaly that the guarantee does not tolerate"
    return Claim(sentence, of(results, wrong), BROKEN if wrong else HELD, 1)


def all_alive(results: Sequence[Result]) -> Claim:
    """No cell hung."""
    wrong = [one["name"] for one in results if one["gates"]["liveness"] == "INVALID"]
    return Claim("every run came to rest after what struck it", of(results, wrong), BROKEN if wrong else HELD, 5)


def all_struck(results: Sequence[Result], *, what: str = "armed crash") -> Claim:
    """No cell is UNKNOWN."""
    vague = [one["name"] for one in results if "UNKNOWN" in (one["gates"]["safety"], one["gates"]["liveness"])]
    sentence = f"every {what} struck, and every checker could say"
    return Claim(sentence, of(results, vague), UNKNOWN if vague else HELD, 2)


def _shown(guarantee: str, results: Sequence[Result]) -> Claim:
    done, kinds = MUST_SHOW[guarantee]
    seen = {kind: count for kind, count in observed(results)[guarantee].items() if count and kind in kinds}
    sentence = f"{guarantee} {done} something, so that the harness can see it"
    found = ", ".join(f"{kind} ×{count:,}" for kind, count in seen.items())
    return Claim(sentence, found or f"nothing was {done}: the harness is blind", HELD if seen else UNKNOWN, 2)


def of(results: Sequence[Result], wrong: Sequence[str]) -> str:
    """`34 of 35 cells; not outbox.kill`."""
    right = f"{len(results) - len(wrong)} of {len(results)} cells"
    return f"{right}; not {', '.join(wrong)}" if wrong else right


def kinds(result: Result, *, tolerated: bool) -> dict[str, int]:
    """Kind → count, of those that are tolerated or of those that are not; the largest count that a checker gave."""
    found: dict[str, int] = {}
    for one in result["findings"]:
        if one["tolerated"] is tolerated:
            found[one["kind"]] = max(one["count"], found.get(one["kind"], 0))
    return found


def observed(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Guarantee → each kind that it tolerates → how often it was found over all cells, 0 where it was not."""
    total = {one["column"]: dict.fromkeys(sorted(TOLERATES.get(one["column"], ())), 0) for one in results}
    for one in results:
        for kind, count in kinds(one, tolerated=True).items():
            total[one["column"]][kind] = total[one["column"]].get(kind, 0) + count
    return total


def summary(results: Sequence[Result]) -> Mapping[str, Any]:
    """What stands beside the cells in `matrix.json`."""
    return {"observed": observed(results)}
