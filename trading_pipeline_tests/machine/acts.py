"""Everything that can happen, each act with a few whole numbers: what a machine draws, shrinks and repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.control import BlockKind, TradingState
from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.orders import Side
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.services import care
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot, rearm
from trading_pipeline.services.trading_state import set_trading_state
from trading_pipeline.venue.faults import Fault, FaultRule, FaultScript
from trading_pipeline_tests.builders import a_setup, dec
from trading_pipeline_tests.machine import venue_acts
from trading_pipeline_tests.machine.world import ACCOUNT, BAR, BARS, SYMBOLS, Days, World

Play = Callable[..., None]
Allowed = Callable[[World], bool]


@dataclass(frozen=True, slots=True)
class Act:
    """bounds: the largest value of each number it takes, from zero. weight: how often it is chosen."""

    name: str
    play: Play
    bounds: tuple[int, ...]
    weight: int
    allowed: Allowed


ACTS: dict[str, Act] = {}


def is_trading(world: World) -> bool:
    """True while the market makes bars."""
    return not world.is_over


def is_running(world: World) -> bool:
    """True until the session is closed on record."""
    return not world.is_closed


def act(weight: int, *bounds: int, allowed: Allowed = is_running) -> Callable[[Play], Play]:
    """Register an act under its function's name."""

    def register(play: Play) -> Play:
        ACTS[play.__name__] = Act(play.__name__, play, bounds, weight, allowed)
        return play

    return register


# the market

SHAPES = (  # in basis points of the last price: open, low, high, close; then the volume
    (0, 0, 0, 0, 1_000_000), (0, -30, 30, 0, 1_000_000), (0, -40, 10, 20, 1_000_000), (0, -40, 10, -20, 900),
    (0, -20, 60, 50, 1_000_000), (10, -30, 150, 140, 1_000_000), (0, -60, 260, 250, 1_000_000),
    (0, -150, 20, -120, 1_000_000), (0, -30, 10, 0, 700), (-250, -350, -200, -300, 1_000_000),
    (200, 150, 400, 380, 1_000_000), (0, -30, 40, 30, 2_500), (0, -20, 20, 10, 0), (20, 0, 120, 110, 3_000),
)  # fmt: skip
MOST = len(SHAPES) - 1
LOWEST, HIGHEST = Decimal(20), Decimal(120)


def _a_bar(world: World, symbol: str, shape: int) -> None:
    opened, low, high, close, volume = SHAPES[shape]
    known = world.venue._state.marks.get(symbol)
    last = known.price if known is not None else Decimal(50)
    if (last < LOWEST and close < 0) or (last > HIGHEST and close > 0):
        opened, low, high, close = -opened, -high, -low, -close
    if volume == 0:
        return  # nobody traded
    px = [(last * (10_000 + points) / 10_000).quantize(Decimal("0.01")) for points in (opened, low, high, close)]
    bar = MarketBar(
        symbol=symbol, start_at=world.bar_end - BAR, end_at=world.bar_end, open=px[0], low=min(px), high=max(px),
        close=px[3], volume=dec(volume),
    )  # fmt: skip
    world.tape.add(bar)


@act(20, MOST, MOST, MOST, MOST, allowed=is_trading)
def bar(world: World, *shapes: int) -> None:
    """Five minutes pass at the market; the process does nothing."""
    world.done += 1
    first = len(world.tape.bars)
    for symbol, shape in zip(SYMBOLS, shapes, strict=True):
        _a_bar(world, symbol, shape)
    world.clock.sleep_until(world.bar_end)
    world.venue.on_bars(world.tape.bars[first:], world.bar_end)


@act(60, MOST, MOST, MOST, MOST, allowed=is_trading)
def bar_and_step(world: World, *shapes: int) -> None:
    """Five minutes pass, and the loop does all it does at a bar's end."""
    bar(world, *shapes)
    step(world)


# the process


def _step(world: World, record: SessionRecord) -> None:
    ends = world.tape.bar_ends(world.times)
    instant, before = ends[world.done - 1], ends[world.done - 2] if world.done > 1 else None
    if record.cursor_at is None or record.cursor_at < instant:
        world.record = world.loop._step(record, instant=instant, done_before=before, bars_left=BARS - world.done)
    world.stepped = world.done


@act(20, allowed=lambda world: world.stepped < world.done and not world.is_closed)
def step(world: World) -> None:
    """All a loop does at a bar's end, for the last bar."""
    world.run(lambda record: _step(world, record))


def _wait(world: World, seconds: int) -> None:
    world.clock.sleep_until(min(world.clock.now() + timedelta(seconds=seconds), world.bar_end + BAR - SECOND))


SECOND = timedelta(seconds=1)


@act(30, 7, allowed=is_trading)
def attend(world: World, rounds: int) -> None:
    """Seconds pass, and the loop looks after its orders."""
    _wait(world, 5 * (rounds + 1))
    world.run(lambda record: world.loop.cycle.attend(record, world.loop._quotes))


@act(6)
def sync(world: World) -> None:
    """Apply what the venue reports."""
    world.run(world.loop.cycle.sync)


