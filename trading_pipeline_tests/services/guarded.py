"""A held position and the rounds of care it gets: what tests of exits and of protection are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import Side
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.protection import Cover, cover_of
from trading_pipeline.services import care
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, a_bar, minute, quote


def holding(scene: Scene, bars: Iterable[MarketBar] | None = None) -> Scene:
    """200 XYZ bought at 50.00 in the bar that ended at minute 20, legs working: R is 2.00."""
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    dispatch_due(desk)
    scene.venue.on_bars(list(bars or [a_bar(20, "50.00", low="49.90")]), minute(20))
    sync(scene)
    return scene


def sync(scene: Scene) -> None:
    sync_orders(scene.desk(at=119), TIMES.session, OPENS)


def position_of(scene: Scene) -> Position | None:
    with scene.ledger.read() as tx:
        return next(iter(tx.positions("A")), None)


def cover(scene: Scene) -> Cover:
    """What the record says of XYZ's shares and the orders that may sell them."""
    held = position_of(scene)
    with scene.ledger.read() as tx:
        return cover_of(held.quantity if held else ZERO, tx.open_orders("A"))


@dataclass
class Faults:
    """What goes wrong with the nth change asked of the venue: refused, request lost, reply lost; then nothing."""

    script: list[str] = field(default_factory=list)
    before: Callable[[], None] | None = None
    """Happens once, right before the first change reaches the venue: a fill that wins the race."""
    only: str = ""

    def around(self, name: str, call: Callable[[], object]) -> object:
        if self.before is not None and self.only in {"", name}:
            happens, self.before = self.before, None
            happens()
        fault = self.script.pop(0) if self.script and self.only in {"", name} else ""
        if fault == "refused":
            raise OrderRefused("the venue says no")
        if fault == "request":
            raise OutcomeUnknown("the connection broke while sending")
        answer = call()
        if fault == "reply":
            raise OutcomeUnknown("no answer within 10 s")
        return answer


def desk_with(scene: Scene, at: int, faults: Faults | None = None, **parts: Any) -> Desk:
    desk = scene.desk(at=at, **parts)
    return desk if faults is None else replace(desk, broker=Wrapped(desk.broker, faults.around))


def a_round(
    scene: Scene, at: int, price: object = "50.00", *, reason: ExitReason | None = None, faults: Faults | None = None
) -> None:
    """One step of the loop's care at a minute and a price; `reason`: an exit somebody wants."""
    desk, quotes = desk_with(scene, at, faults), quote(price, at)
    sync(scene)
    care.mark_positions(desk, quotes)
    held = position_of(scene)
    if reason is not None and held is not None:
        care.start_exit(desk, TIMES, held, quotes["XYZ"], reason)
        sync(scene)
    if care.exit_due(desk, TIMES, quotes):
        sync(scene)
        care.exit_due(desk, TIMES, quotes)
    care.guard_protection(desk, TIMES)
    dispatch_due(desk)
    sync(scene)
    if care.guard_protection(desk, TIMES):
        dispatch_due(desk)
        sync(scene)


def trades_at(scene: Scene, ends: int, price: object, **changes: Any) -> None:
    """A bar of XYZ ends at the minute."""
    scene.venue.on_bars([a_bar(ends, price, **changes)], minute(ends))


def require_never_oversold(scene: Scene) -> None:
    """Neither the venue nor the record ever sells more than was bought, nor could."""
    sold = sum(fill.quantity * (1 if fill.side is Side.BUY else -1) for fill in scene.fills())
    at_venue = sum(position.quantity for position in scene.venue.positions())
    now = cover(scene)
    assert sold >= 0
    assert at_venue >= 0
    assert now.on_sale <= now.held, now
