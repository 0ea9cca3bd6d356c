"""How many sagas ended, how, and how many had to be compensated.

The measured ones come from the clients' history; the terminal records and the compensations are counted in the topics,
so that the two can be held against each other.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from bench.measure.files import Unreadable, batches
from bench.measure.history import History, Window
from system.checkout.contract import OUTCOME_CHECKOUT, PAY, STOCK

RECORDED: Final = {
    "terminal_success": (OUTCOME_CHECKOUT, b'"success"'),
    "terminal_fail": (OUTCOME_CHECKOUT, b'"fail"'),
    "compensations_pay": (PAY, b'["can"'),
    "compensations_stock": (STOCK, b'["increment"'),
}
"""Figure → topic and how the value of such a record begins."""


def sagas(run_folder: Path, *, history: History, window: Window, run: Mapping[str, Any]) -> dict[str, Any]:
    """`completed`, `succeeded`, `failed`, `sagas_per_s` of the measure phase; `recorded` over the whole run."""
    rows = history.measured & history.leads
    ended = rows & (history.completed_ns > 0) & ~history.errors
    completed = int(np.count_nonzero(ended))
    return {
        "begun": int(np.count_nonzero(rows)),
        "completed": completed,
        "succeeded": int(np.count_nonzero(ended & history.outcome.mask("ok"))),
        "failed": int(np.count_nonzero(ended & history.outcome.mask("fail"))),
        "sagas_per_s": completed / window.duration_s if window.duration_s else None,
        "recorded": _recorded(run_folder, prefix=str(run.get("prefix") or "")),
    }


def _recorded(run_folder: Path, *, prefix: str) -> dict[str, int | None]:
    """Records of the whole run by what they say, repeated ones included; None where the topic was not dumped."""
    counts: dict[str, int | None] = {}
    for topic in dict.fromkeys(topic for topic, _ in RECORDED.values()):
        wanted = {name: begin for name, (of, begin) in RECORDED.items() if of == topic}
        counts |= _beginnings(run_folder / "topics" / f"{prefix}{topic}.parquet", wanted)
    return counts


def _beginnings(path: Path, wanted: Mapping[str, bytes]) -> dict[str, int | None]:
    counts = dict.fromkeys(wanted, 0)
    try:
        for batch in batches(path, columns=("value",)):
            for name, begin in wanted.items():
                counts[name] += pc.sum(pc.starts_with(batch.column(0), pattern=begin)).as_py() or 0
    except Unreadable:
        return dict.fromkeys(wanted)
    return dict(counts)
