"""The plan varies one factor at a time, and says what it can measure when asked for something else."""

from dataclasses import asdict

import pytest

from bench.options import UsageError
from bench.raw.contenders import COLUMNAR, contenders
from bench.raw.java_tools import Tools
from bench.raw.plan import CELLS, PROFILES, Cell, plan

TOOLS = Tools(java=__file__, class_path=(), version="17")  # type: ignore[arg-type]
FACTORS = {
    "base": set(),
    "payload": {"payload_bytes"},
    "partitions": {"partitions"},
    "compression": {"compression"},
    "idempotence": {"idempotence"},
    "acks": {"acks", "idempotence"},
}


def base_of(cell: Cell) -> Cell:
    return next(one for one in CELLS if one.is_base and one.workload == cell.workload)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_differs_from_its_base_in_the_factor_that_it_names(cell: Cell) -> None:
    mine, base = asdict(cell), asdict(base_of(cell))
    assert {name for name in mine if mine[name] != base[name]} - {"name", "varies"} == FACTORS[cell.varies]


def test_names_are_unique_and_every_workload_has_one_base_cell() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    bases = [cell.workload for cell in CELLS if cell.is_base]
    assert sorted(bases) == sorted({cell.workload for cell in CELLS})


def test_every_asked_for_payload_compression_and_partition_count_is_there() -> None:
    assert {cell.payload_bytes for cell in CELLS} == {100, 1024, 10240}
    assert {cell.compression for cell in CELLS} == {"none", "lz4", "zstd"}
    assert {cell.partitions for cell in CELLS} == {1, 4, 16}
    assert {cell.acks for cell in CELLS} == {"all", "1", "0"}


def test_a_pattern_chooses_cells_also_those_that_a_sketch_leaves_out() -> None:
    assert {cell.name for cell in plan("smoke", "consume-l*").cells} == {"consume-lz4"}
    assert all(cell.is_base for cell in plan("smoke").cells)
    assert plan("standard").cells == CELLS


def test_a_pattern_that_matches_nothing_names_the_cells_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"--only nosuch.*legal: produce, .*round-trip"):
        plan("smoke", "nosuch")


def test_a_measurement_is_bounded_in_records_and_in_bytes() -> None:
    for profile in PROFILES:
        chosen = plan(profile, "*")
        for cell in chosen.cells:
            assert 0 < chosen.records_of(cell) * cell.payload_bytes <= chosen.profile.payload_bytes


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_ours_goes_first_and_always_has_a_yardstick(cell: Cell) -> None:
    for profile in PROFILES.values():
        for tools in (TOOLS, None):
            names = [one.name for one in contenders(cell, profile, tools)]
            assert names[0] == COLUMNAR
            assert len(names) == len(set(names)) >= 2


def test_kafkas_own_tools_stand_in_the_base_cells_and_in_all_that_they_can_of_the_full_profile() -> None:
    def java(name: str, profile: str) -> int:
        cell = next(one for one in CELLS if one.name == name)
        return sum(one.is_java for one in contenders(cell, PROFILES[profile], TOOLS))

    assert [java(name, "standard") for name in ("produce", "consume", "transactional", "round-trip")] == [3, 1, 1, 1]
    assert java("produce-lz4", "standard") == 0
    assert java("produce-lz4", "full") == 1
