"""The hands of every family, by kind."""

from typing import Final

from bench.nemesis import brokers, network, poison, postgres, scaling, services
from bench.nemesis.kinds import BROKERS, NETWORK, POSTGRES, SERVICES
from bench.nemesis.site import Hands

HANDS: Final[Hands] = {
    SERVICES: {**services.HANDS, **scaling.HANDS, "poison": poison.poison},
    BROKERS: brokers.HANDS,
    NETWORK: network.HANDS,
    POSTGRES: postgres.HANDS,
}
