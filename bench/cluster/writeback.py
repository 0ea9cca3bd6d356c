"""What servers and recorders append goes to the disk bit by bit: as on a machine whose page cache is set up for Kafka.

Nobody syncs a segment, nor a table before a checkpoint, so Linux writes it when it has been dirty for 30 s
(`vm.dirty_expire_centisecs`), and all that was appended since along with it: at 10,000 sagas a second 200 MB twice a
minute, for which every commit of a database on the same disk waits 50 to 110 ms. A pass begins to write what was
appended since the last one and waits for none of it: nothing becomes more durable, and nothing is asked of root.
Source: sync_file_range(2); Kafka's documentation, *Understanding Linux OS Flush Behavior*.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PERIOD_S: Final = 1.0
SYNC_FILE_RANGE_WRITE: Final = 2
"""Begin to write the dirty pages of the range that are not being written yet (linux/fs.h)."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def can_begin_to_write() -> bool:
    """Whether this C library has `sync_file_range`."""
    return hasattr(_LIBC, "sync_file_range")


def begin_to_write(path: str, begin: int, end: int) -> None:
    """Begin to write bytes `begin` to `end` of a file. Raises OSError for a file that is not there or cannot."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        count = ctypes.c_int64(end - begin)
        if _LIBC.sync_file_range(descriptor, ctypes.c_int64(begin), count, SYNC_FILE_RANGE_WRITE) != 0:
            raise OSError(ctypes.get_errno(), "sync_file_range", path)
    finally:
        os.close(descriptor)


def sizes_below(folders: Sequence[Path]) -> dict[str, int]:
    """Every file below `folders` → its bytes; what vanishes meanwhile is left out."""
    found: dict[str, int] = {}
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                path = f"{place}/{name}"
                with suppress(FileNotFoundError):
                    found[path] = os.stat(path).st_size
    return found


def grown(before: Mapping[str, int], now: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """(file, begin, end) of what was appended between two looks; a file that is new or was cut is new from 0. Pure."""
    cut = {path for path, size in now.items() if before.get(path, 0) > size}
    begins = [(path, 0 if path in cut else before.get(path, 0), size) for path, size in now.items()]
    return [(path, begin, end) for path, begin, end in begins if begin < end]


def write_back(before: Mapping[str, int], folders: Sequence[Path]) -> tuple[dict[str, int], int]:
    """One pass over `folders`: what they held, for the next one, and how many bytes were begun to be written."""
    now = sizes_below(folders)
    begun = 0
    for path, begin, end in grown(before, now):
        # A segment may be deleted between the look and the call.
        with suppress(OSError):
            begin_to_write(path, begin, end)
            begun += end - begin
    return now, begun


@contextmanager
def written_back(folders: Sequence[Path]) -> Iterator[Callable[[], int | None]]:
    """Passes over `folders`, one every `PERIOD_S`, for as long as the block lasts; gives how many bytes were appended
    in it and begun to be written so far, None where the C library cannot.
    """
    if not can_begin_to_write():
        yield lambda: None
        return
    stopped = threading.Event()
    sizes, total = sizes_below(folders), 0

    def repeat() -> None:
        nonlocal sizes, total
        while not stopped.wait(PERIOD_S):
            sizes, begun = write_back(sizes, folders)
            total += begun

    thread = threading.Thread(target=repeat, name="write-back", daemon=True)
    thread.start()
    try:
        yield lambda: total
    finally:
        stopped.set()
        thread.join()
