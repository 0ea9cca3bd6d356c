"""What a run needs to know about its servers, whether they were started for it or named by the user."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.cluster.network import Network
from bench.cluster.process import Process
from bench.cluster.roster import Roster
from system.kafka.config import BadClientConfig, refuse_reserved


@dataclass(frozen=True)
class Wanted:
    """Which servers to use: those that are named (`bootstrap`, `dsn`), and new ones for what is not.

    Ports of None are chosen freely; three brokers take `kafka_port` and the two that follow. Without `database` nobody
    starts a PostgreSQL. `private`: in the private network in which this process is, each broker at a place of its own.
    `optimised`: brokers with Java's optimising compiler, which is worth its while after half a minute under load.
    """

    brokers: int = 1
    kafka_port: int | None = None
    postgres_port: int | None = None
    bootstrap: str | None = None
    client_config: Path | None = None
    dsn: str | None = None
    idle_in_transaction_ms: int = 0
    database: bool = True
    private: bool = False
    optimised: bool = False


@dataclass(frozen=True)
class Endpoints:
    """The servers of a run, proven to serve.

    `client`: librdkafka properties for every client besides `bootstrap.servers` (SASL, TLS). `pids`: server → process
    id of those that were started here (`broker-1` …, `postgres`). `folders`: server → its data folder. `owned`: all of
    them were started here. `dsn` is empty where no database was wanted. `roster`: the servers that were started here,
    one of which a fault may end and start again. `network`: the private one, where the run has one.
    """

    bootstrap: str
    client: Mapping[str, str]
    dsn: str
    roster: Roster = field(default_factory=Roster)
    folders: Mapping[str, Path] = field(default_factory=dict)
    owned: bool = False
    network: Network | None = None

    @property
    def processes(self) -> tuple[Process, ...]:
        return tuple(self.roster.running)

    @property
    def pids(self) -> Mapping[str, int]:
        return {process.name: process.pid for process in self.processes}

    def dead(self) -> list[str]:
        """A line for each server that was started here and runs no more, though no fault ended it, with the end of its
        log.
        """
        return [obituary(process) for process in self.roster.dead()]


def obituary(process: Process) -> str:
    """`broker-1 ended with exit code 1: …the end of its log…`."""
    code = process.poll()
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return f"{process.name} {how}: {process.tail() or 'its log is empty'}"


def read_client_config(path: Path | None) -> dict[str, str]:
    """A file of `name=value` lines (librdkafka's CONFIGURATION.md), `#` for comments. Raises `BadClientConfig`.

    Whether librdkafka knows the names is seen when the cluster is reached for the first time.
    """
    if path is None:
        return {}
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadClientConfig(f"client config {path} cannot be read: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise BadClientConfig(f"client config {path}, line {number}: not a librdkafka property, NAME=VALUE")
        if name.strip() in ("bootstrap.servers", "metadata.broker.list"):
            raise BadClientConfig(f"client config {path}, line {number}: name the servers with --bootstrap-servers")
        found[name.strip()] = value.strip()
    refuse_reserved(found)
    return found
