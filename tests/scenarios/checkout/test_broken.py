"""Every wrong system is caught, on real servers, by a kind of anomaly that its author named; and the real one is not
accused.
"""

from pathlib import Path

import pytest

from bench.cluster.endpoints import Endpoints
from bench.scenario import scenarios
from tests.bench.running import run

BROKEN = scenarios()["checkout"].broken


def test_there_are_at_least_eight() -> None:
    assert len(BROKEN) >= 8


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_system_is_caught(cluster: Endpoints, tmp_path: Path, name: str) -> None:
    ran = run(cluster, tmp_path, "--broken", name, "--operations", "4000", "--rate", "1500", "--seed", "1")
    assert ran.code == 1, (ran.verdicts["verdict"], ran.kinds())
    assert ran.kinds() & set(BROKEN[name].caught_by), ran.kinds()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_real_system_is_not_accused(cluster: Endpoints, tmp_path: Path, seed: int) -> None:
    ran = run(cluster, tmp_path, "--operations", "3000", "--rate", "max", "--seed", str(seed))
    assert ran.code == 0, ran.kinds()
