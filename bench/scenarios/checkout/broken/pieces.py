"""How a wrong system is made of the real one: pieces of one handler, or of what one service's workers are given."""

from collections.abc import Callable
from dataclasses import replace

from bench.scenario import Services
from system.kafka.batch import Json
from system.runtime.worker_config import WorkerConfig


def in_handler(name: str, **pieces: Json) -> Callable[[Services], Services]:
    """The services with pieces of one handler replaced."""

    def replaced(services: Services) -> Services:
        service = services[name]
        return {**services, name: replace(service, handler=replace(service.handler, **pieces))}

    return replaced


def in_workers(name: str, **pieces: Json) -> Callable[[WorkerConfig], WorkerConfig]:
    """What the workers of one service are given, with pieces of it replaced."""

    def replaced(config: WorkerConfig) -> WorkerConfig:
        return replace(config, **pieces) if config.name.rpartition("-")[0] == name else config

    return replaced
