"""A fault plan: words joined by `+`, all in parallel, each with its own time. Pure, and its text is canonical.

`KIND:ROLE@Ns[~Ns]`: what, whom, how many seconds after the measured phase began, and how long until it heals;
`mix:FAMILY@Ns~Ns`: faults of a family drawn over that stretch (`bench.nemesis.mix`); `crash:SERVICE@POINT#N`: a
failpoint (`system.runtime.failpoints`). `str` of a fault is the plan's word, by which events name it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.nemesis.kinds import FAMILIES, KINDS, family_of
from system.runtime.failpoints import BadFaultPlan, Crash
from system.runtime.failpoints import parse as parse_crashes

FORMS: Final = "none, crash:SERVICE@POINT#N with N >= 1, KIND:ROLE@Ns[~Ns], mix:FAMILY@Ns~Ns"
MIX: Final = "mix"
ALL: Final = "all"
_SECONDS: Final = r"[0-9]{1,6}(?:\.[0-9]{1,3})?"
_FORM: Final = re.compile(
    rf"(?P<kind>[a-z-]+):(?P<role>[a-z][a-z0-9-]*)@(?P<at>{_SECONDS})s(?:~(?P<duration>{_SECONDS})s)?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` strikes `role` `at_s` seconds after the measured phase began, and heals `for_s` seconds later."""

    kind: str
    role: str
    at_s: float
    for_s: float

    @property
    def family(self) -> str:
        """services, brokers, network or postgres."""
        return family_of(self.kind, self.role)

    def __str__(self) -> str:
        lasts = "" if self.for_s == KINDS[self.family][self.kind].heals_s else f"~{seconds(self.for_s)}"
        return f"{self.kind}:{self.role}@{seconds(self.at_s)}{lasts}"


@dataclass(frozen=True, slots=True)
class Mix:
    """Faults of `family` (or of `all`) drawn over `for_s` seconds from `at_s` on."""

    family: str
    at_s: float
    for_s: float

    def __str__(self) -> str:
        return f"{MIX}:{self.family}@{seconds(self.at_s)}~{seconds(self.for_s)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`words` in the order in which they were typed; none of them: nothing goes wrong."""

    words: tuple[Crash | Fault | Mix, ...] = ()

    @property
    def crashes(self) -> tuple[Crash, ...]:
        return tuple(word for word in self.words if isinstance(word, Crash))

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(word for word in self.words if isinstance(word, Fault))

    @property
    def mixes(self) -> tuple[Mix, ...]:
        return tuple(word for word in self.words if isinstance(word, Mix))

    def __str__(self) -> str:
        return "+".join(map(str, self.words)) or "none"


def seconds(value: float) -> str:
    """`5s`, `2.5s`: whole milliseconds, no needless digits."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def parse_plan(text: str) -> Plan:
    """`none`, or words joined by `+`. Raises `BadFaultPlan` with one line that says what is legal."""
    return Plan() if text == "none" else Plan(tuple(_word(word, text) for word in text.split("+")))


def _word(word: str, plan: str) -> Crash | Fault | Mix:
    if word.startswith("crash:"):
        return parse_crashes(word)[0]
    match = _FORM.fullmatch(word)
    if match is None:
        raise BadFaultPlan(f"fault plan {plan!r}: {word!r} is none of {FORMS}")
    kind, role, at_s = match["kind"], match["role"], float(match["at"])
    for_s = None if match["duration"] is None else float(match["duration"])
    if kind == MIX:
        return _mix(word, family=role, at_s=at_s, for_s=for_s)
    kinds = sorted({each for family in KINDS.values() for each in family})
    if kind not in kinds:
        raise BadFaultPlan(f"fault {word}: unknown kind {kind!r}; legal: {', '.join((*kinds, MIX))}")
    family = KINDS[family_of(kind, role)]
    if kind not in family:
        raise BadFaultPlan(f"fault {word}: {kind} does not strike {role}; it strikes {_struck_by(kind)}")
    return Fault(kind, role, at_s, family[kind].heals_s if for_s is None else for_s)


def _struck_by(kind: str) -> str:
    return ", ".join(dict.fromkeys(role for family in KINDS.values() if kind in family for role in family[kind].roles))


def _mix(word: str, *, family: str, at_s: float, for_s: float | None) -> Mix:
    legal: Sequence[str] = (*FAMILIES, ALL)
    if family not in legal:
        raise BadFaultPlan(f"fault {word}: unknown family {family!r}; legal: {', '.join(legal)}")
    if not for_s:
        raise BadFaultPlan(f"fault {word}: a mix needs its length; legal: {MIX}:{family}@{seconds(at_s)}~Ns above 0")
    return Mix(family, at_s, for_s)
