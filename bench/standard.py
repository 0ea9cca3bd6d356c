"""The standard bench: a few runs that together say what the system does: full speed, half of that, and a crash.

Every parameter has a smoke value, so that the whole path is walked in every test run and cannot rot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from rich.console import Console

from bench.check import exit_code
from bench.display import Display
from bench.options import Options, one_of
from bench.resolve import resolve
from bench.stages import run_all
from bench.summary import print_summary

EXIT_ORDER = (1, 5, 2, 4, 3, 0)
"""The first of these that occurred is the exit code: a lost record is lost, however badly it was timed."""

CRASHES = "crash:pay@after-state#20+crash:order@after-produce#20"


@dataclass(frozen=True, slots=True)
class Profile:
    """How large each of the three runs is. `steady_rate_per_s` None: half of what the first run sustained;
    `steady_warmup_s` None: what `run` takes for itself.
    """

    full_speed_operations: int
    steady_duration_s: float
    steady_warmup_s: float | None
    steady_rate_per_s: float | None
    crash_operations: int


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "smoke": Profile(6_000, 4, None, 500.0, 0),
        "standard": Profile(400_000, 30, 60, None, 30_000),
        "full": Profile(1_000_000, 60, 60, None, 100_000),
    }
)


def bench(name: str, *, out: Path, console: Console) -> int:
    """Runs a profile; prints each run's verdict and figures, and at the end where the reports are. The exit code."""
    profile = PROFILES[one_of("profile", name, list(PROFILES))]
    first = Options(scenario="checkout", rate="max", operations=profile.full_speed_operations, seed=1, out=out)
    codes = [_run("full speed, closed loop", first, console)]
    rate = profile.steady_rate_per_s or _half_rate(out)
    if rate is not None:
        steady = replace(
            first,
            rate=f"{rate:.0f}",
            operations=None,
            duration_s=profile.steady_duration_s,
            warmup_s=profile.steady_warmup_s,
            seed=2,
        )
        codes.append(_run(f"open loop at {rate:,.0f} operations/s", steady, console))
    if profile.crash_operations:
        crash = replace(first, operations=profile.crash_operations, rate="2000", fault=CRASHES, replay=True, seed=3)
        codes.append(_run("two crashes, then everything replayed from zero", crash, console))
    worst = next(code for code in EXIT_ORDER if code in codes)
    console.print(
        f"\n{len(codes)} runs, exit codes {', '.join(map(str, codes))}; reports: {out / 'index.html'}",
    )
    return worst


def _run(title: str, options: Options, console: Console) -> int:
    console.print(f"\n[bold]{title}[/bold]")
    spec = resolve(options)
    with Display(console) as display:
        verdicts = run_all(spec, options.wanted(), command=_command(options), display=display)
    print_summary(console, spec.path, verdicts)
    return exit_code(verdicts)


def _half_rate(out: Path) -> float | None:
    figures: dict[str, Any] = orjson.loads((out / "latest" / "measurements.json").read_bytes())
    completed_per_s = figures.get("completed_per_s")
    return completed_per_s / 2 if completed_per_s else None


def _command(options: Options) -> str:
    words = ["choreobench", "run", options.scenario, "--seed", str(options.seed)]
    words += ["--rate", options.rate] if options.rate else []
    words += ["--fault", options.fault] if options.fault else []
    words += ["--operations", str(options.operations)] if options.operations else []
    words += ["--duration-s", f"{options.duration_s:g}"] if options.duration_s else []
    words += ["--warmup-s", f"{options.warmup_s:g}"] if options.warmup_s is not None else []
    return " ".join([*words, *(["--replay"] if options.replay else [])])
