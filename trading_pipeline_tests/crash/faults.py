"""The fault sweep: python -m trading_pipeline_tests.crash.faults --door alpaca|ib [--ops stream].

Every fault of a door's vocabulary meets every thing a loop asks there: once at the first such call, once at two
later ones (the first two, where a day asks no more). A fault that was never played is a violation too: its case would
prove nothing. A loop that ends with an error is started again, as a supervisor would. Whatever was traded then must be
on record, once, and what was held must have been covered.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.venue.faults import Fault, FaultRule, FaultScript
from trading_pipeline_tests.crash.days import DAYS
from trading_pipeline_tests.crash.doors import PATIENCE_SECONDS, DoorKind
from trading_pipeline_tests.crash.state import EndState
from trading_pipeline_tests.crash.sweep import VenueProcess, live, look, prepared, venue_of
from trading_pipeline_tests.crash.trader import LONGEST_GAP_SECONDS, Run, trade
from trading_pipeline_tests.services.scripted import TIMES

MOST_STARTS = 8
LATE = PATIENCE_SECONDS + 0.5
"""Seconds after which a client has stopped waiting."""
OUTAGE = 0.3
SKEW, HALTED = 90.0, 600.0
REFUSALS = frozenset({Fault.REJECT, Fault.REJECT_LATER})
IN_TIME = timedelta(seconds=LONGEST_GAP_SECONDS)
"""Where the venue refuses the stop itself nothing can cover the shares: then a person must hear of it in time."""

Kinds = dict[Fault, float]
"""Faults with their seconds."""

ANSWERS: Kinds = {
    Fault.DROP_REQUEST: 0, Fault.RESET: 0, Fault.DROP_REPLY: 0, Fault.DELAY: LATE, Fault.HTTP_429: 0.05,
    Fault.HTTP_500: 0, Fault.HTTP_504: 0, Fault.HTML_BODY: 0, Fault.MALFORMED: 0, Fault.UNKNOWN_VALUE: 0,
    Fault.EXTRA_FIELD: 0, Fault.CLOCK_SKEW: SKEW, Fault.REJECT: 0,
}  # fmt: skip
NEWS: Kinds = {
    Fault.DUPLICATE: 0, Fault.REORDER: 0, Fault.OMIT: 0, Fault.STALL: 0, Fault.CLOSE: 0, Fault.DELAY: 1.0,
    Fault.MALFORMED: 0, Fault.UNKNOWN_VALUE: 0, Fault.EXTRA_FIELD: 0, Fault.CLOCK_SKEW: SKEW,
}  # fmt: skip
OF_ORDERS: Kinds = {Fault.REJECT_LATER: 0, Fault.HALT: HALTED}
TWS_ANSWERS: Kinds = ANSWERS | {
    Fault.DUPLICATE: 0, Fault.REORDER: 0, Fault.STALL: 0, Fault.CLOSE: 0, Fault.OUTAGE: OUTAGE,
    Fault.OUTAGE_WITH_LOSS: OUTAGE,
}  # fmt: skip
TWS_NEWS: Kinds = NEWS | {
    Fault.RESET: 0,
    Fault.NO_COMMISSION: 0,
    Fault.OUTAGE: OUTAGE,
    Fault.OUTAGE_WITH_LOSS: OUTAGE,
}

LOOK_UP = "orders.by_client_order_id"
DAYS_OF = {
    "orders.submit": ("target_fill", "partial_entry"), "orders.replace": ("trailing_replace",),
    "orders.cancel": ("partial_entry",), LOOK_UP: ("target_fill",),
}  # fmt: skip
"""Which days use what is asked; `time_exit` uses the rest."""
BEFORE = {LOOK_UP: (FaultRule(fault=Fault.DROP_REQUEST, op="orders.submit"),)}
"""What must have gone wrong for a thing to be asked at all: what was sent in vain is looked up by our id."""
FIRST, FIRST_TWO, NEXT_TWO, LATER_TWO = (1, 1), (1, 2), (2, 2), (3, 2)
"""(the first call that meets the fault, how many do)."""
LAST_CALLS = {
    ("orders.submit", "target_fill"): FIRST_TWO, ("orders.submit", "partial_entry"): NEXT_TWO,
    ("orders.replace", "trailing_replace"): NEXT_TWO, ("orders.cancel", "partial_entry"): FIRST_TWO,
    ("orders.get", "time_exit"): FIRST_TWO, (LOOK_UP, "target_fill"): FIRST_TWO,
    ("stream.connect", "time_exit"): FIRST_TWO,
}  # fmt: skip
"""What a day asks too seldom to meet a fault at the third call."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault at one kind of call, on one day: from the nth such call on, so many times."""

    day: str
    op: str
    fault: Fault
    seconds: float
    nth: int = 1
    times: int = 1

    @property
    def script(self) -> FaultScript:
        """The fault, after what must have gone wrong before it."""
        rule = FaultRule(fault=self.fault, op=self.op, nth=self.nth, times=self.times, seconds=self.seconds)
        return FaultScript(rules=(*BEFORE.get(self.op, ()), rule))


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it. played: how often its fault happened. starts: of the loop."""

    case: Case
    played: int
    starts: int
    faults: tuple[str, ...]


VOCABULARY: Mapping[DoorKind, Mapping[str, Kinds]] = {
    DoorKind.ALPACA: {
        "orders.submit": ANSWERS | OF_ORDERS, "orders.replace": ANSWERS | OF_ORDERS, "orders.cancel": ANSWERS,
        "orders.list": ANSWERS, "orders.get": ANSWERS, "orders.by_client_order_id": ANSWERS, "account": ANSWERS,
        "positions.list": ANSWERS, "activities": ANSWERS, "stream": NEWS,
        "stream.connect": {Fault.DELAY: LATE, Fault.HTTP_429: 0, Fault.RESET: 0},
    },
    DoorKind.IB: {
        "orders.submit": TWS_ANSWERS | OF_ORDERS | {Fault.CANCEL_HINT: 0}, "orders.cancel": TWS_ANSWERS,
        "orders.replace": TWS_ANSWERS | OF_ORDERS | {Fault.CANCEL_HINT: 0}, "orders.open": TWS_ANSWERS,
        "orders.completed": TWS_ANSWERS, "executions": TWS_ANSWERS | {Fault.NO_COMMISSION: 0},
        "positions": TWS_ANSWERS, "account": TWS_ANSWERS, "stream": TWS_NEWS,
    },
}  # fmt: skip
"""What may go wrong at a door: by what is asked, with seconds."""


def cases(door: DoorKind, ops: Sequence[str] = (), faults: Sequence[str] = ()) -> list[Case]:
    """All of them, or those of some ops and faults."""
    return [
        Case(day, op, fault, seconds, nth, times)
        for op, kinds in VOCABULARY[door].items() if not ops or op in ops
        for fault, seconds in kinds.items() if not faults or fault in faults
        for day in DAYS_OF.get(op, ("time_exit",))
        for nth, times in (FIRST, LAST_CALLS.get((op, day), LATER_TWO))
    ]  # fmt: skip


@dataclass
class Sweep:
    """Cases at one door, each against a venue of its own in a folder below."""

    door: DoorKind
    folder: Path
    _number: Iterator[int] = field(default_factory=count)
    _calm: dict[str, EndState] = field(default_factory=dict)

    def calm(self, day: str) -> EndState:
        """The day with nothing wrong; raises AssertionError when something is."""
        told, end = self._run(Case(day, "nothing", Fault.RESET, 0))
        assert not told.faults, told.faults
        assert DAYS[day].shows(end, self.door), f"{day} did not show what it is for: {end}"
        self._calm[day] = end
        return end

    def play(self, case: Case) -> Told:
        """Run the day to its close, with as many starts as it takes, and judge. `calm` of the day comes first."""
        told, end = self._run(case)
        played = told.played - len(BEFORE.get(case.op, ()))
        vacuous = () if played > 0 else (f"never played: {case.op} call {case.nth} was not made on {case.day}",)
        faults = (*told.faults, *self.bought_more(case.day, end), *vacuous)
        return Told(case, played, told.starts, faults)

    def bought_more(self, day: str, end: EndState) -> list[str]:
        """What was bought beyond the calm day."""
        bought, most = _bought(end), _bought(self._calm[day])
        return [f"bought {n} {s}, calm {most.get(s, ZERO)}" for s, n in bought.items() if n > most.get(s, ZERO)]

    def _run(self, case: Case) -> tuple[Told, EndState]:
        folder = self.folder / f"{next(self._number)}"
        with venue_of(case.day, folder, self.door, case.script) as venue:
            starts = supervised(run := self.run_at(venue, case.day))
            end, played, faults = judged(run, case.fault)
        if not faults:
            shutil.rmtree(folder)
        return Told(case, played, starts, faults), end

    def run_at(self, venue: VenueProcess, day: str) -> Run:
        """What a loop process is to do over a fresh ledger."""
        url, result = self._ledger(day, venue.folder), venue.folder / "result.json"
        return Run(
            day=day, ledger_url=url, addresses=venue.addresses, door=self.door, result=result, as_wired=True
        )  # fmt: skip

    def _ledger(self, day: str, folder: Path) -> str:
        """A copy of one that was migrated once."""
        template = self.folder / f"prepared-{day}"
        if not template.exists():
            template.mkdir()
            prepared(day, template, default_url)
        for file in template.iterdir():
            shutil.copy(file, folder)
        return default_url(folder)


def supervised(run: Run) -> int:
    """Start the loop until it has done its last act, at most so often; returns how often."""
    for number in range(1, MOST_STARTS + 1):
        live(run, trade_with_log)
        if run.result.exists():
            return number
    return MOST_STARTS


def trade_with_log(run: Run) -> None:
    """As `trade`; what it says goes to a file beside its result."""
    with (run.result.parent / "loop.log").open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 2)
        trade(run)


def judged(run: Run, fault: Fault | None = None) -> tuple[EndState, int, tuple[str, ...]]:
    """What a run left, how many faults were played, and which laws are broken."""
    with closing(RemoteMarket(run.venue_url)) as market:
        watched = market.watched()
        market.play_faults(FaultScript())
    long = [gap for gap in watched.gaps if gap.seconds(watched.now) > LONGEST_GAP_SECONDS]
    told = _alarms(run) if fault in REFUSALS else []
    naked = [
        f"naked: {gap.shares} {gap.symbol} from {gap.since:%H:%M:%S} for {gap.seconds(watched.now):g} s"
        for gap in long if not any(gap.since <= at <= gap.since + IN_TIME for at in told)
    ]  # fmt: skip
    end, executed = look(run.ledger_url, run.venue_url)
    return end, sum(watched.faults.values()), (*_broken_laws(run, end, executed), *naked)


def _alarms(run: Run) -> list[datetime]:
    """When a person was told that shares are bare."""
    with closing(SqlLedger(run.ledger_url)) as ledger, ledger.read() as tx:
        events = tx.risk_events("A", TIMES.session)
    return [one.occurred_at for one in events if (one.kind, one.severity) == ("unprotected", "CRITICAL")]


def _broken_laws(run: Run, end: EndState, executed: Counter[tuple[str, ...]]) -> Iterator[str]:
    with closing(SqlLedger(run.ledger_url)) as ledger, ledger.read() as tx:
        record = tx.session_record("A", TIMES.session)
    if record is None or record.phase is not SessionPhase.CLOSED:
        yield f"the session is not closed: {run.result.parent / 'loop.log'}"
    ours = Counter(row[-4:] for row in end.fills)
    if ours != executed:
        lost, invented = executed - ours, ours - executed
        yield f"fills lost: {sorted(lost.elements())}, doubled or invented: {sorted(invented.elements())}"
    if end.cash != end.venue_cash:
        yield f"cash on record {end.cash} USD, at the venue {end.venue_cash} USD"
    if [row[:2] for row in end.positions] != list(end.venue_positions):
        yield f"positions on record {end.positions}, at the venue {end.venue_positions}"


def _bought(end: EndState) -> Mapping[str, Decimal]:
    bought: dict[str, Decimal] = {}
    for *_, symbol, side, shares, _price in end.fills:
        if side == "buy":
            bought[symbol] = bought.get(symbol, ZERO) + Decimal(shares)
    return bought


def sweep(chosen: Sequence[Case], within: Sweep, workers: int, shown: Progress) -> list[Told]:
    """Play them, several at a time; what is wrong is shown at once."""
    for day in sorted({case.day for case in chosen}):
        within.calm(day)
    task = shown.add_task(within.door, total=len(chosen))

    def play(case: Case) -> Told:
        told = within.play(case)
        shown.advance(task)
        if not shown.console.is_terminal and case.times > 1 and case.fault is Fault.DELAY:
            shown.console.print(f"{case.op}: {shown.tasks[task].completed:g} of {len(chosen)} runs")
        for fault in told.faults:
            shown.console.print(f"{case}: {fault}", highlight=False, soft_wrap=True)
        return told

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(play, chosen))


def main(arguments: Sequence[str]) -> int:
    """Sweep, show a table, and return 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m trading_pipeline_tests.crash.faults", description=__doc__)
    parser.add_argument("--door", choices=[kind.value for kind in VOCABULARY], required=True)
    parser.add_argument("--ops", type=_words, default=(), help="comma-separated; default: all")
    parser.add_argument("--faults", type=_words, default=(), help="comma-separated; default: all")
    parser.add_argument("--workers", type=int, default=2)
    options, console = parser.parse_args(arguments), Console()
    door = DoorKind(options.door)
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        Progress(console=console, transient=True) as shown,
    ):
        chosen = cases(door, options.ops, options.faults)
        told = sweep(chosen, Sweep(door, Path(folder)), options.workers, shown)
    console.print(_table(told, door))
    return 1 if any(one.faults for one in told) else 0


def _words(text: str) -> list[str]:
    return text.split(",")


def _table(told: Sequence[Told], door: DoorKind) -> Table:
    table = Table("op", "fault", "runs", "played", "restarts", "violations", title=f"faults at the {door} door")
    rows = sorted({(one.case.op, one.case.fault) for one in told})
    for op, fault in rows:
        these = [one for one in told if (one.case.op, one.case.fault) == (op, fault)]
        table.add_row(op, fault, *map(str, _figures(these)))
    table.add_section()
    table.add_row("all", "", *map(str, _figures(told)))
    return table


def _figures(told: Sequence[Told]) -> tuple[int, int, int, int]:
    wrong = sum(1 for one in told if one.faults)
    return len(told), sum(one.played for one in told), sum(one.starts - 1 for one in told), wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
