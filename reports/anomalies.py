"""When the sagas of the counter-examples were sent, so that the timeline can show where the anomalies lie."""

import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SAGA = re.compile(r"(.+)_\d+")


def moments_ns(run_folder: Path, *, entities: Iterable[str]) -> list[int]:
    """When the order of each saga `<order>_<tr>` among the entities was first sent; other entities have no moment."""
    orders = sorted({found[1] for found in map(SAGA.fullmatch, entities) if found})
    path = run_folder / "operations.parquet"
    if not orders or not path.is_file():
        return []
    wanted = [("entity", "in", orders), ("kind", "==", "checkout"), ("sent_ns", ">", 0)]
    try:
        rows = pq.read_table(path, columns=["entity", "sent_ns"], filters=wanted)
    except (OSError, pa.ArrowException):
        return []  # A damaged history has already cost the run its verdict; the page is drawn without these marks.
    first: dict[str, int] = {}
    for order, sent_ns in zip(rows["entity"].to_pylist(), rows["sent_ns"].to_pylist(), strict=True):
        first[order] = min(sent_ns, first.get(order, sent_ns))
    return sorted(first.values())
