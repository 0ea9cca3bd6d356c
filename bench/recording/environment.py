"""On what a run was measured: versions, machine, and the state of the project's own checkout, for `run.json`."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import confluent_kafka
import psycopg

from bench.recording.errors import RecordingFailed

PACKAGES: Final = ("confluent-kafka", "numpy", "orjson", "psycopg", "pyarrow", "uvloop")
DATABASE_SETTINGS: Final = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "wal_level",
    "commit_delay",
)
_JAR: Final = "kafka-clients-"


class Checkout(NamedTuple):
    """`dirty`: something differs from the commit. Both None where the project is no checkout of its own."""

    commit: str | None
    dirty: bool | None


def environment(*, dsn: str | None, kafka_version: str | None = None) -> dict[str, Any]:
    """All of it but the checkout; `kafka_version` from `kafka_version_of` or the cluster's maker, None = unknown
    (foreign brokers). Without a `dsn` nothing is said of PostgreSQL.

    Raises `RecordingFailed` when PostgreSQL does not answer.
    """
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        **{package.replace("-", "_"): _version(package) for package in PACKAGES},
        "kafka": kafka_version,
        **(_database(dsn) if dsn is not None else {}),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu_model": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes,
        "load_average": round(os.getloadavg()[0], 2),
    }


def checkout(folder: Path | None = None) -> Checkout:
    """The project's commit, if `folder` (by default where this code stands) is the top of a git checkout with one."""
    top = folder or Path(__file__).resolve().parents[2]
    if shutil.which("git") is None or not (top / ".git").exists():
        return Checkout(None, None)
    commit = _git(top, "rev-parse", "--verify", "HEAD")
    changes = _git(top, "status", "--porcelain")
    return Checkout(commit, None if commit is None or changes is None else bool(changes))


def kafka_version_of(pid: int) -> str | None:
    """The version of a broker of ours, told by the client jar that its process holds open; None if it does not say."""
    try:
        names = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return None
    jars = [Path(name).name for name in names if Path(name).name.startswith(_JAR) and name.endswith(".jar")]
    return jars[0].removeprefix(_JAR).removesuffix(".jar") if jars else None


def _git(top: Path, *arguments: str) -> str | None:
    """The answer, or None where git refuses: another owner's folder, no commit yet."""
    answer = subprocess.run(
        ["git", "-C", str(top), *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return answer.stdout.strip() if answer.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _database(dsn: str) -> dict[str, Any]:
    try:
        with psycopg.connect(dsn, connect_timeout=10, autocommit=True) as db:
            rows = db.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", (list(DATABASE_SETTINGS),)
            )
            settings: dict[str, str] = dict(sorted(rows))
            version = db.execute("SHOW server_version").fetchone()
    except psycopg.Error as error:
        raise RecordingFailed(f"could not reach PostgreSQL: {' '.join(str(error).split())}") from error
    return {"postgresql": version[0] if version else None, "postgresql_settings": settings}


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
