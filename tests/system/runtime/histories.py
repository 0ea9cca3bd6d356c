"""What each guarantee claims and tolerates, held against simulated histories: from a seed, by the thousand, shrunk when
one breaks a claim.

`python -m tests.system.runtime.histories GUARANTEE HISTORIES [FIRST_SEED]` walks as many as wanted and prints what was
seen; the same seed is the same history.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from system.runtime.guarantees import GUARANTEES, Guarantee
from tests.system.runtime.simulation import KINDS, World, simulate

SLOTS = 2
PARTITIONS = 2
ENTITIES = "abcd"
CHOICES_MAX = 70


class History(NamedTuple):
    """Messages a partition, in log order, and what happens."""

    log: Sequence[Sequence[str]]
    choices: Sequence[int]


def history_of(seed: int) -> History:
    """A few entities with a few messages each; every tenth record is a message that was there before."""
    draw = random.Random(seed)
    log: list[list[str]] = [[] for _ in range(PARTITIONS)]
    counts = Counter[str]()
    for _ in range(draw.randrange(1, 11)):
        entity = draw.choice(ENTITIES)
        counts[entity] += draw.random() > 0.1 or not counts[entity]
        log[ENTITIES.index(entity) % PARTITIONS].append(f"{entity}{counts[entity]}")
    return History(log, [draw.randrange(SLOTS * KINDS * 8) for _ in range(draw.randrange(CHOICES_MAX))])


def broken_claims(guarantee: Guarantee, world: World) -> list[str]:
    """What of the guarantee's claims does not hold in a world at rest; empty for a legal history."""
    written = Counter(message for partition in world.log for message in partition)
    answered = Counter(message for message, _ in world.answers)
    broken = []
    for message, records in written.items():
        effects, answers = world.effects[message], answered[message]
        least, most = _bounds(guarantee, records, disturbed=world.disturbed)
        if not least[0] <= effects <= most[0]:
            broken.append(f"{message} had {effects} effects, not {least[0]} to {most[0]}")
        if not least[1] <= answers <= most[1]:
            broken.append(f"{message} was answered {answers} times, not {least[1]} to {most[1]}")
    broken += [f"{message} was answered and had no effect" for message in answered if not world.effects[message]]
    outcomes = Counter(message for message, _ in set(world.answers))
    if guarantee.inbox:
        broken += [f"{message} has {n} outcomes" for message, n in outcomes.items() if n > 1]
    if not guarantee.loses:
        broken += _misordered(world)
    return broken


_MANY = 10**9


def _bounds(guarantee: Guarantee, records: int, *, disturbed: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """((least effects, least answers), (most effects, most answers)) of a message that stands in `records` records."""
    effects = 1 if guarantee.inbox else records
    if not disturbed or guarantee.transactions:
        return (effects, records), (effects, records)
    if guarantee.loses:
        return (0, 0), (records, records)
    return (effects, records), (effects if guarantee.inbox else _MANY, _MANY)


def _misordered(world: World) -> list[str]:
    """Entities whose messages were first answered in another order than that of the log."""
    firsts = list(dict.fromkeys(message for message, _ in world.answers))
    found = []
    for partition in world.log:
        for entity in {message[0] for message in partition}:
            expected = [message for message in dict.fromkeys(partition) if message[0] == entity]
            seen = [message for message in firsts if message[0] == entity]
            if seen != expected:
                found.append(f"{entity} was answered in the order {seen}, not {expected}")
    return found


def examined(guarantee: Guarantee, history: History) -> tuple[World, list[str]]:
    """The world at the end of a history and the claims that it breaks; one that never comes to rest breaks one too."""
    try:
        world = simulate(guarantee, history.log, history.choices, members=SLOTS)
    except AssertionError as error:
        return simulate(guarantee, [[]], []), [str(error)]
    return world, broken_claims(guarantee, world)


def shrunk(guarantee: Guarantee, history: History) -> History:
    """A history that breaks a claim too and from which nothing can be left out: choices first, then messages."""
    choices = list(history.choices)
    width = len(choices)
    while width:
        begin = 0
        while begin < len(choices):
            fewer = choices[:begin] + choices[begin + width :]
            if examined(guarantee, History(history.log, fewer))[1]:
                choices = fewer
            else:
                begin += width
        width //= 2
    log = [list(partition) for partition in history.log]
    for p, offset in [(p, offset) for p, messages in enumerate(log) for offset in reversed(range(len(messages)))]:
        less = [messages[:offset] + messages[offset + 1 :] if q == p else messages for q, messages in enumerate(log)]
        if examined(guarantee, History(less, choices))[1]:
            log = less
    return History(log, choices)


class Seen(NamedTuple):
    """How many histories were walked, how many of them were disturbed, lost an effect or an answer, repeated an effect
    or an answer.
    """

    histories: int
    disturbed: int
    lost: int
    effects_repeated: int
    answers_repeated: int


def walk(guarantee: Guarantee, seeds: Sequence[int]) -> Seen:
    """Every history of `seeds`. Raises AssertionError for the first that breaks a claim: its seed, what it breaks and
    the least history that does.
    """
    disturbed = lost = twice = repeated = 0
    for seed in seeds:
        world, broken = examined(guarantee, history_of(seed))
        if broken:
            least = shrunk(guarantee, history_of(seed))
            raise AssertionError(f"{guarantee.name}, seed {seed}: {broken}; least: {least}")
        written = Counter(message for partition in world.log for message in partition)
        answered = Counter(message for message, _ in world.answers)
        disturbed += world.disturbed
        lost += any(world.effects[message] < 1 or answered[message] < n for message, n in written.items())
        twice += any(world.effects[message] > n for message, n in written.items())
        repeated += any(answered[message] > n for message, n in written.items())
    return Seen(len(seeds), disturbed, lost, twice, repeated)


def main(name: str, histories: str, first: str = "0") -> None:
    """Walks, and prints what was seen."""
    began_s = time.monotonic()
    seen = walk(GUARANTEES[name], range(int(first), int(first) + int(histories)))
    print(f"{name}: {seen} in {time.monotonic() - began_s:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
