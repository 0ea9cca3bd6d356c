"""The page of `choreobench raw`, from its `raw.json` alone: `python -m reports.raw FOLDER` writes `raw.html` there."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.measure.files import json_object
from bench.raw.table import figure_of, times
from reports.command import render
from reports.page import stylesheet, templates, write_page
from reports.raw_bars import bars, keys, role, text
from reports.rounding import percent, short, time_text, whole
from reports.surroundings import environment, when
from reports.timeline import Panel

TITLES: Final = {
    "produce": ("Produce", "records/s, acknowledged"),
    "consume": ("Consume", "records/s, payloads copied"),
    "produce+consume": ("Produce and consume together", "records/s through both"),
    "transactional": ("Transactional produce", "records/s, committed every tenth of a second"),
    "round-trip": ("Round trip", "µs from send to take, one record in flight; less is better"),
}
CHIPS: Final = {"reached": "valid", "not reached": "invalid", "undecided": "unknown"}
"""Verdict of a claim → class of its chip."""


@dataclass(frozen=True)
class Line:
    """A contender in a table, each figure as text."""

    name: str
    role: str
    median: str
    interval: str
    rounds: str
    advantage: str
    bottleneck: str
    busy: str
    quantiles: str


@dataclass(frozen=True)
class Group:
    """A cell with its settings and its contenders."""

    name: str
    settings: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Workload:
    """One workload: its drawing and its cells."""

    anchor: str
    title: str
    panel: Panel
    groups: tuple[Group, ...]


def raw_page(folder: Path) -> Path:
    """Renders `raw.html` into the folder. Raises FileNotFoundError where no readable `raw.json` is there."""
    document = json_object(folder / "raw.json")
    if "cells" not in document:
        raise FileNotFoundError(f"{folder}: no raw.json in it that can be read")
    page = (
        templates()
        .get_template("raw.html")
        .render(
            document=document,
            when=when(str(document["run_id"])),
            machine=_machine(document),
            claims=[
                (_claim(claim), claim, CHIPS.get(claim["verdict"], "not-applicable")) for claim in document["claims"]
            ],
            workloads=list(_workloads(document)),
            environment=environment(document),
            settings=_settings(document["settings"]),
            css=stylesheet(),
        )
    )
    return write_page(folder / "raw.html", page)


def _workloads(document: Mapping[str, Any]) -> Iterator[Workload]:
    for name, (title, unit) in TITLES.items():
        cells = [cell for cell in document["cells"] if cell["workload"] == name]
        if cells:
            note = "A bar is the median over the rounds, the line on it its 95 % interval."
            anchor = name.replace("+", "-")
            panel = Panel(title, unit, keys(cells), bars(f"raw-{anchor}", cells), note=note)
            yield Workload(anchor, title, panel, tuple(_group(cell, document["machine"]) for cell in cells))


def _group(cell: Mapping[str, Any], machine: Mapping[str, Any]) -> Group:
    settings = [
        f"{whole(cell['payload_bytes'])} B",
        f"{cell['partitions']} partition{'s' if cell['partitions'] > 1 else ''}",
        f"acks={cell['acks']}",
        "idempotent" if cell["idempotence"] else "not idempotent",
        f"compression {cell['compression']}",
    ]
    ours = cell["contenders"][0]
    loopback = (machine.get("loopback_bytes_per_s") or {}).get("median")
    if "rate_records_per_s" in ours and loopback:
        share = ours["rate_records_per_s"]["median"] * cell["payload_bytes"] / loopback
        settings.append(f"payload at {percent(share)} of what loopback TCP carries")
    return Group(cell["name"], ", ".join(settings), tuple(_line(cell, one) for one in cell["contenders"]))


def _line(cell: Mapping[str, Any], one: Mapping[str, Any]) -> Line:
    figure, unit = figure_of(one)
    ours_to = cell["ours_to"].get(one["name"])
    return Line(
        name=one["name"],
        role=role(one["name"]),
        median=f"{text(figure['median'])} {unit}".replace("M /s", "M/s"),
        interval=f"{text(figure['low'])} to {text(figure['high'])}",
        rounds=f"{figure['count']} × {whole(one['records'])}",
        advantage=times(ours_to) if ours_to else "",
        bottleneck=one.get("bottleneck", "not looked at"),
        busy=_busy(one.get("busy_cores")),
        quantiles=_quantiles(one.get("round_trip_us")),
    )


def _busy(busy: Mapping[str, Any] | None) -> str:
    """`application 0.5, client 0.6, broker 0.9, machine 1.9 of 2 cores`."""
    if busy is None:
        return ""
    names = (("application", "application"), ("client", "client_thread"), ("broker", "broker"))
    shown = [f"{text} {busy[name]:.2f}" for text, name in names if busy[name] is not None]
    return f"{', '.join(shown)}, machine {busy['machine']:.2f} of {busy['cores']:g} cores"


def _quantiles(trips: Mapping[str, Any] | None) -> str:
    if trips is None:
        return ""
    names = (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99.9", "p99_9"))
    shown = [f"{text} {time_text(trips[name] / 1000)}" for text, name in names if trips[name] is not None]
    return ", ".join([*shown, f"{whole(trips['count'])} trips"])


def _machine(document: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, figure, unit, how it was taken) each."""
    known = (
        ("Memory", "memory_copy_bytes_per_s", 1e9, "GB/s", "numpy copies an array of 256 MiB"),
        ("Loopback TCP", "loopback_bytes_per_s", 1e9, "GB/s", "one process sends, another swallows"),
        ("Loopback round trip", "loopback_round_trip_us", 1, "µs", "one byte there and back"),
    )
    found = document["machine"]
    return [
        (what, short(found[name]["median"] / scale), unit, f"{how}; {found[name]['count']} rounds")
        for what, name, scale, unit, how in known
        if name in found
    ]


def _claim(claim: Mapping[str, Any]) -> str:
    measured = claim["measured"]
    if measured is None:
        return "—"
    if claim["unit"] == "times":
        return times(measured)
    return f"{text(measured['median'])}/s ({text(measured['low'])} to {text(measured['high'])})"


def _settings(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            rows += [(f"{name}: {key}", str(one)) for key, one in value.items()]
        elif isinstance(value, list):
            rows += [(f"{name}: {one.partition('=')[0]}", one.partition("=")[2]) for one in value]
        else:
            rows.append((name, str(value)))
    return rows


def main(arguments: list[str]) -> int:
    """Exit code 0, or 64 with one line that says what is wrong."""
    return render(arguments, raw_page, usage="python -m reports.raw FOLDER, where raw.json is")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
