"""`choreobench list`: what there is to choose from, read from the code."""

from typing import Final

from rich.console import Console
from rich.table import Table

from bench.nemesis.kinds import FAMILIES, KINDS
from bench.nemesis.plan import ALL
from bench.scenario import Broken, Scenario, scenarios
from system.kafka.config import ASSIGNORS
from system.runtime.guarantees import GUARANTEES

_PLAIN: Final = Broken(story="", caught_by=())


def print_all(console: Console) -> None:
    """Scenarios with their knobs, checkers and broken systems; guarantees; faults; group protocols."""
    for scenario in scenarios().values():
        _print_scenario(console, scenario)
    rows = [(protocol, f"assigned by {', '.join(assignors)}") for protocol, assignors in ASSIGNORS.items()]
    _print_rows(console, "group protocols (--group-protocol), with their --assignor", rows)


def _print_scenario(console: Console, scenario: Scenario) -> None:
    console.print(f"\n[bold]scenario {scenario.name}[/bold]  {scenario.story}")
    for name in scenario.guarantees:
        steps = " → ".join(GUARANTEES[name].steps)
        console.print(f"  guarantee [bold]{name}[/bold]  {steps}")
    console.print("  fault [bold]none[/bold]  nothing goes wrong")
    console.print(
        "  fault [bold]crash:SERVICE@POINT#N[/bold]  SIGKILL of the service's first process at its N-th passing"
    )
    for name, kinds in KINDS.items():
        rows = [(kind, f"{', '.join(one.roles)}: {one.story} ({one.heals_s:g} s)") for kind, one in kinds.items()]
        _print_rows(console, f"faults of {name}: KIND:ROLE@Ns[~Ns], seconds after the measured load began", rows)
    console.print(f"  fault [bold]mix:{'|'.join((*FAMILIES, ALL))}@Ns~Ns[/bold]  faults of a family drawn by the seed")
    for name in scenario.guarantees:
        # Services that share their points share a line.
        services: dict[tuple[str, ...], list[str]] = {}
        for service, points in scenario.failpoints(GUARANTEES[name]).items():
            services.setdefault(points, []).append(service)
        for points, sharing in services.items():
            console.print(f"    under {name}, {', '.join(sharing)}: {', '.join(points)}")
    title = f"broken systems (--broken): {', '.join(_brought(_PLAIN))}, unless it says otherwise"
    _print_rows(console, title, [(name, _wrong(one)) for name, one in scenario.broken.items()])
    _print_rows(
        console, "checkers", [(one.name, f"{one.gate}: {_sentence(one.function.__doc__)}") for one in scenario.checkers]
    )
    rows = [(k.name, f"{k.default:g} {k.unit}, {k.least:g} to {k.most:g}. {k.doc}") for k in scenario.knobs]
    _print_rows(console, "knobs (--set NAME=VALUE)", rows)


def _wrong(broken: Broken) -> str:
    """Its story, and what of its run is not as in most."""
    own = [mine for mine, usual in zip(_brought(broken), _brought(_PLAIN), strict=True) if mine != usual]
    return f"{broken.story} ({', '.join(own)})" if own else broken.story


def _brought(broken: Broken) -> tuple[str, str, str]:
    """What `--broken` alone runs it with."""
    return broken.guarantee, f"{broken.operations} operations at {broken.rate}/s", f"fault {broken.fault}"


def _print_rows(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False, title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split(".")[0].split())
