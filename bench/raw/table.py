"""What `choreobench raw` ends with on the terminal: a line a contender, the machine's bound, the claims."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 154
"""Of tables that go to a file; on a terminal they have the terminal's."""
VERDICT_STYLES = {"reached": "green", "not reached": "red", "undecided": "yellow"}


def print_document(console: Console, document: Mapping[str, Any]) -> None:
    """The figures of `raw.json` as tables."""
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH, highlight=False)
    table = Table(title="Raw ceilings", title_justify="left", box=None, pad_edge=False)
    table.add_column("cell", style="bold")
    table.add_column("contender")
    for name in ("median", "95 %", "rounds", "columnar is"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bottleneck")
    for cell in document["cells"]:
        for row, contender in enumerate(cell["contenders"]):
            table.add_row(*_row(cell, contender, first=row == 0))
        table.add_section()
    console.print(table)
    _print_machine(console, document["machine"])
    _print_claims(console, document)


def _row(cell: Mapping[str, Any], contender: Mapping[str, Any], *, first: bool) -> list[str]:
    figure, unit = figure_of(contender)
    advantage = cell["ours_to"].get(contender["name"])
    return [
        cell["name"] if first else "",
        contender["name"],
        f"{figure['median']:,.0f} {unit}",
        f"{figure['low']:,.0f} to {figure['high']:,.0f}",
        str(figure["count"]),
        times(advantage) if advantage else "",
        contender.get("bottleneck", ""),
    ]


def figure_of(contender: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The figure of a contender in `raw.json` and its unit."""
    if "rate_records_per_s" in contender:
        return contender["rate_records_per_s"], "/s"
    return contender["round_trip_mean_us"], "µs"


def times(interval: Mapping[str, Any]) -> str:
    """`2.41 × (2.30 to 2.52)`."""
    return f"{interval['median']:.2f} × ({interval['low']:.2f} to {interval['high']:.2f})"


def _print_machine(console: Console, machine: Mapping[str, Any]) -> None:
    for name, scale, text in (
        ("memory_copy_bytes_per_s", 1e9, "GB/s copied in memory"),
        ("loopback_bytes_per_s", 1e9, "GB/s over loopback TCP"),
        ("loopback_round_trip_us", 1, "µs a round trip over loopback TCP"),
    ):
        if name in machine:
            console.print(f"machine: {machine[name]['median'] / scale:,.1f} {text}")


def _print_claims(console: Console, document: Mapping[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for claim in document["claims"]:
        measured, style = claim["measured"], VERDICT_STYLES.get(claim["verdict"], "dim")
        found = "" if measured is None else times(measured)
        if measured is not None and claim["unit"] == "records/s":
            found = f"{measured['median']:,.0f} /s ({measured['low']:,.0f} to {measured['high']:,.0f})"
        table.add_row(claim["sentence"], found, f"[{style}]{claim['verdict']}[/{style}]")
    console.print(table)
    for line in document["left_out"]:
        console.print(line)
