"""The servers of one run: started or reached, proven to serve, watched, and put away whatever happens."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from bench.cluster.endpoints import Endpoints, Wanted, read_client_config
from bench.cluster.folder import workspace
from bench.cluster.network import begin_network
from bench.cluster.ports import Ports
from bench.cluster.process import Process
from bench.cluster.ready import reach_kafka, reach_postgres
from bench.cluster.shield import shield
from bench.cluster.starting import Say, Start, start_servers
from bench.waiting import DeadlineExceeded, wait_until

GRACE_S: Final = 2.0


def silent(_line: str) -> None:
    """Say nothing."""


@contextmanager
def cluster(
    wanted: Wanted | None = None, *, logs: Path, folder: Path | None = None, say: Say = silent
) -> Iterator[Endpoints]:
    """Start what is not named, reach what is, and stop at the end what was started.

    `logs` receives a file a server; in `folder` (default: /var/tmp) a folder for the servers' data is made and removed.
    Call it from a thread that lives as long as the block: the servers die with that thread. Raises `ServerUnavailable`
    with one line, `BadClientConfig` for an unusable client configuration.
    """
    wanted = wanted or Wanted()
    client = _reach(wanted)
    if wanted.bootstrap is not None and (wanted.dsn is not None or not wanted.database):
        yield Endpoints(bootstrap=wanted.bootstrap, client=client, dsn=wanted.dsn or "")
        return
    with workspace(folder) as data, closing(Ports()) as ports, _running() as running:
        network = begin_network() if wanted.private else None
        start = Start(wanted, client, data, logs.absolute(), ports, running, say, network)
        yield start_servers(start, stop=stop_all)


def external(bootstrap: str, client_config: Path | None, dsn: str) -> Endpoints:
    """Servers that are there already, asked once. Raises `ServerUnavailable` or `BadClientConfig` within 15 s."""
    client = _reach(Wanted(bootstrap=bootstrap, client_config=client_config, dsn=dsn))
    return Endpoints(bootstrap=bootstrap, client=client, dsn=dsn)


def _reach(wanted: Wanted) -> Mapping[str, str]:
    """Ask the servers that are named; the client's properties for Kafka, none for a cluster of ours."""
    client = read_client_config(wanted.client_config) if wanted.bootstrap is not None else {}
    if wanted.bootstrap is not None:
        reach_kafka(wanted.bootstrap, client)
    if wanted.dsn is not None:
        reach_postgres(wanted.dsn)
    return client


@contextmanager
def _running() -> Iterator[list[Process]]:
    running: list[Process] = []
    try:
        yield running
    finally:
        stop_all(running)


def stop_all(processes: Sequence[Process], grace_s: float = GRACE_S) -> None:
    """Ask all of them at once, give them `grace_s` seconds together, then insist; Ctrl-C waits for the end of it."""
    with shield():
        for process in processes:
            # One that a fault plan has stopped could not hear that it is to end.
            process.signal(signal.SIGCONT)
            process.signal(process.stop_signal)
        # Whoever does not end in time is killed below, and that is all there is to say.
        with suppress(DeadlineExceeded):
            wait_until(
                lambda: all(process.poll() is not None for process in processes),
                deadline_s=grace_s,
                why="the servers to end",
                poll_s=0.01,
            )
        for process in processes:
            process.kill()
