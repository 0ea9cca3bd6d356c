"""Wrong systems: each is the real one with one piece replaced, of the saga, of its delivery, of what keeps it going, or
of the harness itself.

A checker that nobody has seen fail is not a checker: every one of these must be caught, under the plan and the
workload that make it meet the condition in which it is wrong.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bench.scenario import Broken
from bench.scenarios.checkout.broken.delivery import DELIVERY
from bench.scenarios.checkout.broken.hanging import HANGING
from bench.scenarios.checkout.broken.harness import HARNESS
from bench.scenarios.checkout.broken.saga import SAGA

BROKEN: Mapping[str, Broken] = MappingProxyType({**SAGA, **DELIVERY, **HANGING, **HARNESS})
"""Name → wrong system."""
