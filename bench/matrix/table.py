"""What `choreobench matrix` ends with on the terminal: the table of its kind, then the claims."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.matrix import crash
from bench.matrix.cells import Result

WIDTH: Final = 150
"""Of tables that go to a file; on a terminal they have the terminal's."""
STYLES: Final = {
    **dict.fromkeys(("VALID", "held", "caught", "clean"), "green"),
    **dict.fromkeys(("INVALID", "broken", "missed", "accused"), "bold red"),
    **dict.fromkeys(("UNKNOWN", "unknown", "not tried"), "yellow"),
}


def print_document(console: Console, document: Mapping[str, Any]) -> None:
    """The cells of `matrix.json` as a table, and its claims."""
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH, highlight=False)
    draw = {
        "crash": _crash,
        "fault": _crash,
        "kill": _kill,
        "guarantee": _guarantee,
        "rebalance": _rebalance,
    }[document["kind"]]
    console.print(draw(document))
    claims = Table(box=None, show_header=False, pad_edge=False)
    for claim in document["claims"]:
        claims.add_row(_word(claim["verdict"]), claim["sentence"], claim["found"])
    console.print(claims)


def _word(verdict: str) -> Text:
    return Text(verdict, style=STYLES.get(verdict, ""))


def _table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def said(result: Result) -> str:
    """A crash cell in words: what was found in spite of the guarantee, else what it tolerates, else why not known."""
    wrong, tolerated = crash.kinds(result, tolerated=False), crash.kinds(result, tolerated=True)
    if wrong:
        return _listed(wrong)
    if result["verdict"] == "UNKNOWN":
        return "; ".join(result["reasons"]) or "not known"
    return f"tolerated: {_listed(tolerated)}" if tolerated else "nothing"


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} ×{count:,}" for kind, count in kinds.items())


def seconds(recovery_ms: Sequence[float | None]) -> str:
    """`0.4 to 6.2 s` of what is known."""
    known = sorted(value / 1000 for value in recovery_ms if value is not None)
    if not known:
        return "no commit"
    return f"{known[0]:.1f} s" if len(known) == 1 else f"{known[0]:.1f} to {known[-1]:.1f} s"


def _crash(document: Mapping[str, Any]) -> Table:
    title, place = ("Fault matrix", "fault") if document["kind"] == "fault" else ("Crash matrix", "point")
    table = _table(title, "guarantee", place, "verdict", "found", numbers=("recovered in",))
    for one in document["cells"]:
        recovered = seconds([crash["recovery_ms"] for crash in one["recovery"]])
        table.add_row(one["column"], one["row"], _word(one["verdict"]), said(one), recovered)
    return table


def _kill(document: Mapping[str, Any]) -> Table:
    table = _table("Kill matrix", "what", "wrong", "fate", "caught by", numbers=("examined",))
    for one in document["cells"]:
        by = ", ".join(one["caught_by"]) or "; ".join(one["reasons"])
        table.add_row(one["column"], one["row"], _word(one["fate"]), by, f"{examined(one):,}")
    return table


def examined(result: Result) -> int:
    """What the catching checkers looked at; in a clean run the most that any did."""
    numbers = result["examined"]
    return max((numbers[name] for name in result["caught_by"] or numbers if name in numbers), default=0)


def _guarantee(document: Mapping[str, Any]) -> Table:
    numbers = ("sagas/s", "of " + document["yardstick"], "p50", "p99", "CPU a saga", "WAL", "broker", "anomalies")
    table = _table("Price of correctness", "guarantee", numbers=numbers)
    for name, price in document["prices"].items():
        latency = price["response_latency_ms"] or {}
        table.add_row(
            name,
            f"{price['sagas_per_s']['median']:,.0f}",
            times(price["ratio"]),
            _figure(latency.get("p50"), " ms"),
            _figure(latency.get("p99"), " ms"),
            _figure(price["cpu_us_total"], " µs"),
            _figure(price["wal_bytes"], " B"),
            _figure(price["broker_bytes"], " B"),
            f"{price['anomalies']:,}",
        )
    return table


def _rebalance(document: Mapping[str, Any]) -> Table:
    numbers = ("hand-overs", "median", "p90", "overlap", "behind by", "latency back in")
    table = _table("Rebalances, given up → first new record", "protocol", "shape", "change", numbers=numbers)
    for one in document["rebalances"]:
        first, lost = one["first_record_ms"] or {}, one["goodput_lost_operations"] or {}
        overlap, latency = one["ownership_overlap_ms"] or {}, one["latency_back_ms"] or {}
        table.add_row(
            one["protocol"],
            one["shape"],
            one["kind"],
            f"{one['handovers']:,}",
            _figure(first.get("median"), " ms"),
            _figure(first.get("p90"), " ms"),
            _figure(overlap.get("max"), " ms"),
            _figure(lost.get("median"), ""),
            _figure(latency.get("median"), " ms"),
        )
    return table


def times(interval: Mapping[str, Any] | None) -> str:
    """`0.62 × (0.58 to 0.66)`."""
    if interval is None:
        return "—"
    return f"{interval['median']:.2f} × ({interval['low']:.2f} to {interval['high']:.2f})"


def _figure(value: float | None, unit: str) -> str:
    return "—" if value is None else f"{value:,.0f}{unit}"
