"""`up`, `down`, `status`: a cluster that stays after the command that started it, under a keeper process.

The keeper owns the servers, so they end with it, however it ends. It holds a lock for as long as it lives: a state file
without a holder is a leftover. One cluster a cache folder.
"""

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import orjson
import psutil

from bench.cluster.cache import cache_folder
from bench.cluster.endpoints import Wanted
from bench.cluster.errors import ServerUnavailable
from bench.cluster.process import tail
from bench.cluster.programs import kafka_programs
from bench.cluster.servers import cluster
from bench.cluster.shield import shield
from bench.waiting import DeadlineExceeded, wait_until

UP_S: Final = 240.0
"""The first `up` may have to fetch Kafka."""

DOWN_S: Final = 20.0
LOCK_S: Final = 2.0


class AlreadyUp(ServerUnavailable):
    """`up` while a cluster is up; the message says where it is."""


@dataclass(frozen=True)
class Kept:
    """The cluster that is up: how to reach it, the keeper's process id, and those of its servers."""

    bootstrap: str
    dsn: str
    keeper: int
    pids: dict[str, int]

    def __str__(self) -> str:
        return f"bootstrap.servers={self.bootstrap} dsn={self.dsn!r}"


@dataclass(frozen=True)
class _Place:
    """The keeper's files in the cache folder."""

    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def log(self) -> Path:
        return self.folder / "keeper.log"

    @property
    def refusal(self) -> Path:
        return self.folder / "refusal.txt"


def _place() -> _Place:
    folder = cache_folder() / "up"
    folder.mkdir(exist_ok=True)
    return _Place(folder)


def up(brokers: int = 1, *, kafka_port: int | None = None, postgres_port: int | None = None) -> Kept:
    """Start a keeper and return when its servers serve. Raises `AlreadyUp`, `ServerUnavailable`."""
    place = _place()
    if kept := status():
        raise AlreadyUp(f"a cluster is up already: {kept}; `choreobench down` stops it")
    place.refusal.unlink(missing_ok=True)
    # Here, and not only in the keeper, so that the progress of a first download is seen.
    kafka_programs()
    words = {"brokers": brokers, "kafka_port": kafka_port, "postgres_port": postgres_port}
    keeper = _spawn([sys.executable, "-m", "bench.cluster.keeper", orjson.dumps(words).decode()], place.log)
    return _await_keeper(place, keeper)


def _spawn(argv: list[str], log: Path) -> psutil.Process:
    """Start a process that is meant to outlive this one, in a session of its own."""
    with log.open("wb") as out:
        actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
        ]
        return psutil.Process(os.posix_spawn(argv[0], argv, os.environ, file_actions=actions, setsid=True))


def _ended(keeper: psutil.Process, *, deadline_s: float = 0) -> bool:
    """Whether our child has ended; it is reaped then."""
    try:
        keeper.wait(timeout=deadline_s)
    except psutil.TimeoutExpired:
        return False
    return True


def _end(keeper: psutil.Process) -> None:
    # One that has ended was reaped, and its number may be somebody else's by now.
    if not _ended(keeper):
        keeper.terminate()
    if not _ended(keeper, deadline_s=DOWN_S):
        keeper.kill()
        keeper.wait()


def _await_keeper(place: _Place, keeper: psutil.Process) -> Kept:
    def settled() -> Kept | None:
        if _ended(keeper):
            refusal = place.refusal.read_text() if place.refusal.exists() else tail(place.log)
            raise ServerUnavailable(refusal or "the keeper ended without a word")
        return status()

    try:
        return wait_until(settled, deadline_s=UP_S, why="the cluster to be up")
    except BaseException as error:
        # Whoever gives up waiting, by Ctrl-C too, leaves no keeper behind.
        with shield():
            _end(keeper)
        if isinstance(error, DeadlineExceeded):
            raise ServerUnavailable(str(error)) from error
        raise


def status() -> Kept | None:
    """The cluster that is up, or None."""
    place = _place()
    if not _is_held(place.lock) or not place.state.exists():
        return None
    return Kept(**orjson.loads(place.state.read_bytes()))


def down() -> bool:
    """Stop the cluster; whether there was one. Raises `ServerUnavailable` where it does not end."""
    kept = status()
    if kept is None:
        return False
    place = _place()
    for number in (signal.SIGTERM, signal.SIGKILL):
        # It may have ended by itself since the lock was seen.
        with contextlib.suppress(ProcessLookupError):
            os.kill(kept.keeper, number)
        with contextlib.suppress(DeadlineExceeded):
            wait_until(lambda: not _is_held(place.lock), deadline_s=DOWN_S, why="the keeper to end")
            place.state.unlink(missing_ok=True)
            return True
    raise ServerUnavailable(f"the keeper, process {kept.keeper}, does not end")


def _is_held(lock: Path) -> bool:
    """Whether a keeper lives: it holds the lock."""
    with _opened(lock) as handle:
        return not _takes(handle, fcntl.LOCK_SH)


def _takes(handle: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _on_term(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def keep(wanted: Wanted) -> int:
    """Own the servers until SIGTERM, or until one of them dies; the keeper's exit code."""
    place = _place()
    signal.signal(signal.SIGTERM, _on_term)
    with _opened(place.lock) as handle:
        try:
            # Whoever asks for the status holds the lock for a moment.
            wait_until(lambda: _takes(handle), deadline_s=LOCK_S, why="the keeper's lock", poll_s=0.01)
        except DeadlineExceeded:
            place.refusal.write_text("a cluster is being started or is up already")
            return 69
        place.state.unlink(missing_ok=True)
        try:
            _own(place, wanted)
        except ServerUnavailable as error:
            place.refusal.write_text(str(error))
            return 69
        except KeyboardInterrupt:
            return 0
        finally:
            place.state.unlink(missing_ok=True)
    return 0


def _own(place: _Place, wanted: Wanted) -> None:
    with cluster(wanted, logs=place.folder / "logs") as endpoints:
        kept = {"bootstrap": endpoints.bootstrap, "dsn": endpoints.dsn, "keeper": os.getpid(), "pids": endpoints.pids}
        fresh = place.state.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(kept))
        fresh.rename(place.state)
        wait_until(endpoints.dead, deadline_s=float("inf"), why="a server to die", poll_s=0.5)
        raise ServerUnavailable(endpoints.dead()[0])


if __name__ == "__main__":
    sys.exit(keep(Wanted(**orjson.loads(sys.argv[1]))))
