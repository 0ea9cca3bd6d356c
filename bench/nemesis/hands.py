"""The hands of every family, by kind."""

from collections.abc import Mapping
from typing import Final

from bench.nemesis import brokers, poison, postgres, scaling, services
from bench.nemesis.kinds import BROKERS, NETWORK, POSTGRES, SERVICES
from bench.nemesis.site import Hand, Hands

_NONE: Final[Mapping[str, Hand]] = {}

HANDS: Final[Hands] = {
    SERVICES: {**services.HANDS, **scaling.HANDS, "poison": poison.poison},
    BROKERS: brokers.HANDS,
    NETWORK: _NONE,
    POSTGRES: postgres.HANDS,
}
