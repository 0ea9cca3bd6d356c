"""What operations of unknown outcome may have done, decided exactly: each was applied or it was not.

Both questions are subset sums, hard in general and small here, as few operations of one entity are indefinite. Where
more states remain than are looked at the answer is None, which is not known, and never yes.
"""

from collections.abc import Iterable, Sequence
from typing import Final

STATES_MAX: Final = 200_000
"""Sums, or partial bridges, looked at for one entity."""
BRIDGING_MAX: Final = 14
"""Indefinite operations of one entity for which every subset is tried."""


def is_feasible(difference: int, changes: Iterable[int]) -> bool | None:
    """Whether some of the changes add up to the difference; None where there are too many sums to look at."""
    sums = {0}
    for change in changes:
        sums |= {total + change for total in sums}
        if len(sums) > STATES_MAX:
            return None
    return difference in sums


def is_bridged(left: Sequence[int], found: Sequence[int], changes: Sequence[int]) -> bool | None:
    """Whether some of the changes lead from the values at which a balance was left to those at which it was found, each
    change used at most once: every gap of the chain is filled by operations of its own. None where it is too much."""
    if len(left) != len(found):
        return False
    if not left:
        return True
    if len(changes) > BRIDGING_MAX:
        return None
    by_sum: dict[int, list[int]] = {}
    for mask, total in enumerate(_subset_sums(changes)):
        by_sum.setdefault(total, []).append(mask)
    return _paired(tuple(sorted(left)), tuple(sorted(found)), by_sum)


def _subset_sums(changes: Sequence[int]) -> list[int]:
    """The sum of each subset, at the position whose bits name it."""
    sums = [0]
    for change in changes:
        sums += [total + change for total in sums]
    return sums


def _paired(left: tuple[int, ...], found: tuple[int, ...], by_sum: dict[int, list[int]]) -> bool | None:
    """Pairs the first of `left` with each of `found`, by disjoint subsets, until none is left."""
    states = {(found, 0)}
    looked_at = 0
    for value in left:
        following = set()
        for remaining, used in states:
            for place, target in enumerate(remaining):
                if place and remaining[place - 1] == target:
                    continue
                masks = by_sum.get(target - value, ())
                looked_at += 1 + len(masks)
                if looked_at > STATES_MAX:
                    return None
                rest = remaining[:place] + remaining[place + 1 :]
                following |= {(rest, used | mask) for mask in masks if not used & mask}
        states = following
    return bool(states)
