"""The measuring stage: a run folder in, `measurements.json` out; no broker, the same figures every time."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bench.measure import files
from bench.measure.cost import cost_per_saga
from bench.measure.history import History, Window, durations, latencies, measure_window, read_history
from bench.measure.honesty import departures
from bench.measure.hops import hops, read_journals, wall_offset_ms
from bench.measure.quantiles import Mask, curve, distribution
from bench.measure.rebalance import creation_times, moved_partitions, rebalance
from bench.measure.recovery import outside_faults, recovery
from bench.measure.sagas import sagas
from bench.measure.samples import Samples, read_samples
from bench.measure.timeline import backlog_grows, timeline
from bench.measure.validity import Conditions, delivered_share, is_closed_loop, validity

SCHEMA_VERSION = 1


def measure(run_folder: Path) -> dict[str, Any]:
    """Read the run's files and write `measurements.json` beside them, whole or not at all; returns what was written.

    Figures carry their unit in their name and their sample count beside them; what a missing file or too few samples
    cannot carry is null. Throughput is stated over the measure phase, from the first intended operation to the last
    completed one; the offered rate over the intended times alone.
    """
    run = files.json_object(run_folder / "run.json")
    history, samples = read_history(run_folder, run=run), read_samples(run_folder)
    events, journals = files.events(run_folder), read_journals(run_folder)
    created_ns = creation_times(run_folder, wall_offset_ms=wall_offset_ms(events) or 0.0)
    moved = moved_partitions(events, journals, history=history, created_ns=created_ns)
    window = measure_window(history) or Window(begin_ns=0, offered_end_ns=0, end_ns=0)
    figures = {
        "schema_version": SCHEMA_VERSION,
        "missing_files": files.missing(run_folder),
        **_rates(history, window=window),
        **_latencies(history, steady=outside_faults(events, history, moved=moved)),
        "unfinished": int(np.count_nonzero(history.measured & (history.completed_ns == 0))),
        "outcomes": outcomes(history),
        "sagas": sagas(run_folder, history=history, window=window, run=run),
        "hops": hops(run_folder, journals=journals, window=window, wall_offset_ms=wall_offset_ms(events)),
        "cost_per_saga": cost_per_saga(
            history, window=window, samples=samples, counters=files.json_object(run_folder / "counters.json")
        ),
        "harness_memory_mib_peak": samples.harness_memory_mib_peak(),
        "recovery": recovery(events, history=history, journals=journals, samples=samples, moved=moved),
        "rebalance": rebalance(events, history=history, moved=moved),
        "timeline": timeline(history, samples=samples, run=run),
    }
    figures |= _calibration(run, sagas_per_s=figures["sagas"]["sagas_per_s"])
    doubts = departures(history, run=run, events=events)
    figures |= _judged(figures, run=run, history=history, window=window, samples=samples, doubts=doubts)
    _write(run_folder / "measurements.json", figures)
    return figures


def outcomes(history: History) -> dict[str, dict[str, int]]:
    """Kind → outcome → operations of the measure phase."""
    rows = history.phase.mask("measure")
    counts: dict[str, dict[str, int]] = {}
    for kind in history.kind.names:
        of_kind = rows & history.kind.mask(kind)
        found = {word: int(np.count_nonzero(of_kind & history.outcome.mask(word))) for word in ("ok", "fail", "info")}
        if any(found.values()):
            counts[kind] = found
    return counts


def _rates(history: History, *, window: Window) -> dict[str, Any]:
    rows = history.measured
    offered, completed = int(np.count_nonzero(rows)), int(np.count_nonzero(rows & (history.completed_ns > 0)))
    span_s, window_s = (window.offered_end_ns - window.begin_ns) / 1e9, window.duration_s
    return {
        "window": {"begin_ns": window.begin_ns, "offered_end_ns": window.offered_end_ns, "end_ns": window.end_ns},
        "window_s": window.duration_s,
        "offered": offered,
        "completed": completed,
        "offered_per_s": (offered - 1) / span_s if span_s > 0 else None,
        "completed_per_s": completed / window_s if window_s else None,
    }


def _latencies(history: History, *, steady: Mask) -> dict[str, Any]:
    """The four latencies and their curves outside the windows of faults, the response inside them, by outcome and by
    kind, and the errors' own distribution."""
    figures: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for name, found in latencies(history, among=steady).items():
        figures[name] = distribution(found.finished_ms, censored=found.censored_ms)
        curves[name] = curve(found.finished_ms, censored=found.censored_ms)
    error = durations(history, rows=history.measured & history.errors, begin="intended_ns", end="completed_ns")
    struck = durations(history, rows=history.measured & ~steady, begin="intended_ns", end="completed_ns")
    return {
        **figures,
        "steady_operations": int(np.count_nonzero(steady)),
        "response_latency_ms_in_faults": distribution(struck.finished_ms, censored=struck.censored_ms),
        "error_latency_ms": distribution(error.finished_ms),
        "response_latency_ms_by_outcome": _response_by(history, history.outcome.names, of="outcome"),
        "response_latency_ms_by_kind": _response_by(history, history.kind.names, of="kind"),
        "quantile_curves": curves,
    }


