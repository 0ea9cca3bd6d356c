"""The report of one run: a single HTML page without script or address, from the files of the run folder alone."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.measure.files import events, json_object
from bench.measure.recovery import faults
from reports.anomalies import moments_ns
from reports.headline import tiles, worst
from reports.judged import cards, gates, lines, sentence
from reports.lanes import assignment, tenures
from reports.quantiles import quantile_plot
from reports.rounding import time_text, whole
from reports.stages import shares, stages
from reports.surroundings import environment, knobs, raw_files, when, without_addresses
from reports.timeline import Panel, panels, span

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Mark:
    """A fault on the time axis."""

    text: str
    at_s: float


def report(run_folder: Path) -> Path:
    """Render `report.html` into the run folder, whole or not at all, and return its path.

    Whatever was recorded is shown; a file that is missing leaves its section out. Raises FileNotFoundError where the
    folder does not exist.
    """
    if not run_folder.is_dir():
        raise FileNotFoundError(f"{run_folder} is no run folder")
    page = templates().get_template("page.html").render(**_content(run_folder), css=stylesheet())
    return write_page(run_folder / "report.html", page)


def write_page(path: Path, page: str) -> Path:
    """Write the page beside the file and rename over it."""
    fresh = path.with_suffix(".html.tmp")
    fresh.write_text(without_addresses(page), encoding="utf-8")
    os.replace(fresh, path)
    return path


@cache
def templates() -> Environment:
    """The page templates; text is escaped, and a name that is not there is an error."""
    found = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["ms"] = time_text
    found.filters["whole"] = whole
    return found


def stylesheet() -> str:
    """The style sheet of every page."""
    return (HERE / "style.css").read_text(encoding="utf-8")


def _content(run_folder: Path) -> dict[str, Any]:
    run, verdicts = json_object(run_folder / "run.json"), json_object(run_folder / "verdicts.json")
    measured, happened = json_object(run_folder / "measurements.json"), events(run_folder)
    shown = cards(verdicts)
    return {
        "run": run,
        "run_id": str(run.get("run_id") or run_folder.name),
        "when": when(run_folder.name),
        "title": _title(run, run_folder),
        "verdict": worst(verdicts.get("verdict")),
        "sentence": sentence(verdicts),
        "gates": gates(verdicts, measured),
        "tiles": tiles(measured, verdicts),
        "latencies": _latency_rows(measured),
        "outcomes": measured.get("outcomes") or {},
        **_drawings(measured, happened, anomalies_ns=moments_ns(run_folder, entities=[card.entity for card in shown])),
        "stages": stages(measured.get("hops") or {}),
        "cost": measured.get("cost_per_saga") or {},
        "shares": shares(measured.get("cost_per_saga") or {}),
        "memory_mib": measured.get("harness_memory_mib_peak"),
        "recovery": measured.get("recovery") or [],
        "rebalance": (measured.get("rebalance") or {}).get("by_kind") or {},
        "lines": lines(verdicts),
        "cards": shown,
        "knobs": knobs(run),
        "environment": environment(run),
        "files": raw_files(run_folder),
        "missing": measured.get("missing_files") or [],
        "measured": bool(measured),
    }


def _title(run: Mapping[str, Any], run_folder: Path) -> list[str]:
    parts = [run.get("scenario"), run.get("guarantee")]
    fault, broken = run.get("fault"), run.get("broken")
    parts.append("no fault" if fault in (None, "none") else fault)
    parts += [f"broken: {broken}"] if broken else []
    return [str(part) for part in parts if part] if run else [run_folder.name]


def _drawings(
    measured: Mapping[str, Any], happened: Sequence[Mapping[str, Any]], *, anomalies_ns: Sequence[int]
) -> dict[str, Any]:
    columns: Mapping[str, Any] = measured.get("timeline") or {}
    begin_ns = int(columns.get("begin_ns") or 0)
    marks = [Mark(text=_fault_text(row), at_s=(int(row["monotonic_ns"]) - begin_ns) / 1e9) for row in faults(happened)]
    anomalies_s = [(at - begin_ns) / 1e9 for at in anomalies_ns]
    bands_s = [((begin - begin_ns) / 1e9, (end - begin_ns) / 1e9) for begin, end in _bands(happened)]
    over = span(columns, marks_s=[mark.at_s for mark in marks], anomalies_s=anomalies_s, bands_s=bands_s)
    drawn: list[Panel] = panels(columns, over=over)
    owned = tenures(happened, begin_ns=begin_ns, end_s=over.end_s) if begin_ns else []
    lanes = assignment(owned, over=over)
    return {
        "marks": marks,
        "banded": bool(bands_s),
        "phases": [phase for phase in over.phases if phase[2] > 0],
        "panels": [*drawn, lanes] if lanes else drawn,
        "quantile_plot": quantile_plot(measured.get("quantile_curves") or {}),
    }


def _bands(happened: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """From strike to healing of each fault of the plan, in monotonic ns; what never healed lasts to the last event."""
    last_ns = max((int(row["monotonic_ns"]) for row in happened), default=0)
    healed = {str(row.get("fault")): int(row["monotonic_ns"]) for row in happened if row["event"] == "fault-healed"}
    struck = [row for row in happened if row["event"] == "fault-struck"]
    return [(int(row["monotonic_ns"]), healed.get(str(row.get("fault")), last_ns)) for row in struck]


def _fault_text(row: Mapping[str, Any]) -> str:
    if row["event"] == "fault-struck":
        return str(row.get("fault"))
    point = row.get("failpoint") or row.get("fault")
    return f"{row.get('process')} at {point}" if point else f"{row.get('process')} exited ({row.get('exit_code')})"


def _latency_rows(measured: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    wanted = (
        ("Response", "intended → outcome", "response_latency_ms"),
        ("Response in faults", "intended → outcome, while a fault lasted", "response_latency_ms_in_faults"),
        ("End to end", "acknowledged → terminal outcome visible", "end_to_end_latency_ms"),
        ("Service", "sent → acknowledged", "service_latency_ms"),
        ("Wait", "intended → sent (schedule slip)", "wait_ms"),
        ("Errors", "intended → error", "error_latency_ms"),
    )
    rows = [(label, meaning, measured.get(name) or {}) for label, meaning, name in wanted]
    return [(label, meaning, figures) for label, meaning, figures in rows if figures.get("count")]
