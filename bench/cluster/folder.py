"""Fresh folders for servers' data, each held by a lock, so that those of a killed run are told from those in use.

SIGKILL leaves no chance to remove anything. The lock goes with the process that held it: whoever starts next takes the
lock of every folder that it finds, and removes those that it could take.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.cluster.errors import ServerUnavailable
from bench.cluster.shield import shield

PREFIX: Final = "choreobench-"
LOCK: Final = "lock"
DISK_NEEDED_BYTES: Final = 2 * 2**30
HALF_MADE_S: Final = 60.0
PERSISTENT: Final = Path("/var/tmp")


def default_parent() -> Path:
    """Where data goes: /var/tmp, as /tmp is memory on many systems and a durable commit would mean nothing there."""
    return PERSISTENT if os.access(PERSISTENT, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


@contextmanager
def workspace(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, locked while the block runs and removed after it; stale ones of earlier runs are removed first.

    Raises `ServerUnavailable` where there is too little space or no right to write.
    """
    parent = parent or default_parent()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        require_disk(parent, DISK_NEEDED_BYTES)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise ServerUnavailable(f"no folder for the servers can be made in {parent}: {error.strerror}") from error
    with _locked(folder):
        try:
            yield folder
        finally:
            with shield():
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`: taken under another name and renamed, so that it is never seen untaken."""
    # A server may run as another user, who must reach its own folder in here.
    folder.chmod(0o711)
    fresh = folder / f".{LOCK}"
    handle = os.open(fresh, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        fresh.rename(folder / LOCK)
        yield
    finally:
        os.close(handle)


def sweep(parent: Path) -> list[Path]:
    """Remove the folders in `parent` that no living process holds; those that were removed."""
    return [folder for folder in sorted(parent.glob(f"{PREFIX}*")) if _remove_if_stale(folder)]


def _remove_if_stale(folder: Path) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.geteuid():
                return False
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except FileNotFoundError:
            # Without a lock it is being made at this moment, or its maker died between two lines.
            if not folder.exists() or time.time() - folder.stat().st_mtime < HALF_MADE_S:
                return False
        shutil.rmtree(folder, ignore_errors=True)
        return True


def require_disk(path: Path, needed_bytes: int, *, what: str = "the servers' data") -> None:
    """Raise `ServerUnavailable` where less than `needed_bytes` are free in the file system of `path`."""
    free = shutil.disk_usage(path).free
    if free < needed_bytes:
        raise ServerUnavailable(
            f"{path} has {free / 2**20:,.0f} MiB free, {needed_bytes / 2**20:,.0f} MiB are needed for {what}"
        )
