"""A run of `choreobench raw` as if it had been measured: figures as literals, for the document, the table, the page."""

import numpy as np

from bench.raw.contenders import contenders
from bench.raw.document import Record
from bench.raw.java_tools import Tools
from bench.raw.machine import Bound
from bench.raw.plan import Plan, plan
from bench.raw.rounds import Measured
from bench.raw.site import Sample
from bench.raw.threads import Busy

TOOLS = Tools(java=__file__, class_path=(), version="17")  # type: ignore[arg-type]
BUSY = Busy(0.5, 0.6, 0.95, 1.2, 1.9, cores=2)
ROUNDS = 5


def literal_record(profile: str = "standard") -> Record:
    """Contender n of a cell reaches 4 M/s divided by n, and a round trip of n x 500 µs; a slow round slows all."""
    chosen = plan(profile)
    record = Record(
        run_id=f"20261121T101500Z-raw-{profile}-s7",
        command=f"choreobench raw --profile {profile} --seed 7",
        seed=7,
        plan=chosen,
        environment={"client_kernel": "native", "kafka": "4.3.1", "java": "17"},
        bounds=[Bound(1.2e10, 4e9, 20.0), Bound(1.3e10, 4.4e9, 21.0), Bound(1.1e10, 3.9e9, 19.0)],
    )
    for cell in chosen.cells:
        who = contenders(cell, chosen.profile, TOOLS)
        record.cells.append((cell, [Measured(one, _samples(cell.workload, n, chosen)) for n, one in enumerate(who, 1)]))
    return record


def _samples(workload: str, place: int, chosen: Plan) -> list[Sample]:
    slow = [1 + 0.1 * number for number in range(ROUNDS)]
    if workload == "round-trip":
        trips = np.linspace(400.0, 600.0, chosen.profile.trips) * place
        return [Sample(500.0 * place * factor, len(trips), len(trips), BUSY, trips * factor) for factor in slow]
    return [Sample(4e6 / place / factor, 1_000_000, 1_000_000, BUSY) for factor in slow]
