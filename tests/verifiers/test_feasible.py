"""Operations of unknown outcome are decided as trying every assignment would decide them, or not at all."""

from collections import Counter
from itertools import chain, combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from verifiers.feasible import is_bridged, is_feasible


def subsets(changes: list[int]) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(changes, size) for size in range(len(changes) + 1)))


@settings(deadline=None)
@given(st.integers(-20, 20), st.lists(st.integers(-9, 9), max_size=6))
def test_a_difference_is_feasible_exactly_if_some_subset_explains_it(difference: int, changes: list[int]) -> None:
    assert is_feasible(difference, changes) == any(sum(subset) == difference for subset in subsets(changes))


def test_too_many_sums_are_not_decided() -> None:
    assert is_feasible(1, [2**power for power in range(1, 40)]) is None


def bridged_by_trying(left: list[int], found: list[int], changes: list[int]) -> bool:
    """Every subset of the changes, each at every place where a balance can have been."""
    places = {value + sum(subset) for value in left for subset in subsets(changes)}
    for applied in subsets(changes):
        for before in product(places, repeat=len(applied)):
            after = [value + change for value, change in zip(before, applied, strict=True)]
            if Counter(left) + Counter(after) == Counter(found) + Counter(before):
                return True
    return False


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_gap_is_bridged_exactly_if_some_placement_of_the_changes_fills_it(data: st.DataObject) -> None:
    changes = data.draw(st.lists(st.sampled_from([-3, -2, -1, 1, 2, 3]), max_size=3))
    gaps = data.draw(st.integers(0, 2))
    left = data.draw(st.lists(st.integers(0, 4), min_size=gaps, max_size=gaps))
    found = data.draw(st.lists(st.integers(0, 4), min_size=gaps, max_size=gaps))
    assert is_bridged(left, found, changes) == bridged_by_trying(left, found, changes)


def test_two_gaps_need_two_changes_of_their_own() -> None:
    assert is_bridged([1, 5], [3, 7], [2, 2]) is True
    assert is_bridged([1, 5], [3, 7], [2]) is False
    assert is_bridged([1, 5], [3, 7], [6, -2]) is True
    assert is_bridged([1], [3, 7], [2, 4]) is False


def test_too_many_changes_are_not_decided() -> None:
    assert is_bridged([1], [2], [1] * 20) is None
    assert is_bridged([], [], [1] * 20) is True
