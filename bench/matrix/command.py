"""`choreobench matrix`: plans the cells, sweeps them, and after each one writes `matrix.json`, at the end its page."""

import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console

from bench.cluster.endpoints import Wanted, read_client_config
from bench.cluster.programs import kafka_programs
from bench.matrix import crash, document, fault, guarantee, kill, rebalance
from bench.matrix.asked import Asked
from bench.matrix.cells import Cell, Claim, Result
from bench.matrix.children import Child, Children
from bench.matrix.meter import Meter
from bench.matrix.servers import Shared
from bench.matrix.sweep import Results, results, sweep
from bench.matrix.table import print_document
from bench.matrix.trial import RUNS
from bench.options import Options, UsageError, new_folder, one_of
from bench.scenario import Scenario, scenarios
from bench.stages import ReportFailed

PROFILES: Final = ("smoke", "standard", "full")
PAGE: Final = "report.html"
JOBS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the matrices: its cells, and what is said of their results. `starts_servers`: it hurts them, so they must
    be its own. `measures_speed`: cells beside each other would spoil its figures.
    """

    cells: Callable[..., list[Cell]]
    judged: Callable[[Result, Scenario], Result]
    claims: Callable[..., list[Claim]]
    summary: Callable[..., Mapping[str, Any]]
    shares_servers: bool = True
    starts_servers: bool = False
    measures_speed: bool = False


def _as_it_is(result: Result, _scenario: Scenario) -> Result:
    return result


KINDS: Final[Mapping[str, Kind]] = {
    "crash": Kind(crash.cells, _as_it_is, crash.claims, crash.summary),
    "guarantee": Kind(
        guarantee.cells, _as_it_is, guarantee.claims, guarantee.summary, shares_servers=False, measures_speed=True
    ),
    "fault": Kind(fault.cells, _as_it_is, fault.claims, fault.summary, shares_servers=False, starts_servers=True),
    "kill": Kind(kill.cells, kill.judged, kill.claims, kill.summary),
    "rebalance": Kind(rebalance.cells, _as_it_is, rebalance.claims, rebalance.summary, measures_speed=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixOptions:
    """The options as typed."""

    kind: str
    scenario: str
    profile: str = "standard"
    seed: int | None = None
    only: str | None = None
    jobs: int = 1
    out: Path = Path("runs")
    bootstrap_servers: str | None = None
    client_config: Path | None = None
    dsn: str | None = None

    def wanted(self) -> Wanted:
        """The servers to start or to reach. Raises `UsageError` or `BadClientConfig`."""
        if self.client_config is not None and self.bootstrap_servers is None:
            raise UsageError("--client-config needs --bootstrap-servers: our own brokers take no other properties")
        read_client_config(self.client_config)
        return Wanted(bootstrap=self.bootstrap_servers, client_config=self.client_config, dsn=self.dsn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A matrix that is about to be swept."""

    kind: Kind
    scenario: Scenario
    head: document.Heading
    cells: Sequence[Cell]
    folder: Path
    command: str
    wanted: Wanted


def matrix(options: MatrixOptions, *, command: Callable[[int], str], console: Console) -> int:
    """Sweeps, writes and prints; the exit code. What is interrupted keeps its finished cells, and goes on next time.

    `command(seed)` is the line that repeats it. Raises `UsageError`, `BadClientConfig`, `ServerUnavailable`.
    """
    planned = _planned(options, command)
    _tidy(planned)
    there = len(results(planned.folder, planned.cells))
    head = planned.head
    console.print(
        f"seed {head.seed} · matrix {head.kind} {head.profile} · {head.scenario} · {len(planned.cells)} cells"
        + (f", {there} of them there already: goes on in {planned.folder}" if there else "")
    )
    _write(planned, results(planned.folder, planned.cells))
    if options.bootstrap_servers is None:
        kafka_programs()  # Here, and not only in the cells, so that the progress of a first download is seen.
    with ExitStack() as stack:
        meter = stack.enter_context(Meter(console, planned=len(planned.cells), done=there))
        shared = stack.enter_context(Shared(planned.wanted, logs=planned.folder / "logs"))
        children = stack.enter_context(Children(planned.folder))
        begin = partial(_begin, planned, shared, children, meter)

        def ended(result: Result, known: Results) -> None:
            meter.ended(result)
            _write(planned, known)

        sweep(planned.folder, planned.cells, begin, jobs=options.jobs, ended=ended)
    content = orjson.loads((planned.folder / document.FILE).read_bytes())
    page = render(planned.folder)
    print_document(console, content)
    console.print(f"page {page}")
    return int(content["exit_code"])


def needs_private_network(options: MatrixOptions) -> bool:
    """Whether a cell cuts connections between servers of our own; what is no matrix is refused later."""
    kind, scenario = KINDS.get(options.kind), scenarios().get(options.scenario)
    foreign = options.bootstrap_servers is not None or options.dsn is not None
    if kind is None or scenario is None or foreign or options.profile not in PROFILES:
        return False
    cells = _chosen(kind.cells(scenario, options.profile, seed=0), options.only)
    return any(cell.options is not None and cell.options.needs_private_network() for cell in cells)


