"""`raw.json`: every setting and figure of a run of `choreobench raw`, units in names, samples beside the medians."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from bench.measure.quantiles import distribution
from bench.raw import claims, settings
from bench.raw.contenders import COLUMNAR
from bench.raw.intervals import Interval, interval, ratio
from bench.raw.machine import Bound
from bench.raw.plan import Cell, Plan
from bench.raw.rounds import Measured
from bench.raw.threads import Busy, bottleneck
from bench.recording.environment import checkout

SCHEMA_VERSION: Final = 1
FILE: Final = "raw.json"


@dataclass(slots=True)
class Record:
    """A run of `choreobench raw` while it goes on, cell by cell."""

    run_id: str
    command: str
    seed: int
    plan: Plan
    environment: Mapping[str, Any]
    bounds: Sequence[Bound] = ()
    cells: list[tuple[Cell, list[Measured]]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def write(record: Record, folder: Path) -> Path:
    """Writes `raw.json`, whole or not at all."""
    partial = folder / f"{FILE}.partial"
    partial.write_bytes(orjson.dumps(content(record), option=orjson.OPT_INDENT_2))
    return partial.replace(folder / FILE)


def content(record: Record) -> dict[str, Any]:
    """The whole document."""
    state = checkout()
    told = () if record.plan.profile.is_sketch else record.cells
    figures = {cell.name: {one.contender.name: one.figures() for one in found} for cell, found in told}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": record.run_id,
        "profile": record.plan.name,
        "seed": record.seed,
        "command": record.command,
        "commit": state.commit,
        "dirty": state.dirty,
        "environment": dict(record.environment),
        "settings": _settings(),
        "machine": _machine(record.bounds, seed=record.seed),
        "cells": [_cell(cell, found, seed=record.seed) for cell, found in record.cells],
        "claims": [_claim(one) for one in claims.held(figures, seed=record.seed)],
        "left_out": record.left_out,
    }


def _settings() -> dict[str, Any]:
    """What is alike in every cell; what varies stands in the cell. How the cluster is reached is nobody's to read."""
    base = Cell(name="produce", workload="produce")
    return {
        "librdkafka_producer": settings.producer({}, base),
        "librdkafka_consumer": settings.consumer({}, group="one a measurement"),
        "java_producer": settings.java_producer(base),
        "java_consumer": settings.java_consumer(),
        "transaction_s": settings.TRANSACTION_S,
    }


def _machine(bounds: Sequence[Bound], *, seed: int) -> dict[str, Any]:
    names = ("memory_copy_bytes_per_s", "loopback_bytes_per_s", "loopback_round_trip_us")
    samples = {name: [float(getattr(one, name)) for one in bounds] for name in names}
    return {name: _figure(found, seed=seed) for name, found in samples.items() if found}


def _figure(samples: Sequence[float], *, seed: int) -> dict[str, Any]:
    return {**asdict(interval(samples, seed=seed)), "samples": list(samples)}


def _cell(cell: Cell, found: Sequence[Measured], *, seed: int) -> dict[str, Any]:
    ours = next(one for one in found if one.contender.name == COLUMNAR)
    return {
        **asdict(cell),
        "contenders": [_contender(cell, one, seed=seed) for one in found],
        "ours_to": {
            one.contender.name: asdict(_advantage(cell, ours, one, seed=seed)) for one in found if one is not ours
        },
    }


def _advantage(cell: Cell, ours: Measured, other: Measured, *, seed: int) -> Interval:
    """How many times as good the columnar client is, round by round: as fast, or as short a trip."""
    if cell.workload == "round-trip":
        return ratio(other.figures(), ours.figures(), seed=seed)
    return ratio(ours.figures(), other.figures(), seed=seed)


def _contender(cell: Cell, measured: Measured, *, seed: int) -> dict[str, Any]:
    name = "round_trip_mean_us" if cell.workload == "round-trip" else "rate_records_per_s"
    busy = [sample.busy for sample in measured.samples if sample.busy is not None]
    trips = [sample.trips_us for sample in measured.samples if sample.trips_us is not None]
    return {
        "name": measured.contender.name,
        "records": measured.samples[0].records,
        name: _figure(measured.figures(), seed=seed),
        **({"round_trip_us": distribution(np.concatenate(trips))} if trips else {}),
        **({"busy_cores": _busy(busy), "bottleneck": _bottleneck(busy)} if busy else {}),
    }


def _busy(found: Sequence[Busy]) -> dict[str, float | None]:
    """The median of each share over the rounds."""
    names = ("application", "client_thread", "broker_thread", "broker", "machine")
    columns = {name: [getattr(one, name) for one in found] for name in names}
    medians = {name: None if None in column else float(np.median(column)) for name, column in columns.items()}
    return {**medians, "cores": float(found[0].cores)}


def _bottleneck(found: Sequence[Busy]) -> str:
    """Of most rounds; a tie is the first one's."""
    named = [bottleneck(one) for one in found]
    return max(named, key=named.count)


def _claim(one: claims.Held) -> dict[str, Any]:
    measured = None if one.measured is None else asdict(one.measured)
    return {**asdict(one.claim), "unit": one.claim.unit, "measured": measured, "verdict": one.verdict}
