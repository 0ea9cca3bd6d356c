"""The kill matrix: every wrong system and every corrupt recording, which checker caught it, among how many examined.

The recordings that are damaged are those of clean runs of the same matrix, which must themselves be found clean: a
checker that accuses everybody catches everything.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from bench.check import EXIT_LIVENESS, EXIT_SAFETY
from bench.corrupt import Corruption, corruptions
from bench.matrix.cells import BROKEN, HELD, UNKNOWN, Cell, Claim, Result
from bench.options import Options
from bench.scenario import Broken, Scenario
from system.runtime.guarantees import GUARANTEES

CLEAN: Final = "clean run"
SYSTEM: Final = "broken system"
RECORDING: Final = "corrupt recording"
CLEAN_RUNS: Final = {"smoke": 1, "standard": 5, "full": 50}
SMOKE_SYSTEMS: Final = ("compensation-twice",)
SMOKE_RECORDINGS: Final = ("credit-changed", "terminal-lost")
OPERATIONS: Final = 2_000
RATE: Final = "1500"
BASES: Final = ("idempotent", "transactional")
"""Of which guarantees the first clean runs are damaged; the second has what only transactions leave behind."""

Fate = Literal["clean", "caught", "missed", "accused", "not tried"]


def cells(scenario: Scenario, profile: str, *, seed: int) -> list[Cell]:
    """smoke: one clean run, one system, two recordings · standard: all of them, five clean runs · full: fifty."""
    clean = [_clean(scenario, number, seed=seed) for number in range(CLEAN_RUNS[profile])]
    bases = [cell.name for name in BASES for cell in clean if cell.options and cell.options.guarantee == name][:2]
    recordings = [
        Cell(name=f"recording.{one.name}", row=one.name, column=RECORDING, corruption=one.name, bases=bases)
        for one in corruptions(scenario.name)
        if profile != "smoke" or one.name in SMOKE_RECORDINGS
    ]
    systems = [
        _system(scenario, name, seed=seed) for name in scenario.broken if profile != "smoke" or name in SMOKE_SYSTEMS
    ]
    return [*clean, *recordings, *systems]


def _clean(scenario: Scenario, number: int, *, seed: int) -> Cell:
    """The guarantees in turn, those that are damaged first; each run with a seed of its own."""
    names = sorted(scenario.guarantees, key=lambda name: name not in BASES)
    guarantee = names[number % len(names)]
    options = Options(
        scenario=scenario.name,
        guarantee=guarantee,
        operations=OPERATIONS,
        rate=RATE,
        warmup_s=0.2,
        seed=seed + number,
        replay=GUARANTEES[guarantee].inbox,
    )
    return Cell(name=f"clean.{guarantee}.{number}", row=f"{guarantee} s{seed + number}", column=CLEAN, options=options)


def _system(scenario: Scenario, name: str, *, seed: int) -> Cell:
    options = Options(scenario=scenario.name, broken=name, seed=seed)
    return Cell(name=f"system.{name}", row=name, column=SYSTEM, options=options)


def corruption_of(scenario: Scenario, name: str) -> Corruption:
    """The corruption of a cell."""
    return next(one for one in corruptions(scenario.name) if one.name == name)


def judged(result: Result, scenario: Scenario) -> Result:
    """The result with what was wanted of it: `story`, `expected` kinds, `fate`, and by whom it was caught."""
    if result["column"] == CLEAN:
        accused = sorted({one["checker"] for one in _accusing(result)})
        fate = "accused" if accused else "clean" if result["verdict"] == "VALID" else "not tried"
        return {**result, "story": "nothing is wrong", "expected": [], "fate": fate, "caught_by": accused}
    if result["column"] == SYSTEM:
        return _judged_system(result, scenario.broken[result["row"]])
    return _judged_recording(result, corruption_of(scenario, result["row"]))


def _accusing(result: Result) -> list[Mapping[str, Any]]:
    return [one for one in result["findings"] if not one["tolerated"]]


def _judged_system(result: Result, broken: Broken) -> Result:
    """Caught with the exit code and by one of the kinds, or for one of the reasons, that its author expected. One that
    never met the condition in which it is wrong was not tried."""
    catching = _catching(result, broken) if result["exit_codes"][:1] == [broken.exit_code] else []
    vacuous = result["verdict"] == "UNKNOWN"
    fate: Fate = "caught" if catching else "not tried" if vacuous else "missed"
    return {**result, "story": broken.story, "expected": list(broken.caught_by), **_fate(fate, catching, result)}


def _catching(result: Result, broken: Broken) -> list[str]:
    """The checkers that name an expected kind; where the harness is wrong, the reasons that have an expected word."""
    if broken.exit_code in (EXIT_SAFETY, EXIT_LIVENESS):
        return [one["checker"] for one in _accusing(result) if one["kind"] in broken.caught_by]
    reasons = [*result["reasons"], *result["measurement_reasons"]]
    return [reason for reason in reasons if any(word in reason for word in broken.caught_by)]


def _judged_recording(result: Result, corruption: Corruption) -> Result:
    """Caught by the checker that exists for it, which names the entity that was damaged."""
    catching = [
        one["checker"]
        for one in _accusing(result)
        if (one["checker"], one["kind"]) == (corruption.checker, corruption.kind)
        and result["entity"] in one["entities"]
    ]
    fate: Fate = "caught" if catching else "not tried" if result["entity"] is None else "missed"
    expected = [corruption.kind]
    return {**result, "story": corruption.story, "expected": expected, **_fate(fate, catching, result)}


def _fate(fate: Fate, catching: Sequence[str], result: Result) -> dict[str, Any]:
    by = sorted(set(catching))
    others = sorted({one["checker"] for one in _accusing(result)} - set(by))
    return {"fate": fate, "caught_by": by, "also": others}


def claims(results: Sequence[Result]) -> list[Claim]:
    """What must hold of the cells that there are."""
    untried = [one["name"] for one in results if one["fate"] == "not tried"]
    tried = f"{len(results) - len(untried)} of {len(results)}" + (f"; not {', '.join(untried)}" if untried else "")
    return [
        *_never("every broken system is caught", SYSTEM, "missed", results),
        *_never("every corrupt recording is caught", RECORDING, "missed", results),
        *_never("no checker accuses a clean run", CLEAN, "accused", results),
        Claim("every cell could be tried", tried, UNKNOWN if untried else HELD, 2),
    ]


def _never(sentence: str, column: str, wrong: Fate, results: Sequence[Result]) -> list[Claim]:
    """The claim about one column, if it has cells: none of them had this fate."""
    fates = {one["row"]: one["fate"] for one in results if one["column"] == column}
    failed = [name for name, fate in fates.items() if fate == wrong]
    right = sum(fate in ("caught", "clean") for fate in fates.values())
    found = f"{right} of {len(fates)}" + (f"; {wrong}: {', '.join(failed)}" if failed else "")
    return [Claim(sentence, found, BROKEN if failed else HELD, 1)] if fates else []


def summary(results: Sequence[Result]) -> Mapping[str, Any]:
    """Checker → how many it caught, and the most that it examined in a cell; a checker that caught nothing shows."""
    names = dict.fromkeys(name for one in results for name in one["examined"])
    return {
        "checkers": {
            name: {
                "caught": sum(name in one["caught_by"] for one in results if one["fate"] == "caught"),
                "accused": sum(name in one["caught_by"] for one in results if one["fate"] == "accused"),
                "examined": max(one["examined"].get(name, 0) for one in results),
            }
            for name in names
        }
    }