def _planned(options: MatrixOptions, command: Callable[[int], str]) -> Sweep:
    """Everything that can be refused is refused here, before a folder is made."""
    kind = KINDS[one_of("matrix", options.kind, list(KINDS))]
    scenario = scenarios()[one_of("scenario", options.scenario, sorted(scenarios()))]
    one_of("profile", options.profile, PROFILES)
    wanted = options.wanted()
    if kind.starts_servers and (wanted.bootstrap is not None or wanted.dsn is not None):
        raise UsageError(f"matrix {options.kind} hurts its servers; legal: without --bootstrap-servers and --dsn")
    _check_jobs(options, kind)
    seed = secrets.randbelow(2**31 - 1000) if options.seed is None else options.seed
    head = document.heading(
        kind=options.kind, scenario=scenario.name, profile=options.profile, seed=seed, only=options.only
    )
    _chosen(kind.cells(scenario, options.profile, seed=seed), options.only)
    earlier = document.unfinished(options.out, head, seed_is_typed=options.seed is not None)
    if earlier is not None:
        folder, seed = earlier
        head = replace(head, seed=seed)
    else:
        folder = new_folder(options.out, f"matrix-{head.kind}-{head.scenario}-{head.profile}-s{seed}")
    cells = _chosen(kind.cells(scenario, options.profile, seed=seed), options.only)
    return Sweep(
        kind=kind, scenario=scenario, head=head, cells=cells, folder=folder, command=command(seed), wanted=wanted
    )


def _check_jobs(options: MatrixOptions, kind: Kind) -> None:
    legal = 1 if kind.measures_speed else JOBS_MAX
    if not 1 <= options.jobs <= legal:
        why = ", as cells beside each other would spoil its figures" if kind.measures_speed else f" to {JOBS_MAX}"
        raise UsageError(f"--jobs {options.jobs} of matrix {options.kind}: legal: 1{why}")


def _chosen(cells: Sequence[Cell], only: str | None) -> list[Cell]:
    """The cells whose names match the pattern, and the clean runs whose recordings they damage. Raises `UsageError`."""
    named = [cell for cell in cells if only is None or fnmatchcase(cell.name, only)]
    if not named:
        raise UsageError(f"--only {only}: matches no cell; legal: {', '.join(cell.name for cell in cells)}")
    needed = {cell.name for cell in named} | {base for cell in named for base in cell.bases}
    return [cell for cell in cells if cell.name in needed]


def _tidy(planned: Sweep) -> None:
    """Removes runs that no result names: of a sweep that a SIGKILL ended in the middle of a cell."""
    named = {Path(one["run"]).name for one in results(planned.folder, planned.cells).values() if "run" in one}
    for path in (planned.folder / RUNS).glob("*/"):
        if path.name not in named and not path.is_symlink():
            shutil.rmtree(path)


def _begin(
    planned: Sweep, shared: Shared, children: Children, meter: Meter, cell: Cell, known: Results
) -> Child | None:
    """Has a cell tried; None: its servers are not to be had before those that are being tried have ended."""
    asked = Asked(cell=cell, scenario=planned.scenario.name, folder=planned.folder, bases=_bases(planned, cell, known))
    if cell.options is not None:
        wanted = shared.next(idle=not children.running) if planned.kind.shares_servers else planned.wanted
        if wanted is None:
            return None
        asked = replace(asked, cell=replace(cell, options=_on(wanted, cell.options)))
    child = children.begin(asked, lambda found: planned.kind.judged(found, planned.scenario))
    meter.began(cell)
    return child


def _on(wanted: Wanted, options: Options) -> Options:
    bootstrap, config, dsn = wanted.bootstrap, wanted.client_config, wanted.dsn
    return replace(options, bootstrap_servers=bootstrap, client_config=config, dsn=dsn)


def _bases(planned: Sweep, cell: Cell, known: Results) -> list[Path]:
    """The clean runs that it may damage."""
    return [planned.folder / known[name]["run"] for name in cell.bases if known[name]["fate"] == "clean"]


def _write(planned: Sweep, known: Results) -> None:
    found = [known[cell.name] for cell in planned.cells if cell.name in known]
    head = planned.head
    more: dict[str, Any] = {"seed": head.seed} if head.kind == "guarantee" else {}
    claims = planned.kind.claims(found, **more, **({"profile": head.profile} if more else {}))
    summary = planned.kind.summary(found, **more)
    document.write_document(
        planned.folder,
        head,
        found,
        planned=len(planned.cells),
        command=planned.command,
        claims=claims,
        summary=summary,
    )


def render(folder: Path) -> Path:
    """`report.html` from `matrix.json`, in a process of its own: nothing here imports `reports`. Raises
    `ReportFailed`."""
    argv = [sys.executable, "-m", "reports.matrix", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ReportFailed(f"no page of {folder}: {done.stderr.strip().splitlines()[-1:] or ['it said nothing']}")
    return folder / PAGE
