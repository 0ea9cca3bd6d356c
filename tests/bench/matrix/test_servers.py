"""A fresh cluster every so many cells, and never while one of them still uses the old one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.cluster.endpoints import Endpoints, Wanted
from bench.cluster.errors import ServerUnavailable
from bench.matrix import servers
from bench.matrix.servers import CELLS_A_CLUSTER, Shared


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of the clusters that were begun, those that are closed again with a minus."""
    opened: list[str] = []

    @contextmanager
    def cluster(_wanted: Wanted, *, logs: Path) -> Iterator[Endpoints]:
        name = f"{logs.name}:{len(opened)}"
        opened.append(name)
        yield Endpoints(bootstrap=name, client={}, dsn="host=x", owned=True)
        opened.append(f"-{name}")

    monkeypatch.setattr(servers, "cluster", cluster)
    return opened


def addresses(shared: Shared, count: int, *, idle: bool) -> set[str | None]:
    found = [shared.next(idle=idle) for _ in range(count)]
    return {None if wanted is None else wanted.bootstrap for wanted in found}


def test_the_cells_of_a_cluster_share_it_and_the_next_one_waits_until_they_have_ended(opened: list[str]) -> None:
    with Shared(Wanted(), logs=Path("logs")) as shared:
        assert addresses(shared, CELLS_A_CLUSTER, idle=False) == {"logs:0"}
        assert addresses(shared, 3, idle=False) == {None}
        assert opened == ["logs:0"]
        assert addresses(shared, 1, idle=True) == {"logs:2"}
        assert opened == ["logs:0", "-logs:0", "logs:2"]
    assert opened[-1] == "-logs:2"


def test_servers_that_have_died_serve_no_more_cells(opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Shared(Wanted(), logs=Path("logs")) as shared:
        assert addresses(shared, 1, idle=True) == {"logs:0"}
        monkeypatch.setattr(Endpoints, "dead", lambda _self: ["broker-1 died"])
        with pytest.raises(ServerUnavailable, match="broker-1 died"):
            shared.next(idle=True)
    assert opened == ["logs:0", "-logs:0"]
