"""Options become a run: how long it warms up, and whether that is long enough for the brokers' optimising compiler."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.options import Options
from bench.resolve import resolve
from bench.spec import OPTIMISED_WARM_UP_S, RunSpec

RATE_PER_S = 100


def resolved(folder: Path, options: Options) -> RunSpec:
    return resolve(replace(options, out=folder))


def an_open_loop(duration_s: float, warmup_s: float | None = None) -> Options:
    return Options(scenario="checkout", rate=str(RATE_PER_S), duration_s=duration_s, warmup_s=warmup_s, seed=1)


@pytest.mark.parametrize(
    ("duration_s", "asked_s", "warm_up_s"), [(5, None, 3), (59, None, 3), (60, None, 60), (90, None, 60), (60, 2, 2)]
)
def test_a_long_measurement_has_a_long_warm_up_unless_another_is_asked_for(
    tmp_path: Path, duration_s: float, asked_s: float | None, warm_up_s: float
) -> None:
    spec = resolved(tmp_path, an_open_loop(duration_s, asked_s))
    assert spec.warm_up == warm_up_s * RATE_PER_S
    assert spec.operations - spec.warm_up == duration_s * RATE_PER_S


@pytest.mark.parametrize("warm_up_s", [0, 3, OPTIMISED_WARM_UP_S - 1, OPTIMISED_WARM_UP_S, 60])
def test_brokers_are_optimised_behind_a_long_warm_up_only(tmp_path: Path, warm_up_s: float) -> None:
    spec = resolved(tmp_path, an_open_loop(10, warm_up_s))
    assert spec.optimises() == (warm_up_s >= OPTIMISED_WARM_UP_S)


def test_a_closed_loop_and_a_run_with_faults_keep_the_quick_compiler(tmp_path: Path) -> None:
    closed = Options(scenario="checkout", rate="max", operations=1_000_000, seed=1)
    struck = replace(an_open_loop(60), fault="kill:pay@5s")
    assert not resolved(tmp_path, closed).optimises()
    assert not resolved(tmp_path, struck).optimises()
