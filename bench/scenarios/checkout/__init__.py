"""`checkout`: an order is paid and its items are taken, or neither, through four services that only exchange messages.

Why it exists: the pay / stock saga with compensation is the commonest choreography there is, and the one that public
implementations get wrong most often: replies lost between commit and produce, compensations that race with the next
attempt, charges that a redelivery repeats. Its recovery protocol (Outc-offs) leaks as its source words it.
"""

from importlib.resources import files

from bench.scenario import Scenario
from bench.scenarios.checkout.broken import BROKEN
from bench.scenarios.checkout.client import describe, open_load
from bench.scenarios.checkout.invariants import CHECKERS
from bench.scenarios.checkout.knobs import KNOBS, parse_knobs
from bench.scenarios.checkout.seeding import seed_tables
from system.checkout import checkout, contract
from system.checkout.services import SERVICES
from system.runtime.decoding import DEAD_LETTER_SUFFIX
from system.runtime.guarantees import GUARANTEES

SCENARIO = Scenario(
    name="checkout",
    story="an order is paid and its items are taken, or neither: order, pay and stock services with compensation",
    topics={
        **{topic: {} for topic in contract.DATA_TOPICS},
        contract.OUTC_OFFS: contract.TOPIC_CONFIG[contract.OUTC_OFFS],
        **{topic + DEAD_LETTER_SUFFIX: {} for topic in contract.DATA_TOPICS},
    },
    busiest_topic=contract.OUTCOMES,
    groups=contract.GROUPS,
    services=SERVICES,
    tables_sql=files("system.checkout").joinpath("tables.sql").read_text(),
    knobs=KNOBS,
    parse_settings=parse_knobs,
    guarantees=tuple(GUARANTEES),
    client_failpoints=lambda guarantee: {"checkout": checkout.failpoints(guarantee)},
    broken=BROKEN,
    checkers=CHECKERS,
    seed_tables=seed_tables,
    open_load=open_load,
    describe=describe,
)
