"""Whether a run can have a plan at all, told before anything starts by a line that names what is legal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.nemesis.kinds import BROKER, BROKERS, DATABASE, KINDS, NETWORK, POSTGRES, SERVICE, WORKER
from bench.nemesis.plan import ALL, Fault, Mix, Plan, seconds
from system.runtime.failpoints import BadFaultPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a plan is made for. `workers`: service → processes. `brokers`, `database`: started by the harness, so that
    they may be hurt; `brokers` is 0 for a cluster that is not ours. `load_s`: length of the measured load, None where
    nobody can know it.
    """

    workers: Mapping[str, int]
    brokers: int
    database: bool
    load_s: float | None

    def families(self) -> Iterator[str]:
        """Those of whose faults this run can have any."""
        for family in KINDS:
            if (family == POSTGRES and not self.database) or (family in (BROKERS, NETWORK) and self.brokers < 3):
                continue
            yield family

    def roles(self, family: str, kind: str) -> list[str]:
        """Whom this kind of fault may strike here."""
        found = []
        for role in KINDS[family][kind].roles:
            if role == SERVICE:
                found += list(self.workers)
            elif role == WORKER:
                found += [f"{service}-{slot}" for service, count in self.workers.items() for slot in range(count)]
            elif role == BROKER:
                found += [f"broker-{number}" for number in range(1, self.brokers + 1)]
            else:
                found.append(role)
        return found


def check_plan(plan: Plan, ground: Ground) -> None:
    """Raises `BadFaultPlan` for the first fault that cannot be. Crashes are checked by the scenario's failpoints."""
    words = [str(word) for word in plan.words]
    timed: Sequence[Fault | Mix] = (*plan.faults, *plan.mixes)
    for word in timed:
        if words.count(str(word)) > 1:
            raise BadFaultPlan(f"fault {word}: it stands twice in the plan; legal: once, or at another time")
        if ground.load_s is not None and word.at_s >= ground.load_s:
            raise BadFaultPlan(f"fault {word}: the measured load ends after {seconds(ground.load_s)}; legal: before")
    for fault in plan.faults:
        _check_fault(fault, ground)
    for mix in plan.mixes:
        _check_mix(mix, ground)


def _check_fault(fault: Fault, ground: Ground) -> None:
    if fault.family in (BROKERS, NETWORK) and not ground.brokers:
        raise BadFaultPlan(f"fault {fault}: the brokers are not ours; legal: without --bootstrap-servers")
    if fault.family == NETWORK and not ground.database:
        raise BadFaultPlan(f"fault {fault}: a private network reaches no foreign database; legal: without --dsn")
    if fault.family == POSTGRES and not ground.database:
        raise BadFaultPlan(f"fault {fault}: the database is not ours; legal: without --dsn")
    if fault.family in (BROKERS, NETWORK) and ground.brokers < 3 and fault.role not in (*ground.workers, DATABASE):
        raise BadFaultPlan(f"fault {fault}: it needs three brokers; legal: with --brokers 3")
    roles = ground.roles(fault.family, fault.kind)
    if fault.role not in roles:
        raise BadFaultPlan(
            f"fault {fault}: there is no {fault.role!r} for {fault.kind} here; legal: {', '.join(roles)}"
        )


def _check_mix(mix: Mix, ground: Ground) -> None:
    legal = list(ground.families())
    if mix.family != ALL and mix.family not in legal:
        raise BadFaultPlan(f"fault {mix}: no {mix.family} of ours to strike; legal: {', '.join((*legal, ALL))}")
    if ground.load_s is not None and mix.at_s + mix.for_s > ground.load_s:
        raise BadFaultPlan(f"fault {mix}: the measured load ends after {seconds(ground.load_s)}; legal: up to there")
