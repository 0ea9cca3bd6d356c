"""The clients' history while it is written: memory-mapped columns, so that a SIGKILLed driver loses nothing recorded.

A row an operation, in schedule order. All times are CLOCK_MONOTONIC ns, 0 = never. `sent_ns` is stored before the
operation is handed to the system, so a row whose `sent_ns` is 0 has certainly had no effect. The page cache outlives
the process; only a machine that dies could lose rows.
"""

import json
import os
import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadgen.target import FAIL, INFO

NOT_SENT: Final = "not sent"
"""Error of an operation that stayed in the schedule: outcome `fail`, as what was never handed over has no effect."""
UNFINISHED: Final = "unfinished"
"""Error of an operation that was handed over and whose outcome never came: outcome `info`."""

_COLUMNS: Final = {
    "intended_ns": np.int64,
    "sent_ns": np.int64,
    "acknowledged_ns": np.int64,
    "completed_ns": np.int64,
    "balance": np.int64,
    "tr": np.int32,
    "outcome": np.uint8,
    "error": np.uint8,
}
_ERRORS_MAX: Final = 254
_OTHER: Final = "other error"


class Progress(NamedTuple):
    """The driver's counters, cumulative; `*_began_ns` and `ended_ns` are CLOCK_MONOTONIC, 0 = not yet."""

    sent: int
    finished: int
    ok: int
    fail: int
    info: int
    errors: int
    repeated_outcomes: int
    warmup_began_ns: int
    measure_began_ns: int
    drain_began_ns: int
    ended_ns: int


@dataclass(frozen=True)
class History:
    """Writable (or read-only) columns of one run; `balance` is -1 and `tr` 0 where an operation has none."""

    folder: Path
    warm_up: int
    intended_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    acknowledged_ns: NDArray[np.int64]
    completed_ns: NDArray[np.int64]
    balance: NDArray[np.int64]
    tr: NDArray[np.int32]
    outcome: NDArray[np.uint8]
    error: NDArray[np.uint8]
    progress: NDArray[np.int64]
    error_names: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __len__(self) -> int:
        return len(self.sent_ns)

    def error_code(self, name: str) -> int:
        """The code of an error's name (1…255), stored on disk at its first use. Any thread may call it."""
        with self._lock:
            if name not in self.error_names:
                if len(self.error_names) >= _ERRORS_MAX:
                    name = _OTHER
                self.error_names.append(name)
                with (self.folder / "errors.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(name) + "\n")
            return self.error_names.index(name) + 1

    def first_unsent(self) -> int:
        """The number of the first operation that was never handed over; the length where all were."""
        return bisect_left(self.sent_ns, True, key=lambda sent_ns: bool(sent_ns == 0))


def create_history(folder: Path, *, operations: int, warm_up: int = 0) -> History:
    """Fresh columns for `operations` rows in a new folder; the first `warm_up` rows are the warm-up phase.

    Raises `OSError` where there is no space for them.
    """
    if operations < 1 or not 0 <= warm_up <= operations:
        raise ValueError(f"{operations} operations with {warm_up} of warm-up; legal: 1 or more, of which 0 or more")
    folder.mkdir(parents=True, exist_ok=False)
    for name, dtype in _COLUMNS.items():
        _allocate(folder / name, operations * np.dtype(dtype).itemsize)
        if name == "balance":
            np.memmap(folder / name, dtype=dtype, mode="r+", shape=(operations,))[:] = -1
    _allocate(folder / "progress", len(Progress._fields) * np.dtype(np.int64).itemsize)
    (folder / "errors.jsonl").touch()
    (folder / "history.json").write_text(json.dumps({"operations": operations, "warm_up": warm_up}), encoding="utf-8")
    return open_history(folder, writable=True)


def _allocate(path: Path, size_bytes: int) -> None:
    """Zeros. A hole that finds no space when it is first touched would kill its process (SIGBUS), be it a reader."""
    with path.open("xb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)


def open_history(folder: Path, *, writable: bool = False) -> History:
    """The columns of an earlier `create_history`. Raises `FileNotFoundError` where there are none."""
    meta = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    mode: Any = "r+" if writable else "r"
    columns: dict[str, Any] = {
        name: np.asarray(np.memmap(folder / name, dtype=dtype, mode=mode, shape=(meta["operations"],)))
        for name, dtype in _COLUMNS.items()
    }
    progress = np.asarray(np.memmap(folder / "progress", dtype=np.int64, mode=mode, shape=(len(Progress._fields),)))
    names = [json.loads(line) for line in (folder / "errors.jsonl").read_text(encoding="utf-8").splitlines()]
    return History(folder=folder, warm_up=meta["warm_up"], progress=progress, error_names=names, **columns)


def read_progress(history: History) -> Progress:
    """The counters as they stand; cheap enough to be read several times a second from another process."""
    return Progress(*history.progress.tolist())


def settled_outcomes(history: History, rows: slice) -> tuple[NDArray[np.uint8], list[str | None]]:
    """Outcomes and error names, every open row decided: never handed over → `fail`, handed over → `info`."""
    outcome = np.array(history.outcome[rows])
    sent = np.asarray(history.sent_ns[rows]) != 0
    names: list[str | None] = [None, *history.error_names, NOT_SENT, UNFINISHED]
    code = np.array(history.error[rows]).astype(np.int64)
    open_rows = outcome == 0
    code[open_rows & ~sent] = len(names) - 2
    code[open_rows & sent] = len(names) - 1
    outcome[open_rows & ~sent] = FAIL
    outcome[open_rows & sent] = INFO
    return outcome, [names[number] for number in code.tolist()]
