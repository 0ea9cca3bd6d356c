"""Options checked as a whole and resolved into a `RunSpec`: what cannot be is refused before anything starts."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cluster.endpoints import read_client_config
from bench.cluster.errors import ServerUnavailable
from bench.cluster.folder import require_disk
from bench.nemesis.legal import Ground, check_plan
from bench.nemesis.mix import expanded
from bench.nemesis.plan import Mix, Plan, parse_plan
from bench.options import Options, UsageError, new_folder, one_of
from bench.scenario import REAL, Broken, Scenario, scenarios
from bench.spec import DRAIN_DEADLINE_S, RunSpec
from loadgen import arrival
from system.kafka.config import ASSIGNORS
from system.runtime.failpoints import BadFaultPlan
from system.runtime.guarantees import GUARANTEES, ONCE_A_LIFE, Guarantee

RATE_MAX_PER_S = 1e7
WINDOW_MIN, WINDOW_MAX = 64, 8_000
"""Outstanding operations of a closed loop; a small run keeps few, so that a repeat finds its first attempt finished."""
WARM_UP_SHARE_OF_MAX = 0.05
RECORDED_BYTES, RECORDED_BYTES_PER_OPERATION = 64 * 2**20, 1024
"""A million operations leave 307 MB (`checkout`, seed 1); while they are recorded, their raw rows stand beside that."""
WARM_UP_S = 3.0
LONG_S = 60.0
"""A measurement as long as this has a warm-up as long: the broker's optimising compiler is done by then."""
LOSING_DRAIN_DEADLINE_S = 10.0


