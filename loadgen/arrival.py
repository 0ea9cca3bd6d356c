"""When operations are due: a seeded schedule computed before the run, independent of any completion (open loop).

Every kind offers exactly `operations` in exactly `operations / rate_per_s` seconds, so the mean rate is the same and
only the shape differs. All but `constant` are Poisson processes conditioned on their count, over a rate profile:
`poisson` is flat, `step` climbs five levels from half the rate to one and a half, `burst` puts half of each second's
operations into its first tenth. The closed loop (`--rate max`) has no schedule and does not come through here.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

KINDS: Final = ("constant", "poisson", "step", "burst")
RATE_PER_S_MAX: Final = 10_000_000.0

_STEP_LEVELS: Final = (0.5, 0.75, 1.0, 1.25, 1.5)
_BURST_TIME: Final = 0.1
_BURST_SHARE: Final = 0.5


def schedule(kind: str, *, rate_per_s: float, operations: int, seed: int) -> NDArray[np.int64]:
    """Intended times in ns from the start, rising, all in [0, operations / rate_per_s).

    Raises `ValueError` with one line that names what is wrong and what is legal.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown arrival {kind!r}; legal: {', '.join(KINDS)}")
    if not 0 < rate_per_s <= RATE_PER_S_MAX:
        raise ValueError(f"rate {rate_per_s:g} is not legal; legal: above 0 and at most {RATE_PER_S_MAX:.0f} a second")
    if operations < 1:
        raise ValueError(f"operations {operations} is not legal; legal: 1 or more")
    duration_s = operations / rate_per_s
    if kind == "constant":
        shares = np.arange(operations, dtype=np.float64) / operations
    else:
        shares = _poisson_shares(operations, seed)
    times_s = _at(kind, shares, duration_s)
    return np.minimum(times_s * 1e9, duration_s * 1e9 - 1).clip(0).astype(np.int64)


def operations_in(duration_s: float, *, rate_per_s: float) -> int:
    """How many operations a schedule of that length holds, at least one."""
    return max(1, round(duration_s * rate_per_s))


def _poisson_shares(operations: int, seed: int) -> NDArray[np.float64]:
    """Order statistics of `operations` uniform points: spacings of exponentials, normalised (no sort needed)."""
    gaps = np.random.default_rng((seed, 0xA441)).standard_exponential(operations + 1)
    points: NDArray[np.float64] = np.cumsum(gaps)
    points /= points[-1]
    return points[:-1]


def _at(kind: str, shares: NDArray[np.float64], duration_s: float) -> NDArray[np.float64]:
    """Seconds at which a profile of `duration_s` has offered each share of all its operations."""
    if kind == "step":
        offered = np.concatenate(([0.0], np.cumsum(_STEP_LEVELS) / sum(_STEP_LEVELS)))
        return np.interp(shares, offered, np.linspace(0.0, duration_s, len(offered)))
    if kind == "burst":
        periods = max(1, round(duration_s))
        period, inside = np.divmod(shares * periods, 1.0)
        return (period + np.interp(inside, (0.0, _BURST_SHARE, 1.0), (0.0, _BURST_TIME, 1.0))) * (duration_s / periods)
    return shares * duration_s