@act(4, 1)
def reconcile(world: World, wait: int) -> None:
    """Compare record and venue; and again when it can be confirmed."""

    def compare(record: SessionRecord) -> None:
        world.loop.cycle.reconciler.run()
        world.loop.cycle.sync(record)

    world.run(compare)
    if wait:
        _wait(world, 6)
        world.run(compare)


@act(6, 1)
def dispatch(world: World, forced: int) -> None:
    """Send what is due; forced: past the loop, which lets entries out only when reconciled."""
    if forced:
        world.run(lambda _: dispatch_due(world.loop.desk))
    else:
        world.run(world.loop.cycle.dispatch)


@act(4, allowed=is_trading)
def guard(world: World) -> None:
    """Look after protection alone."""
    world.run(world.loop.cycle.guard)


@act(4, allowed=is_trading)
def trail(world: World) -> None:
    """Mark and trail alone, on the last quotes."""

    def raise_stops(_: SessionRecord) -> None:
        desk, quotes = world.loop.desk, world.tape.quotes(world.times, world.clock.now(), SYMBOLS)
        care.trail_stops(desk, care.mark_positions(desk, quotes), world.loop._quotes, quotes)

    world.run(raise_stops)


# what is wanted

STOPS, TARGETS = (0.01, 0.02, 0.04), (1.6, 2.5, 6.0)


def _watchlist(world: World, chosen: int, stop: int, target: int) -> ScanSnapshot | None:
    symbols = [symbol for number, symbol in enumerate(SYMBOLS) if chosen >> number & 1 and symbol in world.tape.last]
    as_of, session = world.bar_end, world.times.session
    name = f"scan-{as_of.isoformat()}"
    setups = []
    for rank, symbol in enumerate(symbols[:3], start=1):
        last = float(world.tape.last[symbol].price)
        level = last * (1 - STOPS[(stop + rank) % 3])
        setups.append(
            a_setup(
                setup_id=f"{name}-{symbol}", snapshot_id=name, symbol=symbol, session=session, as_of=as_of, rank=rank,
                entry=last, stop=level, lower_band=level, lowest_low=last, atr=last * 0.005, atr_mean=last * 0.005,
                target=last + TARGETS[(target + rank) % 3] * (last - level),
            )
        )  # fmt: skip
    snapshot = ScanSnapshot(
        snapshot_id=name, session=session, as_of=as_of, code_version="1", config_hash="c", input_hash="i",
        scored=len(setups), selected=len(setups), created_at=as_of,
    )  # fmt: skip
    with world.ledger.transaction() as tx:
        if not setups or tx.snapshot_by_id(name) is not None:
            return None
        tx.add_snapshot(snapshot, setups)
    return snapshot


@act(30, 15, 2, 2, 1, allowed=lambda world: is_trading(world) and 1 < world.done < BARS - 4)
def watchlist(world: World, chosen: int, stop: int, target: int, at_once: int) -> None:
    """A watchlist of up to three symbols; at once: decided and sent now, else with the loop's next step."""
    snapshot = _watchlist(world, chosen, stop, target)
    if snapshot is None or not at_once:
        return

    def decide(record: SessionRecord) -> None:
        desk = world.loop.desk
        world.loop.cycle.look(record)
        decide_on_snapshot(desk, snapshot, world.times, world.tape.quotes(world.times, world.clock.now(), SYMBOLS))
        world.loop.cycle.dispatch(record)

    world.run(decide)


@act(3, 3)
def close_position(world: World, number: int) -> None:
    """A person wants a position closed."""
    with world.ledger.transaction() as tx:
        held = tx.positions(ACCOUNT)
        if held:
            care.request_exit(
                tx, Days(), held[number % len(held)], reason=ExitReason.MANUAL, operator="ann", text="enough",  # type: ignore[arg-type]
                now=world.clock.now(),
            )  # fmt: skip
            world.what["asked to close"] += 1


@act(2, 2)
def operate(world: World, number: int) -> None:
    """A person halts, reduces or resumes."""
    state = list(TradingState)[number]
    set_trading_state(
        world.ledger, ACCOUNT, state, reason="so", operator="ann", at=world.clock.now()
    )  # fmt: skip
    world.what[f"operator: {state}"] += 1


@act(5)
def resume(world: World) -> None:
    """A person lets everything go on: trading, and symbols that were entered too often."""
    operate(world, 0)
    with world.ledger.read() as tx:
        latched = {one.symbol for one in tx.blocks(ACCOUNT) if one.kind is BlockKind.REPEATED_EXECUTION}
        others = [one for one in tx.blocks(ACCOUNT) if one.kind is BlockKind.UNANNOUNCED_SPLIT]
    for symbol in sorted(latched):
        rearm(replace(world.loop.desk, ledger=world.ledger), symbol, world.times.session, reason="so", operator="ann")
    with world.ledger.transaction() as tx:
        for one in others:
            tx.clear_block(one.block_id, world.clock.now(), "ann")


# what goes wrong

