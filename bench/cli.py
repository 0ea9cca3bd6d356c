"""`choreobench`: the command line. It parses, calls the stages and turns what they raise into one line and an exit
code.
"""

import secrets
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import cli_options, listing, standard
from bench.blindness import blindness, print_blindness
from bench.check import check as check_run
from bench.check import exit_code
from bench.cluster import keeper
from bench.cluster.private import enter_private, refusal
from bench.display import Display
from bench.endings import USAGE, ending, fail
from bench.matrix.command import PROFILES as MATRIX_PROFILES
from bench.matrix.command import MatrixOptions, needs_private_network
from bench.matrix.command import matrix as run_matrix
from bench.measure import measure
from bench.options import Options
from bench.raw import plan as raw_plan
from bench.raw.command import RawOptions
from bench.raw.command import raw as run_raw
from bench.resolve import resolve
from bench.stages import report, require_run, run_all
from bench.summary import print_summary

console = Console(soft_wrap=True, highlight=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="choreobench")
def choreobench() -> None:
    """Drive event-driven systems hard on real Kafka and PostgreSQL, and prove from what they left behind that every
    unit of money and stock came out right.

    Exit codes: 0 valid, 1 safety, 2 unknown, 3 performance regression, 4 measurement invalid, 5 liveness, 64 usage, 69
    a server could not be started or reached.
    """


@choreobench.command(epilog="Example: choreobench run checkout --rate 5000 --duration-s 30 --seed 1")
@click.argument("scenario")
@click.option("--guarantee", help="How the worker loop orders its steps.  [default: idempotent]")
@click.option(
    "--fault",
    metavar="PLAN",
    help="none, crash:SERVICE@POINT#N, KIND:ROLE@Ns[~Ns] or mix:FAMILY@Ns~Ns, joined by +.  [default: none]",
)
@click.option("--rate", help="Operations a second, or max: closed loop at full speed.  [default: 2000]")
@click.option("--arrival", default="poisson", show_default=True, help="constant, poisson, step or burst.")
@click.option("--operations", type=int, help="How many operations, warm-up included.  [default: 100000]")
@click.option("--duration-s", type=float, help="How long to measure instead, behind the warm-up.")
@click.option(
    "--warmup-s",
    type=float,
    help="Seconds of the schedule that do not count; from 45 on brokers run with Java's optimising compiler."
    "  [default: 3; 60 before a minute or longer]",
)
@cli_options.seed("workload and arrivals")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A knob of the scenario; `list` shows them."
)
@click.option("--partitions", type=int, default=4, show_default=True, help="Partitions of each data topic.")
@click.option("--workers", multiple=True, metavar="SERVICE=N", help="Processes of a service.  [default: 1 each]")
@click.option(
    "--group-protocol",
    default="classic",
    show_default=True,
    help="How workers share partitions: classic, or consumer (KIP-848: the broker assigns).",
)
@click.option(
    "--assignor",
    help="classic: cooperative-sticky, range, roundrobin; consumer: uniform, range.  [default: the first of each]",
)
@click.option("--static-members", is_flag=True, help="A worker that is restarted keeps its partitions (KIP-345).")
@click.option(
    "--broken",
    metavar="NAME",
    help="Run a wrong system, which must be caught, with the guarantee, fault and load that show it; `list` has them.",
)
@click.option(
    "--replay", is_flag=True, help="Afterwards run the services again over the whole log: no table may change."
)
@cli_options.out
@cli_options.servers
def run(**typed: Any) -> int:  # noqa: ANN401 - click hands over what the decorators declare
    """One run of SCENARIO: a run folder, checked and reported."""
    options = Options(**typed)
    if options.needs_private_network():
        _say_refused(enter_private(click.get_current_context().find_root().obj, module="bench.cli"))
    spec = resolve(options)
    console.print(f"seed {spec.seed} · {spec.scenario} · {spec.guarantee} · fault {spec.fault}")
    with Display(console) as display:
        verdicts = run_all(spec, options.wanted(), command=command_line(spec.seed), display=display)
    print_summary(console, spec.path, verdicts)
    return exit_code(verdicts)


@choreobench.command(epilog="Example: choreobench check runs/latest")
@cli_options.run_folder
def check(folder: Path) -> int:
    """Measure and judge a run folder again, from its files alone."""
    require_run(folder)
    measure(folder)
    verdicts = check_run(folder)
    print_summary(console, folder, verdicts)
    return exit_code(verdicts)


@choreobench.command("blindness", epilog="Example: choreobench blindness runs/latest --each 20")
@cli_options.run_folder
@click.option(
    "--each", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Changes of each column of each file."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Makes the changes repeat."
)
def blindness_command(folder: Path, each: int, seed: int) -> int:
    """Change cells and rows of a run folder's copy in memory, and tell which share `check` notices."""
    require_run(folder)
    print_blindness(console, blindness(folder, each=each, seed=seed))
    return 0


