"""The servers of a matrix: one cluster for many cells, as starting one costs as much as a small run."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.cluster.endpoints import Endpoints, Wanted
from bench.cluster.errors import ServerUnavailable
from bench.cluster.servers import cluster

CELLS_A_CLUSTER: Final = 24
"""Each run removes its topics and schemas, but brokers keep groups, producer ids and deleted segments for a while."""


class Shared:
    """Servers that are there while cells need them; a fresh pair every `CELLS_A_CLUSTER` cells, unless they are named.

    They die with the thread that enters.
    """

    def __init__(self, wanted: Wanted, *, logs: Path) -> None:
        self._wanted = wanted
        self._logs = logs
        self._stack = ExitStack()
        self._endpoints: Endpoints | None = None
        self._served = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def next(self, *, idle: bool) -> Wanted | None:
        """The servers for one more cell; None: not before they are `idle`, as the next ones are due. Raises
        `ServerUnavailable` where they cannot be had or have died."""
        if self._endpoints is not None and (dead := self._endpoints.dead()):
            raise ServerUnavailable("; ".join(dead))
        if self._endpoints is not None and self._endpoints.owned and self._served >= CELLS_A_CLUSTER:
            if not idle:
                return None
            self._stack.close()
            self._endpoints = None
        if self._endpoints is None:
            self._endpoints = self._stack.enter_context(cluster(self._wanted, logs=self._logs))
            self._served = 0
        self._served += 1
        config = self._wanted.client_config
        return Wanted(bootstrap=self._endpoints.bootstrap, client_config=config, dsn=self._endpoints.dsn)
