"""A seeded driver: random acts on random worlds, every law after every act, and a found failure made small."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from trading_pipeline.ports import Ledger
from trading_pipeline_tests.machine.acts import ACTS
from trading_pipeline_tests.machine.laws import Laws
from trading_pipeline_tests.machine.peace import settle
from trading_pipeline_tests.machine.tally import count_what_happened
from trading_pipeline_tests.machine.world import SETTINGS, World
from trading_pipeline_tests.memory_ledger import MemoryLedger

Move = tuple[str, tuple[int, ...]]
MakeLedger = Callable[[], Ledger]
LIFE = 250
"""Acts in one world."""
PATIENCE_S = 60.0
"""Longest that a failure is made smaller."""
SETTLE = "settle"
PEACE_PROBABILITY = 0.01


@dataclass(frozen=True, slots=True)
class Failure:
    """A broken law or an error, with all that is needed to see it again."""

    seed: int
    moves: tuple[Move, ...]
    message: str

    @property
    def words(self) -> str:
        """The error alone."""
        return self.message.strip().splitlines()[-1]


@dataclass(slots=True)
class Played:
    """What a number of worlds came to. rested: after how many acts nothing was on its way any more."""

    steps: int = 0
    worlds: int = 0
    rested: int = 0
    what: Counter[str] = field(default_factory=Counter)
    failure: Failure | None = None

    def add(self, other: Played) -> None:
        """Add another's."""
        self.steps += other.steps
        self.worlds += other.worlds
        self.rested += other.rested
        self.what.update(other.what)
        self.failure = self.failure or other.failure


def choose(chance: random.Random, world: World) -> Move:
    """An act that is possible now, by weight, with numbers."""
    if chance.random() < PEACE_PROBABILITY:
        return SETTLE, ()
    possible = [act for act in ACTS.values() if act.allowed(world)]
    (act,) = chance.choices(possible, [act.weight for act in possible])
    return act.name, tuple(chance.randint(0, most) for most in act.bounds)


def a_world(seed: int, make_ledger: MakeLedger) -> tuple[World, Laws]:
    """The world of a seed before anything happened in it."""
    world = World(make_ledger(), SETTINGS[seed % len(SETTINGS)])
    return world, Laws(world)


def play_world(seed: int, make_ledger: MakeLedger = MemoryLedger, most: int = LIFE) -> Played:
    """One world, from its own seed; in the end it must come to rest."""
    chance = random.Random(seed)
    moves: list[Move] = []
    world, laws = a_world(seed, make_ledger)
    played = Played(worlds=1)
    try:
        while played.steps < most:
            moves.append(choose(chance, world) if played.steps < most - 1 else (SETTLE, ()))
            do(world, laws, moves[-1])
            played.steps += 1
    except Exception:  # noqa: BLE001  whatever it is, it is what we look for
        played.failure = Failure(seed, tuple(moves), traceback.format_exc())
    count_what_happened(world)
    played.what, played.rested = world.what, laws.rested
    return played


def do(world: World, laws: Laws, move: Move) -> None:
    """One act, and every law."""
    name, numbers = move
    world.what[f"act: {name}"] += 1
    if name == SETTLE:
        settle(world, laws)
    else:
        ACTS[name].play(world, *numbers)
    laws.check()


def replay(seed: int, moves: Sequence[Move], make_ledger: MakeLedger = MemoryLedger) -> str:
    """Play the moves that are possible; the error they end in, or nothing."""
    world, laws = a_world(seed, make_ledger)
    try:
        for move in moves:
            if move[0] == SETTLE or ACTS[move[0]].allowed(world):
                do(world, laws, move)
    except Exception as error:  # noqa: BLE001  as above
        return f"{type(error).__name__}: {error}"
    return ""


def shrink(failure: Failure, make_ledger: MakeLedger = MemoryLedger) -> tuple[Move, ...]:
    """The moves without those that are not needed to fail in the same way."""
    kind, until = _kind(replay(failure.seed, failure.moves, make_ledger)), time.monotonic() + PATIENCE_S
    moves, size = list(failure.moves), max(1, len(failure.moves) // 2)
    while size and time.monotonic() < until:
        shorter = _without_some(failure, moves, size, kind, make_ledger)
        moves, size = (shorter, size) if shorter else (moves, size // 2)
    return tuple(moves)


def _without_some(
    failure: Failure, moves: list[Move], size: int, kind: str, make_ledger: MakeLedger
) -> list[Move] | None:
    for start in range(0, len(moves), size):
        fewer = moves[:start] + moves[start + size :]
        if _kind(replay(failure.seed, fewer, make_ledger)) == kind:
            return fewer
    return None


def _kind(error: str) -> str:
    """The words of an error without its figures and names."""
    return " ".join(word for word in error.split()[:9] if word.isalpha() or word.endswith(":"))


def play(steps: int, seed: int, make_ledger: MakeLedger = MemoryLedger) -> Iterator[Played]:
    """Worlds until there were so many steps, or one fails; each is yielded."""
    done, number = 0, 0
    while done < steps:
        played = play_world(seed * 1_000_003 + number, make_ledger, min(LIFE, steps - done))
        done, number = done + played.steps, number + 1
        yield played
        if played.failure is not None:
            return


def play_all(steps: int, seed: int, make_ledger: MakeLedger = MemoryLedger) -> Played:
    """The same, added up."""
    total = Played()
    for played in play(steps, seed, make_ledger):
        total.add(played)
    return total
