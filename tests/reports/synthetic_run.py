"""A run folder that never ran: the files of a run, drawn from a seed, for tests of what reads them.

Services poll every 20 ms; a crash (if any) stalls one of them for `STALL_S`, so that lag, latency and redelivery rise
where a real crash would raise them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

PREFIX = "r1a2b3c-"
EPOCH_NS = 5_000_000_000_000
WALL_MS = 1_790_000_000_000
PARTITIONS = 4
SERVICES = {"pay": "Pay-topic", "stock": "Stock-topic", "order": "Outcomes-topic"}
STALL_S = 2.5
POLL_NS = 20_000_000


@dataclass(frozen=True)
class Shape:
    """How much happened: operations at a rate, a share of failing ones, a crash after `crash_s` (0 = none)."""

    operations: int = 6_000
    rate_per_s: float = 1_000.0
    warm_up: int = 1_000
    crash_s: float = 0.0
    closed_loop: bool = False
    unfinished: int = 0
    seed: int = 1


def write_run(folder: Path, shape: Shape | None = None, *, verdicts: Mapping[str, Any] | None = None) -> Path:
    """Write every file of a run folder but `measurements.json` and `report.html`; returns the folder."""
    shape = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True)
    columns = _operations(shape)
    end_ns = int(columns["completed_ns"].max()) + 500_000_000
    _write_operations(folder, columns, shape)
    _write_topics(folder, columns, shape)
    _write_samples(folder, columns, end_ns=end_ns, shape=shape)
    _write_events(folder, shape, end_ns=end_ns)
    _write_json(folder / "run.json", run_json(folder.name, shape, end_ns=end_ns))
    _write_json(folder / "counters.json", _counters(shape, end_ns=end_ns))
    _write_json(folder / "verdicts.json", dict(verdicts or VALID))
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "pay-0.log").write_text("ready\n", encoding="utf-8")
    return folder


VALID: dict[str, Any] = {
    "verdict": "VALID",
    "safety": "VALID",
    "liveness": "VALID",
    "measurement": "VALID",
    "checkers": [
        {
            "checker": "credit_is_conserved",
            "gate": "safety",
            "verdict": "VALID",
            "examined": {"users": 1000, "inbox_rows": 60210, "orders": 50000},
            "anomalies": [],
        },
        {
            "checker": "no_order_is_pending",
            "gate": "liveness",
            "verdict": "VALID",
            "examined": {"orders": 50000},
            "anomalies": [],
        },
        {
            "checker": "aborted_read",
            "gate": "safety",
            "verdict": "NOT APPLICABLE",
            "reason": "no transactions under idempotent",
            "examined": {},
            "anomalies": [],
        },
    ],
}

ANOMALY: dict[str, Any] = {
    "kind": "double-effect",
    "entity": "17_1",
    "count": 1,
    "tolerated": False,
    "explanation": "User 3 was charged twice for order 17, tr 1: credit fell by 84 where 42 was owed.",
    "evidence": [
        '12.041 s  Pay-topic[2]@811  17_1  ["pay",42,"3"]',
        "12.060 s  pay.inbox  (17, 1, false)  psuccess  balance 958",
        '12.063 s  Outcomes-topic[2]@1530  17_1  ["psuccess",42]',
        '14.112 s  Pay-topic[2]@811  17_1  ["pay",42,"3"]  (redelivered)',
        "14.130 s  pay.users  3  credit 916",
    ],
}

INVALID: dict[str, Any] = {
    **VALID,
    "verdict": "INVALID",
    "safety": "INVALID",
    "checkers": [{**VALID["checkers"][0], "verdict": "INVALID", "anomalies": [ANOMALY]}, *VALID["checkers"][1:]],
}


def run_json(run_id: str, shape: Shape, *, end_ns: int) -> dict[str, Any]:
    """A `run.json` of the shape; `phases` cover warm-up, measure and drain."""
    begin = EPOCH_NS
    warm = begin + int(shape.warm_up / shape.rate_per_s * 1e9)
    stop = begin + int(shape.operations / shape.rate_per_s * 1e9)
    rate: Any = "max" if shape.closed_loop else shape.rate_per_s
    knobs = {"rate": (rate, "operations/s"), "operations": (shape.operations, "operations"), "partitions": (4, None)}
    knobs |= {"linger.ms": (5, "ms"), "zipf_exponent": (1.1, None), "fail_for_credit_share": (0.06, "share")}
    return {
        "schema_version": 1,
        "run_id": run_id,
        "scenario": "checkout",
        "guarantee": "idempotent",
        "fault": "crash:order@after-state#40" if shape.crash_s else "none",
        "broken": None,
        "seed": shape.seed,
        "prefix": PREFIX,
        "command": "choreobench run checkout --guarantee idempotent --rate 1000 --seed 1",
        "knobs": {name: {"value": value, "unit": unit} for name, (value, unit) in knobs.items()},
        "environment": {"cores": 2, "kernel": "6.1.0", "kafka": "4.3.1", "postgresql": "18.1", "python": "3.11.9"},
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "calibration": {"produce_batch_per_s": 1_050_000.0, "driver_null_sink_per_s": 310_000.0},
        "phases": [
            {"name": "warm-up", "begin": begin, "end": warm},
            {"name": "measure", "begin": warm, "end": stop},
            {"name": "drain", "begin": stop, "end": end_ns},
        ],
    }


def _operations(shape: Shape) -> dict[str, NDArray[np.int64]]:
    draw = np.random.default_rng(shape.seed)
    count = shape.operations
    intended = EPOCH_NS + np.cumsum(draw.exponential(1e9 / shape.rate_per_s, count)).astype(np.int64)
    sent = intended + (draw.gamma(2.0, 0.2, count) * 1e6).astype(np.int64)
    acknowledged = sent + ((1.2 + draw.gamma(2.0, 1.0, count)) * 1e6).astype(np.int64)
    completed = acknowledged + ((9 + draw.gamma(3.0, 2.5, count) + draw.pareto(3.0, count)) * 1e6).astype(np.int64)
    if shape.crash_s:
        crash = EPOCH_NS + int(shape.crash_s * 1e9)
        struck = (completed > crash) & (completed < crash + int(STALL_S * 1e9))
        completed[struck] = crash + int(STALL_S * 1e9) + ((completed[struck] - crash) * 0.12).astype(np.int64)
    if shape.unfinished:
        completed[-shape.unfinished :] = 0
    return {"intended_ns": intended, "sent_ns": sent, "acknowledged_ns": acknowledged, "completed_ns": completed}


def _write_operations(folder: Path, columns: Mapping[str, NDArray[np.int64]], shape: Shape) -> None:
    count = shape.operations
    outcome = np.where(np.arange(count) % 10 == 3, "fail", "ok")
    outcome[columns["completed_ns"] == 0] = "info"
    words = {
        "kind": pa.array(["checkout"] * count).dictionary_encode(),
        "entity": pa.array(np.arange(count).astype(str)),
        "outcome": pa.array(outcome).dictionary_encode(),
        "phase": pa.array(np.where(np.arange(count) < shape.warm_up, "warm-up", "measure")).dictionary_encode(),
        "error": pa.nulls(count, pa.string()),
        "response": pa.array(['{"tr":1}'] * count).dictionary_encode(),
    }
    pq.write_table(pa.table({"operation": np.arange(count), **words, **columns}), folder / "operations.parquet")


def _write_topics(folder: Path, columns: Mapping[str, NDArray[np.int64]], shape: Shape) -> None:
    (folder / "topics").mkdir(exist_ok=True)
    (folder / "journal").mkdir(exist_ok=True)
    failing = np.arange(shape.operations) % 10 == 3
    pay = np.where(failing, b'["can",42,"3"]', b'["pay",42,"3"]')
    values = {"Pay-topic": pay, "Stock-topic": np.full(shape.operations, b'["decrement",[["7",1]]]')}
    values["Outcomes-topic"] = np.full(shape.operations, b'["psuccess",42]')
    values["Outcome-checkout-topic"] = np.where(failing, b'"fail"', b'"success"')
    for slot, (topic, value) in enumerate(values.items()):
        stamped = columns["sent_ns"] + (slot * 4 + 1) * 1_000_000
        rows = _write_topic(folder / "topics" / f"{PREFIX}{topic}.parquet", stamped, value)
        service = next((name for name, read in SERVICES.items() if read == topic), None)
        if service:
            _write_journal(folder / "journal" / f"{service}-0.parquet", rows, topic=topic, shape=shape)


def _write_topic(path: Path, stamped_ns: NDArray[np.int64], value: NDArray[Any]) -> pa.Table:
    partition = (np.arange(stamped_ns.size) * 7 % PARTITIONS).astype(np.int32)
    order = np.lexsort((stamped_ns, partition))
    counts = np.bincount(partition, minlength=PARTITIONS)
    offset = np.concatenate([np.arange(n) for n in counts])
    rows = pa.table(
        {
            "partition": partition[order],
            "offset": offset,
            "timestamp_ms": (stamped_ns[order] - EPOCH_NS) // 1_000_000 + WALL_MS,
            "key": pa.array([b"1_1"] * stamped_ns.size, pa.binary()),
            "value": pa.array(value[order].tolist(), pa.binary()),
        }
    )
    pq.write_table(rows, path)
    return rows


def _write_journal(path: Path, rows: pa.Table, *, topic: str, shape: Shape) -> None:
    """A batch every 20 ms and partition, with the records stamped since the last one."""
    partition, offset = rows["partition"].to_numpy(), rows["offset"].to_numpy()
    slot = ((rows["timestamp_ms"].to_numpy() - WALL_MS) * 1_000_000) // POLL_NS
    _, first = np.unique(partition.astype(np.int64) * 10**9 + slot, return_index=True)
    last = np.append(first[1:], offset.size) - 1
    polled = EPOCH_NS + (slot[first] + 1) * POLL_NS
    if shape.crash_s and path.stem.startswith("order"):
        crash, back = EPOCH_NS + int(shape.crash_s * 1e9), EPOCH_NS + int((shape.crash_s + STALL_S) * 1e9)
        polled = np.where((polled > crash) & (polled < back), back + (polled - crash) // 10, polled)
    draw = np.random.default_rng(shape.seed + len(path.stem))
    steps = {}
    at = polled
    for name, mean_ms in (("handled_ns", 4.0), ("stored_ns", 2.5), ("produced_ns", 3.0), ("committed_ns", 1.0)):
        at = at + (draw.gamma(3.0, mean_ms / 3.0, at.size) * 1e6).astype(np.int64)
        steps[name] = at
    pq.write_table(
        pa.table(
            {
                "generation": np.ones(first.size, dtype=np.int32),
                "topic": pa.array([f"{PREFIX}{topic}"] * first.size),
                "partition": partition[first],
                "first_offset": offset[first],
                "last_offset": offset[last],
                "records": offset[last] - offset[first] + 1,
                "polled_ns": polled,
                **steps,
            }
        ),
        path,
    )


def _write_samples(folder: Path, columns: Mapping[str, NDArray[np.int64]], *, end_ns: int, shape: Shape) -> None:
    draw = np.random.default_rng(shape.seed)
    moments = np.arange(EPOCH_NS - 1_000_000_000, end_ns + 1_000_000_000, 1_000_000_000)
    cores = {"driver": 0.31, "pay-0": 0.22, "stock-0": 0.3, "order-0": 0.34, "live-reader": 0.05}
    cores |= {"broker-1": 0.35, "postgres": 0.3}
    rows: list[dict[str, Any]] = []
    for name, share in cores.items():
        used = np.cumsum(share * draw.uniform(0.9, 1.1, moments.size))
        for at, cpu_s in zip(moments.tolist(), used.tolist(), strict=True):
            memory = {"broker-1": 620, "postgres": 180}.get(name, 110) * 1024 * 1024
            rows.append({"monotonic_ns": at, "process": name, "cpu_s": cpu_s, "rss_bytes": memory})
    for service, scale in (("pay", 12), ("stock", 18), ("order", 30)):
        for at in moments.tolist():
            stalled = shape.crash_s and service == "order" and 0 < (at - EPOCH_NS) / 1e9 - shape.crash_s < STALL_S
            lag = int(shape.rate_per_s * ((at - EPOCH_NS) / 1e9 - shape.crash_s)) if stalled else 0
            lag += int(draw.poisson(scale))
            rows.append({"monotonic_ns": at, "process": f"lag:{service}", "lag_records": lag})
    for at in moments.tolist():
        rows.append({"monotonic_ns": at, "process": "machine", "steal_s": 0.0, "pressure_cpu_some_us": at // 5000})
    pq.write_table(pa.Table.from_pylist(rows, schema=SAMPLES), folder / "samples.parquet")


SAMPLES = pa.schema(
    [
        ("monotonic_ns", pa.int64()),
        ("process", pa.string()),
        ("cpu_s", pa.float64()),
        ("rss_bytes", pa.int64()),
        ("lag_records", pa.int64()),
        ("steal_s", pa.float64()),
        ("pressure_cpu_some_us", pa.int64()),
    ]
)


def _write_events(folder: Path, shape: Shape, *, end_ns: int) -> None:
    rows = []
    for service, topic in SERVICES.items():
        rows += _life(service, topic, at_s=-0.8, generation=1)
    rows.append(_event("phase-began", "runner", 0.0, phase="warm-up"))
    rows.append(_event("phase-began", "runner", shape.warm_up / shape.rate_per_s, phase="measure"))
    if shape.crash_s:
        rows.append(
            _event("failpoint-reached", "order-0", shape.crash_s, failpoint="crash:order@after-state#40", count=40)
        )
        rows.append(_event("process-exited", "order-0", shape.crash_s + 0.02, pid=4242, exit_code=-9))
        rows += _life("order", "Outcomes-topic", at_s=shape.crash_s + 0.3, generation=2)
        fields: dict[str, object] = {"partition": 1, "from": 10, "to": 52, "records": 42}
        rows.append(_event("rebuild-finished", "order-0", shape.crash_s + STALL_S - 0.1, **fields))
    rows.append(_event("phase-began", "runner", (end_ns - EPOCH_NS) / 1e9 - 1, phase="drain"))
    body = b"\n".join(orjson.dumps(row) for row in sorted(rows, key=lambda row: int(row["monotonic_ns"])))
    (folder / "events.jsonl").write_bytes(body + b"\n")


def _life(service: str, topic: str, *, at_s: float, generation: int) -> list[dict[str, Any]]:
    process = f"{service}-0"
    owned = {"group": f"{PREFIX}{service}", "topic": f"{PREFIX}{topic}", "partitions": list(range(PARTITIONS))}
    later = at_s + (STALL_S - 0.4 if generation > 1 else 0.4)
    return [
        _event("process-started", process, at_s, pid=4242),
        _event("partitions-assigned", process, later, generation=generation, **owned),
        _event("process-ready", process, later + 0.05),
    ]


def _event(event: str, process: str, at_s: float, **fields: object) -> dict[str, Any]:
    at_ns = EPOCH_NS + int(at_s * 1e9)
    return {"event": event, "process": process, "monotonic_ns": at_ns, "wall_ms": WALL_MS + int(at_s * 1e3), **fields}


def _counters(shape: Shape, *, end_ns: int) -> dict[str, Any]:
    end = {"postgres_wal_bytes": 900 * shape.operations, "postgres_fsyncs": shape.operations // 20}
    end |= {"broker_log_bytes": 410 * shape.operations, "monotonic_ns": end_ns}
    return {"begin": {**dict.fromkeys(end, 0), "monotonic_ns": EPOCH_NS - 10**9}, "end": end}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2))