def _response_by(history: History, words: list[str], *, of: str) -> dict[str, Any]:
    figures = {}
    for word in words:
        rows = history.measured & getattr(history, of).mask(word)
        found = durations(history, rows=rows, begin="intended_ns", end="completed_ns")
        if found.finished_ms.size or found.censored_ms.size:
            figures[word] = distribution(found.finished_ms, censored=found.censored_ms)
    return figures


def _calibration(run: Mapping[str, Any], *, sagas_per_s: float | None) -> dict[str, Any]:
    """The ceilings measured in the same run, and sagas as a share of what `produce_batch` alone reaches."""
    found = run.get("calibration") or {}
    ceiling = found.get("produce_batch_per_s")
    return {
        "calibration": found,
        "ratio_sagas_to_produce_batch": sagas_per_s / ceiling if ceiling and sagas_per_s else None,
        "produce_batch_records_per_saga": ceiling / sagas_per_s if ceiling and sagas_per_s else None,
    }


def _judged(
    figures: Mapping[str, Any],
    *,
    run: Mapping[str, Any],
    history: History,
    window: Window,
    samples: Samples,
    doubts: Sequence[str],
) -> dict[str, Any]:
    """`machine`, `cpu_cores`, `delivered_share`, `saturated` and the `validity` that follows from them."""
    begin, end = window.begin_ns, window.end_ns
    cores = (run.get("environment") or {}).get("cores")
    machine = samples.machine(begin_ns=begin, end_ns=end, cores=cores if isinstance(cores, int) else None)
    spent_s = samples.cpu_s(begin_ns=begin, end_ns=end) if window.duration_s else {}
    used = {name: spent / window.duration_s for name, spent in spent_s.items()}
    conditions = Conditions(
        closed_loop=is_closed_loop(run),
        wait_ms=figures["wait_ms"],
        response_ms=figures["response_latency_ms"],
        cores=used,
        delivered_share=delivered_share(history, window=window),
        saturated=backlog_grows(history, window=window),
        steal_share=machine["steal_share"],
        # Of what the plan struck the windows are left out of the latencies.
        faults=sum(one["healed_ms"] is None for one in figures["recovery"]),
        departures=doubts,
    )
    return {
        "machine": machine,
        "cpu_cores": used,
        "closed_loop": conditions.closed_loop,
        "delivered_share": conditions.delivered_share,
        "saturated": conditions.saturated,
        "validity": validity(conditions),
    }


def _write(path: Path, figures: Mapping[str, Any]) -> None:
    """Write beside the file and rename over it, so that a reader never meets half a file."""
    fresh = path.with_suffix(".json.tmp")
    fresh.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    os.replace(fresh, path)
