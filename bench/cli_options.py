"""Options that several commands have."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Final

import click


def _options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda function: reduce(lambda inner, decorate: decorate(inner), reversed(decorators), function)


run_folder: Final = click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
out: Final = click.option(
    "--out", type=click.Path(path_type=Path), default="runs", show_default=True, help="Where run folders go."
)
dsn: Final = click.option("--dsn", help="Use this PostgreSQL instead of starting one.")
cluster: Final = _options(
    click.option("--bootstrap-servers", metavar="HOST:PORT,…", help="Use this cluster instead of starting one."),
    click.option(
        "--client-config", type=click.Path(path_type=Path), help="librdkafka properties (SASL, TLS), name=value."
    ),
)
servers: Final = _options(
    click.option(
        "--brokers", type=int, default=1, show_default=True, help="1 or 3 brokers of our own, and copies of each topic."
    ),
    cluster,
    dsn,
)


def seed(repeats: str, *, following: int = 0) -> Callable[[Any], Any]:
    """`--seed`, drawn where none is given, and what `repeats` with it; so many `following` ones must be legal too."""
    legal = click.IntRange(0, 2**31 - 1 - following)
    return click.option("--seed", type=legal, help=f"Makes {repeats} repeat.  [default: drawn]")


def profile(legal: str) -> Callable[[Any], Any]:
    """`--profile`, with the `legal` ones in its help."""
    return click.option("--profile", default="standard", show_default=True, help=f"{legal}.")


def legal(context: click.Context | None) -> list[str]:
    """The options of the command that was typed."""
    parameters = context.command.get_params(context) if context else []
    return [name for each in parameters if isinstance(each, click.Option) for name in each.opts]
