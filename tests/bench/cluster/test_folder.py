"""Folders vanish with their owner, those of a killed one at the next start, and nobody's folder is touched."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cluster.errors import ServerUnavailable
from bench.cluster.folder import HALF_MADE_S, require_disk, sweep, workspace

KILLED = """
import os, pathlib, signal, sys
from bench.cluster.folder import workspace
with workspace(pathlib.Path(sys.argv[1])) as folder:
    (folder / "file").write_text("data")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_removed_after_an_error(tmp_path: Path) -> None:
    with contextlib.suppress(KeyboardInterrupt), workspace(tmp_path) as folder:
        (folder / "file").write_text("data")
        raise KeyboardInterrupt
    assert folder.name.startswith("choreobench-")
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_killed_run_is_swept_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    (stale,) = tmp_path.iterdir()
    with workspace(tmp_path) as folder:
        assert not stale.exists()
        assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    with workspace(tmp_path) as first, workspace(tmp_path) as second:
        assert first != second
        assert sweep(tmp_path) == []
        assert first.exists()
        assert second.exists()


def test_a_folder_without_a_lock_is_swept_only_when_it_is_old(tmp_path: Path) -> None:
    half_made = tmp_path / "choreobench-half"
    half_made.mkdir()
    assert sweep(tmp_path) == []
    long_ago = time.time() - 2 * HALF_MADE_S
    os.utime(half_made, (long_ago, long_ago))
    assert sweep(tmp_path) == [half_made]


def test_folders_of_other_names_are_never_swept(tmp_path: Path) -> None:
    other = tmp_path / "somebody-else"
    other.mkdir()
    os.utime(other, (0, 0))
    assert sweep(tmp_path) == []
    assert other.exists()


def test_too_little_disk_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ServerUnavailable, match="MiB free, 1,073,741,824 MiB are needed for the servers' data"
    ) as refused:
        require_disk(tmp_path, 2**50)
    assert "\n" not in str(refused.value)


def test_a_place_that_cannot_hold_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerUnavailable, match="no folder for the servers"), workspace(tmp_path / "file"):
        pass
