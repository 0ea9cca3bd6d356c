"""Apache Kafka's jars: fetched once into the user's cache by `jgo`, each checked against the committed lock.

`jgo.lock.toml` names 92 jars with their SHA-256 and no address. Every start checks all of them (57 MB, a tenth of a
second), so that a file that was cut short, changed or removed is fetched again instead of being trusted. A jar is
fetched under another name and moved into place once its checksum holds: Ctrl-C leaves nothing half, and the next start
goes on from there.
"""

import hashlib
import os
import shutil
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from bench.cluster.cache import file_lock
from bench.cluster.errors import ServerUnavailable
from bench.cluster.folder import require_disk
from bench.cluster.meter import Advance, meter

LOCK_FILE: Final = Path(__file__).with_name("jgo.lock.toml")
PARALLEL: Final = 6
TIMEOUT_S: Final = 30
DISK_NEEDED_BYTES: Final = 2**28


@dataclass(frozen=True)
class Jar:
    """One locked dependency."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def locked(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """The jars of a lock file, in its order. Raises `ServerUnavailable` where it is not one."""
    try:
        entries = tomllib.loads(lock_file.read_text())["dependencies"]
        return [Jar(each["groupId"], each["artifactId"], each["version"], each["sha256"]) for each in entries]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ServerUnavailable(f"{lock_file.name} is not a lock of jars: {error}") from error


def kafka_version(jars: Sequence[Jar]) -> str:
    """The version of the broker among `jars`."""
    return next(jar.version for jar in jars if jar.artifact.startswith("kafka_"))


def kafka_jars(cache: Path, jars: Sequence[Jar] | None = None) -> list[Path]:
    """The class path: every locked jar, present and checked; what is missing is fetched.

    Offline where nothing is missing; safe where two processes do it at once. Raises `ServerUnavailable` where a file
    can be neither found nor fetched, or is not the one that the lock names.
    """
    jars = locked() if jars is None else jars
    folder = cache / f"kafka-{kafka_version(jars)}"
    folder.mkdir(parents=True, exist_ok=True)
    if missing(folder, jars):
        require_disk(folder, DISK_NEEDED_BYTES)
        with file_lock(folder / "lock"):
            # Another process may have fetched them while this one waited for the lock.
            try:
                _fetch(folder, missing(folder, jars))
            except ServerUnavailable:
                raise
            except (RuntimeError, OSError) as error:
                # What jgo raises for an answer that is not the file, and what its HTTP client raises for none.
                raise ServerUnavailable(_refusal(folder, jars, error)) from error
    return [folder / jar.file_name for jar in jars]


def missing(folder: Path, jars: Sequence[Jar]) -> list[Jar]:
    """Those whose file is not in `folder` or has another checksum."""
    return [jar for jar in jars if not _holds(folder / jar.file_name, jar.sha256)]


def _holds(path: Path, sha256: str) -> bool:
    return path.is_file() and _sha256(path) == sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(folder: Path, jars: Sequence[Jar]) -> None:
    # Under the lock, whatever an interrupted fetch left behind is nobody's.
    for left in folder.glob("part-*"):
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix="part-", dir=folder) as part, meter("Apache Kafka", len(jars)) as advance:
        context = _maven(Path(part))
        with ThreadPoolExecutor(PARALLEL) as pool:
            fetches = [pool.submit(_fetch_one, context, folder, jar, advance) for jar in jars]
            try:
                for fetch in fetches:
                    fetch.result()
            except BaseException:
                # The rest would go on fetching behind the message, or behind Ctrl-C.
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _refusal(folder: Path, jars: Sequence[Jar], error: Exception) -> str:
    left = len(missing(folder, jars))
    return (
        f"Apache Kafka cannot be fetched: {left} of its files are not in {folder} and no Maven "
        f"repository serves them ({type(error).__name__}; is there a network?); start again to go on where it stopped"
    )


def _maven(part: Path) -> MavenContext:
    """`jgo`'s view of the repositories, with those of the user's own `jgo` settings before the default one."""
    context = MavenContext(repo_cache=part, local_repos=[], timeout=TIMEOUT_S)
    context.remote_repos = {**GlobalSettings.load().repositories, **context.remote_repos}
    return context


def _fetch_one(context: MavenContext, folder: Path, jar: Jar, advance: Advance) -> None:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    path = artifact.resolve()
    found = _sha256(path)
    if found != jar.sha256:
        raise ServerUnavailable(
            f"{jar.file_name} was fetched with SHA-256 {found}, the lock says {jar.sha256}; it is refused"
        )
    size_bytes = path.stat().st_size
    os.replace(path, folder / jar.file_name)
    advance(size_bytes)
