"""A mix expanded: faults of a family drawn by a seed, one or two at a time, with quiet periods. Pure: the same plan,
seed and ground give the same faults.

Rewinds are left out: they lose what no guarantee keeps.
"""

import random
from collections.abc import Iterator
from typing import Final

from bench.nemesis.kinds import KINDS, NETWORK
from bench.nemesis.legal import Ground
from bench.nemesis.plan import ALL, Fault, Mix

QUIET_S: Final = (3.0, 8.0)
"""Between the healing of one fault and the next: time to recover, or faults would never be told apart."""
LASTS: Final = (0.5, 1.5)
"""Of a kind's own time."""
LEFT_OUT: Final = frozenset({"rewind"})
COMPANY: Final = 0.25
"""How often a fault has a second one of another role beside it."""


def expanded(mix: Mix, ground: Ground, *, seed: int) -> tuple[Fault, ...]:
    """The faults of a mix in the order in which they strike; all of them heal before the mix ends."""
    return tuple(_drawn(mix, ground, random.Random(f"{seed} {mix}")))


def _drawn(mix: Mix, ground: Ground, draw: random.Random) -> Iterator[Fault]:
    families = [family for family in ground.families() if family != NETWORK] if mix.family == ALL else [mix.family]
    choices = [(family, kind) for family in families for kind in sorted(KINDS[family]) if kind not in LEFT_OUT]
    at_s, end_s = mix.at_s, mix.at_s + mix.for_s
    while True:
        fault = _one(choices, ground, draw, at_s)
        over_s = _over_s(fault)
        if over_s > end_s:
            return
        yield fault
        if draw.random() < COMPANY:
            company = _one(choices, ground, draw, at_s + round(draw.uniform(0.1, 1.0), 1))
            if _over_s(company) <= end_s and company.role != fault.role:
                yield company
                over_s = max(over_s, _over_s(company))
        at_s = round(over_s + draw.uniform(*QUIET_S), 1)


def _over_s(fault: Fault) -> float:
    return fault.at_s + fault.for_s + KINDS[fault.family][fault.kind].settles_s


def _one(choices: list[tuple[str, str]], ground: Ground, draw: random.Random, at_s: float) -> Fault:
    family, kind = draw.choice(choices)
    heals_s = KINDS[family][kind].heals_s
    roles = ground.roles(family, kind)
    return Fault(kind, draw.choice(roles), round(at_s, 3), round(heals_s * draw.uniform(*LASTS), 1))
