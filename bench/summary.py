"""What a run ends with on the terminal: the verdict first, then the headline figures, the anomalies, and where the
report is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.check import Verdicts

STYLE = {"VALID": "bold green", "UNKNOWN": "bold yellow", "INVALID": "bold red"}
SHOWN_A_KIND = 3


def print_summary(console: Console, folder: Path, verdicts: Verdicts) -> None:
    """Verdict, figures, anomalies (most telling ones), report."""
    head = Text()
    for gate in ("verdict", "safety", "liveness", "measurement"):
        value = str(verdicts[gate])
        label = "" if gate == "verdict" else f"{gate} "
        head.append(f"{label}{value}  ", style=STYLE[value] if gate == "verdict" else "")
    console.print(head)
    _print_figures(console, folder, str(verdicts["verdict"]))
    for checker in verdicts["checkers"]:
        _print_checker(console, checker)
    _print_unsure(console, verdicts["checkers"])
    report = folder / "report.html"
    console.print(
        f"report {report if report.exists() else 'not rendered yet: choreobench report ' + str(folder)}",
    )


def _print_figures(console: Console, folder: Path, verdict: str) -> None:
    path = folder / "measurements.json"
    if not path.exists():
        return
    figures = orjson.loads(path.read_bytes())
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in headline(figures):
        table.add_row(name, value, "" if verdict == "VALID" else f"({verdict})")
    console.print(table)


def headline(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, figure with its unit) of the few that matter first; what a run does not carry is left out."""
    sagas = figures.get("sagas") or {}
    ratio = figures.get("ratio_sagas_to_produce_batch")
    rows = [
        ("sagas", _number(sagas.get("sagas_per_s"), "/s")),
        ("of produce_batch alone", f"1/{1 / ratio:.1f}" if ratio else ""),
        ("offered", _number(figures.get("offered_per_s"), "/s")),
    ]
    for name in ("response_latency_ms", "end_to_end_latency_ms", "wait_ms"):
        found = figures.get(name) or {}
        parts = [f"{key} {found[key]:,.1f} ms" for key in ("p50", "p99", "p99_9") if found.get(key) is not None]
        rows.append((name.removesuffix("_ms").replace("_", " "), ", ".join(parts)))
    rows.append(("unfinished", _number(figures.get("unfinished"), "")))
    rows.append(("harness memory", _number(figures.get("harness_memory_mib_peak"), " MiB")))
    return [(name, value) for name, value in rows if value]


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:,.0f}{unit}"


def _print_checker(console: Console, checker: dict[str, Any]) -> None:
    """A checker that found something; those that could not say are told of together."""
    if not checker["anomalies"] and checker["verdict"] != "INVALID":
        return
    reason = f": {checker['reason']}" if checker.get("reason") else ""
    console.print(Text(f"{checker['verdict']} {checker['checker']}{reason}", style=STYLE.get(checker["verdict"], "")))
    shown: dict[str, int] = {}
    for anomaly in checker["anomalies"]:
        kind = anomaly["kind"]
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] <= SHOWN_A_KIND:
            tolerated = " (tolerated)" if anomaly["tolerated"] else ""
            explanation = anomaly.get("explanation", "")
            console.print(
                f"  {kind}{tolerated} {anomaly['entity']} ×{anomaly['count']} {explanation}",
                markup=False,
            )


def _print_unsure(console: Console, checkers: Sequence[dict[str, Any]]) -> None:
    """What kept checkers from a verdict, once a reason: an incomplete run stops most of them."""
    stopped: dict[str, list[str]] = {}
    for checker in checkers:
        if checker["verdict"] == "UNKNOWN" and not checker["anomalies"]:
            stopped.setdefault(str(checker["reason"]), []).append(checker["checker"])
    for reason, names in stopped.items():
        who = names[0] if len(names) == 1 else f"{len(names)} of {len(checkers)} checkers"
        console.print(Text(f"UNKNOWN {who}: {reason}", style=STYLE["UNKNOWN"]))