def resolve(options: Options) -> RunSpec:
    """The run that these options mean, with its new folder. Raises `UsageError`."""
    _check_servers(options)
    scenario = scenarios()[one_of("scenario", options.scenario, sorted(scenarios()))]
    broken = scenario.broken[one_of("broken system", options.broken, list(scenario.broken))] if options.broken else REAL
    guarantee = _guarantee(options, scenario, broken)
    assignors = ASSIGNORS[one_of("group protocol", options.group_protocol, list(ASSIGNORS))]
    assignor = one_of(f"assignor of {options.group_protocol}", options.assignor or assignors[0], assignors)
    _check_replay(options, guarantee)
    plan = _plan(options.fault or broken.fault, scenario, guarantee)
    fault = str(plan)
    settings = {**broken.settings, **_pairs("--set", options.settings)}
    workers = _workers(options.workers, scenario, broken)
    partitions = _within("--partitions", options.partitions, 1, 1000)
    rate_per_s = _rate(options.rate or broken.rate)
    operations, warm_up = _size(options, rate_per_s, default=broken.operations)
    ground = Ground(
        workers=workers,
        brokers=options.brokers if options.bootstrap_servers is None else 0,
        database=options.dsn is None,
        load_s=None if rate_per_s is None else (operations - warm_up) / rate_per_s,
    )
    try:
        check_plan(plan, ground)
    except BadFaultPlan as error:
        raise UsageError(str(error)) from None
    try:
        scenario.parse_settings(settings)
        arrival.schedule(options.arrival, rate_per_s=rate_per_s or 1.0, operations=1, seed=0)
    except ValueError as error:
        raise UsageError(str(error)) from None
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    mixed = {str(mix): _drawn(mix, ground, seed) for mix in plan.mixes}
    slug = "-".join((scenario.name, guarantee, _slug(fault), f"s{seed}"))
    folder = new_folder(options.out, slug)
    _require_room(folder, operations)
    return RunSpec(
        scenario=scenario.name,
        guarantee=guarantee,
        fault=fault,
        broken=options.broken,
        seed=seed,
        prefix=f"r{secrets.token_hex(4)}-",
        folder=str(folder),
        operations=operations,
        warm_up=warm_up,
        rate_per_s=rate_per_s,
        arrival=options.arrival,
        settings=settings,
        partitions=partitions,
        brokers=options.brokers,
        workers=workers,
        replay=options.replay,
        session_timeout_ms=broken.session_timeout_ms,
        group_protocol=options.group_protocol,
        assignor=assignor,
        static_members=options.static_members,
        drain_deadline_s=_drain_deadline_s(broken, GUARANTEES[guarantee], plan),
        mixed=mixed,
        window=max(WINDOW_MIN, min(WINDOW_MAX, operations // 16)),
    )


def _require_room(folder: Path, operations: int) -> None:
    """Raises `ServerUnavailable`, and leaves no folder, where the recording would not fit."""
    needed_bytes = RECORDED_BYTES + operations * RECORDED_BYTES_PER_OPERATION
    try:
        require_disk(folder.parent, needed_bytes, what=f"the recording of {operations:,} operations")
    except ServerUnavailable:
        folder.rmdir()
        raise


def _check_servers(options: Options) -> None:
    if options.brokers not in (1, 3):
        raise UsageError(f"--brokers {options.brokers}: legal: 1, 3")
    if options.client_config is not None and options.bootstrap_servers is None:
        raise UsageError("--client-config needs --bootstrap-servers: our own brokers take no other properties")
    read_client_config(options.client_config)


def _guarantee(options: Options, scenario: Scenario, broken: Broken) -> str:
    """The one asked for, or the one under which the wrong system is wrong."""
    if options.guarantee is None:
        return broken.guarantee
    one_of("guarantee", options.guarantee, scenario.guarantees)
    if options.broken and options.guarantee != broken.guarantee:
        raise UsageError(
            f"--broken {options.broken} with --guarantee {options.guarantee}: it is wrong under another one; "
            f"legal: {broken.guarantee}"
        )
    return options.guarantee


def _drain_deadline_s(broken: Broken, guarantee: Guarantee, plan: Plan) -> float:
    if broken.drain_deadline_s:
        return broken.drain_deadline_s
    # What is lost in a crash, or put back with the tables, never comes, however long it is waited for.
    loses = (guarantee.loses and plan.words) or any(fault.kind == "rewind" for fault in plan.faults)
    return LOSING_DRAIN_DEADLINE_S if loses else DRAIN_DEADLINE_S


def _rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= RATE_MAX_PER_S:
        raise UsageError(f"--rate {text}: legal: max, or operations a second above 0, up to {RATE_MAX_PER_S:g}")
    return rate


def _size(options: Options, rate_per_s: float | None, *, default: int) -> tuple[int, int]:
    """(operations, of which warm-up)."""
    if options.operations is not None and options.duration_s is not None:
        raise UsageError("--operations and --duration-s exclude each other: the rate makes one of the other")
    is_long = options.duration_s is not None and options.duration_s >= LONG_S
    warm_up_s = options.warmup_s if options.warmup_s is not None else (LONG_S if is_long else WARM_UP_S)
    if warm_up_s < 0:
        raise UsageError(f"--warmup-s {warm_up_s:g}: legal: 0 or more seconds")
    if options.duration_s is not None:
        if rate_per_s is None:
            raise UsageError("--duration-s needs a rate: with --rate max say how many --operations")
        if not 0 < options.duration_s <= 86_400:
            raise UsageError(f"--duration-s {options.duration_s:g}: legal: above 0, up to 86400 seconds")
        warm_up = int(warm_up_s * rate_per_s)
        operations = arrival.operations_in(options.duration_s, rate_per_s=rate_per_s) + warm_up
    else:
        operations = options.operations if options.operations is not None else default
        share = int(operations * WARM_UP_SHARE_OF_MAX)
        warm_up = share if rate_per_s is None else min(int(warm_up_s * rate_per_s), operations // 2)
    return _within("--operations", operations, 100, 100_000_000), warm_up


def _within(option: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise UsageError(f"{option} {value}: legal: {least} to {most}")
    return value


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {text!r}: legal: NAME=VALUE")
        pairs[name] = value
    return pairs


def _workers(texts: Sequence[str], scenario: Scenario, broken: Broken) -> Mapping[str, int]:
    workers = {**dict.fromkeys(scenario.services, 1), **broken.workers}
    for service, count in _pairs("--workers", texts).items():
        one_of("service", service, list(scenario.services))
        if not count.isascii() or not count.isdigit() or not 1 <= int(count) <= 64:
            raise UsageError(f"--workers {service}={count}: legal: 1 to 64 processes")
        workers[service] = int(count)
    return workers


def _plan(text: str, scenario: Scenario, guarantee: str) -> Plan:
    """The plan in its canonical form, its crashes checked."""
    points = scenario.failpoints(GUARANTEES[guarantee])
    try:
        plan = parse_plan(text)
    except BadFaultPlan as error:
        raise UsageError(str(error)) from None
    for crash in plan.crashes:
        one_of(f"service in fault {crash}:", crash.service, list(points))
        one_of(f"failpoint of {crash.service} under {guarantee} in fault {crash}:", crash.point, points[crash.service])
        if crash.point in ONCE_A_LIFE and crash.count > 1:
            raise UsageError(f"fault {crash}: {crash.point} is passed once a life; legal: #1")
    return plan


def _drawn(mix: Mix, ground: Ground, seed: int) -> list[str]:
    faults = [str(fault) for fault in expanded(mix, ground, seed=seed)]
    if not faults:
        raise UsageError(f"fault {mix}: too short for what seed {seed} draws; legal: longer, or another --seed")
    return faults


def _check_replay(options: Options, guarantee: str) -> None:
    with_inbox = [name for name, guarantee in GUARANTEES.items() if guarantee.inbox]
    if options.replay and guarantee not in with_inbox:
        raise UsageError(
            f"--replay with --guarantee {guarantee}: without an inbox everything would be done again; "
            f"legal: {', '.join(with_inbox)}"
        )


def _slug(fault: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in fault.lower())[:80]
