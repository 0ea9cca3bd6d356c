"""What grows below the servers' folders is on its way to the disk within a pass or two, and nothing else changes."""

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cluster import writeback
from bench.cluster.writeback import begin_to_write, grown, sizes_below, write_back, written_back
from bench.waiting import wait_until

MIB = 2**20
CACHESTAT = 451
"""The number of Linux's cachestat(2), the same on every machine; since 6.5."""

Sizes = st.dictionaries(st.sampled_from("abc"), st.integers(0, 5))


class _CacheStat(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writing", "evicted", "recently_evicted"))


def dirty_pages(path: Path) -> int:
    """Pages of a file that nobody has begun to write."""
    stat, whole = _CacheStat(), (ctypes.c_uint64 * 2)(0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file:
        if libc.syscall(CACHESTAT, file.fileno(), ctypes.byref(whole), ctypes.byref(stat), 0) != 0:
            if ctypes.get_errno() == errno.ENOSYS:
                pytest.skip("this kernel has no cachestat")
            raise OSError(ctypes.get_errno(), "cachestat")
    return int(stat.dirty)


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A folder where servers keep theirs: below /var/tmp, as a memory file system never writes."""
    folder = Path(mkdtemp(prefix="choreobench-test-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


def append(path: Path, size: int) -> None:
    with path.open("ab") as file:
        file.write(bytes(size))


def test_what_was_appended_is_no_longer_left_to_expire(on_disk: Path) -> None:
    segment = on_disk / "topic-0" / "0.log"
    segment.parent.mkdir()
    append(segment, 8 * MIB)
    assert dirty_pages(segment) > 1000
    sizes, begun = write_back({}, [on_disk])
    assert begun == 8 * MIB
    wait_until(lambda: dirty_pages(segment) == 0, deadline_s=10, why="the segment to be written")
    append(segment, 4 * MIB)
    assert dirty_pages(segment) > 500
    assert write_back(sizes, [on_disk])[1] == 4 * MIB
    wait_until(lambda: dirty_pages(segment) == 0, deadline_s=10, why="what was appended to be written")
    assert segment.read_bytes() == bytes(12 * MIB)


def test_passes_go_on_for_as_long_as_the_block_and_then_end(on_disk: Path) -> None:
    segment = on_disk / "0.log"
    with written_back([on_disk]) as bytes_so_far:
        for _ in range(2):
            append(segment, 4 * MIB)
            wait_until(lambda: dirty_pages(segment) == 0, deadline_s=10, why="a pass")
        wait_until(lambda: bytes_so_far() == 8 * MIB, deadline_s=10, why="the pass to be counted")
    append(segment, 4 * MIB)
    assert dirty_pages(segment) > 500


def test_a_file_that_vanished_is_an_os_error_and_a_pass_goes_on(on_disk: Path) -> None:
    with pytest.raises(FileNotFoundError):
        begin_to_write(str(on_disk / "gone"), 0, 1)
    (on_disk / "gone").symlink_to(on_disk / "nowhere")
    append(on_disk / "kept", 1)
    assert write_back({}, [on_disk, on_disk / "no-folder"]) == ({str(on_disk / "kept"): 1}, 1)


def test_a_file_that_cannot_be_written_back_does_not_end_a_pass(on_disk: Path) -> None:
    os.mkfifo(on_disk / "pipe")
    append(on_disk / "kept", 1)
    assert set(sizes_below([on_disk])) == {str(on_disk / "pipe"), str(on_disk / "kept")}
    assert write_back({}, [on_disk])[1] == 1


def test_what_was_there_before_the_block_is_not_counted(on_disk: Path) -> None:
    append(on_disk / "before", 4 * MIB)
    with written_back([on_disk]) as bytes_so_far:
        append(on_disk / "before", 1)
        append(on_disk / "within", 2)
        wait_until(bytes_so_far, deadline_s=10, why="a pass to be counted")
        assert bytes_so_far() == 3


def test_where_the_c_library_cannot_there_is_nothing_to_count(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writeback, "can_begin_to_write", lambda: False)
    with written_back([on_disk]) as bytes_so_far:
        assert bytes_so_far() is None


@given(Sizes, Sizes)
def test_every_byte_appended_is_named_once_and_a_cut_file_from_its_begin(
    before: dict[str, int], now: dict[str, int]
) -> None:
    ranges = {path: (begin, end) for path, begin, end in grown(before, now)}
    assert len(ranges) == len(grown(before, now))
    for path, size in now.items():
        begin, end = ranges.get(path, (size, size))
        assert end == size
        assert begin == (before.get(path, 0) if before.get(path, 0) <= size else 0)
