"""The user's cache folder: what was downloaded once and what `up` left running."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cluster.errors import ServerUnavailable


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/choreobench`, else `~/.cache/choreobench` (XDG Base Directory); made where it is missing.

    Raises `ServerUnavailable` where it cannot be made.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says that a relative path is to be ignored.
    parent = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    folder = parent / "choreobench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServerUnavailable(f"the cache folder {folder} cannot be made: {error.strerror}") from error
    return folder


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold `path` as a lock against other processes, waiting for as long as one of them holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
