"""`FileObserver`: what one process reports, appended to its own raw files, a write a call, so that a SIGKILL loses
nothing reported.

Files: `<run>/raw/{journal,acks}/<process>~<start>.bin` and `<run>/raw/events/<process>~<start>.jsonl`, a set for each
incarnation of the process, so a torn end never stands before good rows. `bench.recording.convert` joins the
incarnations.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from bench.recording.frames import JOURNAL_ROW, packed, write_all
from system.kafka.columns import Numbers
from system.runtime.observer import Span, Times

SEPARATOR: Final = "~"
"""Between a process's name and its start, monotonic ns; no process name has one."""

_LINE: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class FileObserver:
    """An `Observer` of one process; safe to call from several of its threads (each call is one append)."""

    def __init__(self, folder: Path, process: str, *, events_only: bool = False) -> None:
        """`folder` is the run folder; `process` as in the recordings, such as `pay-0`.

        `events_only` for the runner and others that are no workers: they leave no journal and no delivery reports.
        """
        if not process or SEPARATOR in process or "/" in process:
            raise ValueError(f"process name {process!r} must be a file name without {SEPARATOR!r}")
        self.process = process
        incarnation = f"{process}{SEPARATOR}{time.monotonic_ns():020d}"
        self._events = _opened(folder / "raw" / "events" / f"{incarnation}.jsonl")
        if not events_only:
            self._journal = _opened(folder / "raw" / "journal" / f"{incarnation}.bin")
            self._acks = _opened(folder / "raw" / "acks" / f"{incarnation}.bin")
        self._descriptors = [self._events] if events_only else [self._events, self._journal, self._acks]

    def batch(self, spans: Sequence[Span], times: Times, *, generation: int, transaction: str | None) -> None:
        """A journal row a span. 10 µs with four spans."""
        names: list[str | None] = [transaction]
        index: dict[str, int] = {}
        rows = []
        for topic, partition, first_offset, last_offset, records in spans:
            if topic not in index:
                index[topic] = len(names)
                names.append(topic)
            rows.append(
                JOURNAL_ROW.pack(generation, index[topic], partition, records, first_offset, last_offset, *times)
            )
        write_all(self._journal, packed(names, b"".join(rows)))

    def acknowledged(
        self,
        topic: str,
        partitions: Numbers,
        offsets: Numbers,
        errors: Sequence[str | None] | None,
        transaction: str | None,
    ) -> None:
        """The columns as they are: partitions, then offsets; errors by row number, as there are few."""
        failed = {} if errors is None else {str(row): error for row, error in enumerate(errors) if error is not None}
        columns = np.asarray(partitions, "<i4").tobytes() + np.asarray(offsets, "<i8").tobytes()
        write_all(self._acks, packed([topic, transaction, failed], columns))

    def event(self, event: str, **fields: object) -> None:
        """One JSON line with both clocks; a field named `process` replaces the observer's own, so that a runner
        speaks for others.
        """
        line = {
            "event": event,
            "process": self.process,
            "monotonic_ns": time.monotonic_ns(),
            "wall_ms": time.time_ns() // 1_000_000,
            **fields,
        }
        write_all(self._events, orjson.dumps(line, default=str, option=_LINE))

    def close(self) -> None:
        """Close the files; nothing was buffered."""
        for descriptor in self._descriptors:
            os.close(descriptor)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