@choreobench.command("report", epilog="Example: choreobench report runs/latest")
@cli_options.run_folder
def report_command(folder: Path) -> int:
    """Render a run folder's page again, from its files alone."""
    require_run(folder)
    console.print(str(report(folder)))
    return 0


@choreobench.command("list", epilog="Example: choreobench list")
def list_command() -> int:
    """Scenarios, guarantees, faults, broken systems, checkers and knobs, read from the code."""
    listing.print_all(console)
    return 0


@choreobench.command(epilog="Example: choreobench up --brokers 3")
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True)
@click.option("--kafka-port", type=click.IntRange(1, 65535), help="The first broker's port.  [default: a free one]")
@click.option("--postgres-port", type=click.IntRange(1, 65535), help="[default: a free one]")
def up(brokers: str, kafka_port: int | None, postgres_port: int | None) -> int:
    """Start Kafka and PostgreSQL to play with; they run until `down`."""
    return _told(keeper.up(brokers=int(brokers), kafka_port=kafka_port, postgres_port=postgres_port))


@choreobench.command(epilog="Example: choreobench down")
def down() -> int:
    """Stop what `up` started."""
    console.print("stopped" if keeper.down() else "nothing is up")
    return 0


@choreobench.command(epilog="Example: choreobench status")
def status() -> int:
    """Show what `up` started."""
    return _told(keeper.status())


def _told(kept: keeper.Kept | None) -> int:
    console.print(f"bootstrap.servers={kept.bootstrap}\ndsn={kept.dsn}" if kept else "nothing is up")
    return 0


@choreobench.command(epilog="Example: choreobench bench --profile smoke")
@cli_options.profile(", ".join(standard.PROFILES))
@cli_options.out
def bench(profile: str, out: Path) -> int:
    """The standard bench: what `make bench` runs."""
    return standard.bench(profile, out=out, console=console)


@choreobench.command(epilog="Example: choreobench raw --profile smoke --only 'produce*'")
@cli_options.profile(", ".join(raw_plan.PROFILES))
@click.option("--only", metavar="CELL-PATTERN", help="Only cells of these names, such as 'consume*'.  [default: all]")
@cli_options.seed("payloads and intervals")
@cli_options.out
@cli_options.cluster
def raw(seed: int | None, **typed: Any) -> int:  # noqa: ANN401 - click hands over what the decorators declare
    """What client and broker reach without a choreography, beside Kafka's own tools and the machine's bounds."""
    drawn = secrets.randbelow(2**31) if seed is None else seed
    run_raw(RawOptions(seed=drawn, **typed), command=command_line(drawn), console=console)
    return 0


@choreobench.command(epilog="Example: choreobench matrix crash --profile smoke")
@click.argument("kind")
@click.argument("scenario", default="checkout")
@cli_options.profile(", ".join(MATRIX_PROFILES))
@cli_options.seed("every cell", following=1000)
@click.option(
    "--only", metavar="CELL-PATTERN", help="Only cells of these names, such as 'idempotent.*'.  [default: all]"
)
@click.option(
    "--jobs", type=int, default=1, show_default=True, help="Cells at a time, 1 to 64; not where speed is measured."
)
@cli_options.out
@cli_options.cluster
@cli_options.dsn
def matrix(**typed: Any) -> int:  # noqa: ANN401 - click hands over what the decorators declare
    """Many small runs as one table. KIND: crash (every failpoint under every guarantee), fault (every kind of fault
    under every guarantee), guarantee (the price of correctness), kill (every broken system and corrupt recording before
    the checkers) or rebalance (what members that come and go cost under each group protocol).

    A sweep that was interrupted goes on where it ended when it is asked for again.
    """
    options = MatrixOptions(**typed)
    if needs_private_network(options):
        _say_refused(refusal())
    return run_matrix(options, command=command_line, console=console)


def _say_refused(refused: str | None) -> None:
    """Where no private network can be had the command goes on without, and its cuts strike nobody."""
    if refused is not None:
        console.print(f"network faults cannot strike: {refused}")


def command_line(seed: int) -> str:
    """The command that repeats this run: as typed, with the seed that was drawn."""
    words = ["choreobench", *sys.argv[1:]]
    return shlex.join(words if "--seed" in words else [*words, "--seed", str(seed)])


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command; every foreseeable failure is one line on standard error."""
    typed = list(sys.argv[1:] if argv is None else argv)
    return ending(lambda: _done(typed))


def _done(typed: Sequence[str]) -> int:
    try:
        return int(choreobench(args=list(typed), standalone_mode=False, obj=typed) or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.NoSuchCommand as error:
        return fail(f"no command {error.command_name!r}; legal: {', '.join(choreobench.commands)}", USAGE)
    except click.NoSuchOption as error:
        return fail(f"no option {error.option_name!r}; legal: {', '.join(cli_options.legal(error.ctx))}", USAGE)
    except click.ClickException as error:
        return fail(f"{error.format_message()} See --help.", USAGE)
    except click.Abort:
        raise KeyboardInterrupt from None


if __name__ == "__main__":
    sys.exit(main())