Fails = tuple[tuple[Fault, str], ...]
FAULTS: tuple[Fails, ...] = (
    ((Fault.DROP_REPLY, "submit"),), ((Fault.DROP_REQUEST, "submit"),), ((Fault.HTTP_504, "*"),),
    ((Fault.HTTP_500, "*"),), ((Fault.HTTP_429, "*"),), ((Fault.REJECT, "submit"),), ((Fault.DROP_REPLY, "cancel"),),
    ((Fault.DROP_REPLY, "replace"),), ((Fault.DROP_REQUEST, "replace"),), ((Fault.REJECT, "replace"),),
    ((Fault.REJECT, "cancel"),), ((Fault.DUPLICATE, "execution_reports"),), ((Fault.REORDER, "execution_reports"),),
    ((Fault.STALL, "execution_reports"),), ((Fault.DROP_REQUEST, "order"),), ((Fault.DROP_REQUEST, "positions"),),
    ((Fault.DROP_REQUEST, "open_orders"),), ((Fault.DROP_REPLY, "submit"), (Fault.STALL, "execution_reports")),
    ((Fault.DROP_REPLY, "submit"), (Fault.STALL, "execution_reports"), (Fault.DROP_REQUEST, "order")),
    ((Fault.DROP_REQUEST, "submit"), (Fault.STALL, "execution_reports")),
)  # fmt: skip


@act(14, len(FAULTS) - 1, 3, 3)
def fault(world: World, kind: int, nth: int, times: int) -> None:
    """From the nth next such call on, so many go wrong; what stalls does so for longer, from at once."""
    rules: list[FaultRule] = []
    for what, op in FAULTS[kind]:
        first, count = (1, times + 8) if rules else (nth + 1, times + 1)
        rules.append(FaultRule(fault=what, op=op, nth=first, times=count))
        world.what[f"fault: {what} {op}"] += 1
    world.faults.load(FaultScript(rules=tuple(rules), seed=kind))


@act(8, 4, 1)
def blackout(world: World, stalled: int, lookups: int) -> None:
    """The next order's answer is lost, and for a while nothing tells what became of it."""
    rules = [
        FaultRule(fault=Fault.DROP_REPLY, op="submit"),
        FaultRule(fault=Fault.STALL, op="execution_reports", times=6 + 3 * stalled),
    ]
    if lookups:
        rules.append(FaultRule(fault=Fault.DROP_REQUEST, op="order", times=stalled + 1))
    world.faults.load(FaultScript(rules=tuple(rules)))
    world.what["blackouts"] += 1


@act(6)
def calm(world: World) -> None:
    """Nothing goes wrong any more."""
    world.faults.load(FaultScript())
    world.socket.held_back = frozenset()


@act(3, 3)
def late(world: World, count: int) -> None:
    """The venue's newest reports come later than others."""
    world.socket.held_back = frozenset(one.exec_id for one in world.venue._state.reports[-1 - count :])
    world.what["reports came late"] += 1


@act(8, 24)
def crash(world: World, distance: int) -> None:
    """The process dies soon: at one of its next commits or acts at the venue."""
    world.fuse.burns_at = world.fuse.touched + 1 + distance


@act(2)
def restart(world: World) -> None:
    """A new process."""
    world.boot()
    world.what["restarted"] += 1


# behind our back


@act(2, 3, 1, 2, 1)
def outsider_trades(world: World, symbol: int, side: int, size: int, patient: int) -> None:
    """Somebody orders at the venue."""
    which = Side.SELL if side else Side.BUY
    if venue_acts.trade(world, SYMBOLS[symbol], which, (10, 60, 100)[size], patient=bool(patient)):
        world.what["outsider traded"] += 1


@act(2, 5)
def outsider_cancels(world: World, number: int) -> None:
    """Somebody cancels an order of ours."""
    world.what["outsider canceled"] += venue_acts.cancel(world, number)


@act(1, 7)
def bust(world: World, number: int) -> None:
    """The venue takes an execution back."""
    world.what["busted"] += venue_acts.bust(world, number)


@act(1, 7, 6)
def correct(world: World, number: int, cents: int) -> None:
    """The venue corrects an execution's price."""
    world.what["corrected"] += venue_acts.correct(world, number, cents - 3)


# days


def _close(world: World, record: SessionRecord) -> None:
    if world.stepped < world.done:
        _step(world, record)
    world.loop._close(world.record or record)


@act(40, allowed=lambda world: world.is_over and not world.is_closed)
def close_session(world: World) -> None:
    """The venue closes, and the loop closes the session."""
    world.clock.sleep_until(world.times.closes_at)
    world.run(lambda record: _step(world, record) if world.stepped < world.done else None)
    world.venue.on_session_close(world.times)
    world.run(lambda record: _close(world, record))


@act(100, 3, allowed=lambda world: world.is_closed)
def next_session(world: World, dividend: int) -> None:
    """A night passes; one symbol may pay a dividend."""
    if dividend:
        tomorrow = Days().next(world.times.session)
        world.tape.dividends[tomorrow] = {SYMBOLS[dividend]: Decimal("0.25")}
    world.next_session()
