"""Raw rows on disk that outlive a SIGKILL: a frame is a header, JSON names and fixed-width rows, written by one
write().

A write that returned lives in the page cache, so a killed process loses nothing that it had reported; only the frame
that was being written can be torn, and each incarnation of a process writes a file of its own, so a torn frame is
always the last one.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

HEADER: Final = struct.Struct("<4sII")
MAGIC: Final = b"cbf1"

JOURNAL: Final = np.dtype(
    [
        ("generation", "<i4"),
        ("topic", "<i4"),
        ("partition", "<i4"),
        ("records", "<i4"),
        ("first_offset", "<i8"),
        ("last_offset", "<i8"),
        ("polled_ns", "<i8"),
        ("handled_ns", "<i8"),
        ("stored_ns", "<i8"),
        ("produced_ns", "<i8"),
        ("committed_ns", "<i8"),
    ]
)
"""A row a batch and partition; `topic` indexes the names of its frame."""
JOURNAL_ROW: Final = struct.Struct("<iiiiqqqqqqq")

LIVE: Final = np.dtype([("partition", "<i4"), ("offset", "<i8"), ("hash", "<u8"), ("read_ns", "<i8")])
"""A row a record that the live reader saw; stored bare, without frames."""


class Frame(NamedTuple):
    """`names` is whatever JSON the writer put beside the rows."""

    names: Any
    rows: bytes


class Frames(NamedTuple):
    """The whole frames of one file, and whether a torn one followed them."""

    whole: tuple[Frame, ...]
    torn: bool


def packed(names: object, rows: bytes) -> bytes:
    """One frame, ready for one write."""
    text = orjson.dumps(names)
    return HEADER.pack(MAGIC, len(text), len(rows)) + text + rows


def write_all(descriptor: int, block: bytes) -> None:
    """Append; a short write (disk nearly full) is continued, so that the next one raises the reason. Raises
    `OSError`.
    """
    written = os.write(descriptor, block)
    while written < len(block):
        written += os.write(descriptor, block[written:])


def read_frames(path: Path) -> Frames:
    """Every whole frame of a file in the order of writing."""
    block = path.read_bytes()
    whole = tuple(_walk(block))
    size = sum(HEADER.size + frame_size for _, frame_size in whole)
    return Frames(tuple(frame for frame, _ in whole), size < len(block))


def _walk(block: bytes) -> Iterator[tuple[Frame, int]]:
    position = 0
    while position + HEADER.size <= len(block):
        magic, names_size, rows_size = HEADER.unpack_from(block, position)
        begin = position + HEADER.size
        end = begin + names_size + rows_size
        if magic != MAGIC or end > len(block):
            return
        yield Frame(orjson.loads(block[begin : begin + names_size]), block[begin + names_size : end]), end - begin
        position = end
