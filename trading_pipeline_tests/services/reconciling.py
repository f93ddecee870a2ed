"""A scene that agrees with its venue, ways to make it differ, and passes ten seconds apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.control import BlockKind
from trading_pipeline.domain.fold import apply_fill
from trading_pipeline.domain.orders import ExecType, Leg, OrderRequest, OrderType, OrdStatus, Side
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline.services.reconcile import reconcile
from trading_pipeline.venue.state import Holding
from trading_pipeline_tests.builders import a_fill, a_report, an_order, dec
from trading_pipeline_tests.services.scripted import COSTLY, TIMES, Scene, Stage, a_bar, minute

DAY = TIMES.session


def a_scene(stage: Stage) -> Scene:
    """Account A holds 100 XYZ with a stop at 48, has a working entry in ABC, and agrees with its venue."""
    scene = stage.unknown_regime(venue=COSTLY)
    desk = scene.desk(at=15)
    scene.start(desk)
    scene.venue.on_bars([a_bar(15, 50), a_bar(15, 20, symbol="ABC"), a_bar(15, 30, symbol="EXT")], minute(15))
    send(scene, desk, "buy-xyz", "XYZ", Side.BUY, 100, Leg.ENTRY)
    send(scene, desk, "buy-abc", "ABC", Side.BUY, 10, Leg.ENTRY, limit=dec(10))
    scene.venue.on_bars([a_bar(20, 50)], minute(20))
    sync_orders(desk, DAY, TIMES.opens_at)
    send(scene, scene.desk(at=20), "stop-xyz", "XYZ", Side.SELL, 100, Leg.STOP, stop=dec(48))
    sync_orders(desk, DAY, TIMES.opens_at)
    with scene.ledger.transaction() as tx:
        (held,) = tx.positions("A")
        tx.save_position(replace(held, stop=dec(48), initial_stop=dec(48)))
    return scene


def send(
    scene: Scene, desk: Desk, name: str, symbol: str, side: Side, quantity: int, leg: Leg,
    *, limit: Decimal | None = None, stop: Decimal | None = None,
) -> None:  # fmt: skip
    """Put an order on record and at the venue."""
    kind = OrderType.LIMIT if limit else OrderType.STOP if stop else OrderType.MARKET
    order = an_order(
        client_order_id=name, intent_id=None, symbol=symbol, side=side, order_type=kind, quantity=quantity, leg=leg,
        limit_price=limit,
        stop_price=stop, status=OrdStatus.PENDING_NEW, created_at=desk.clock.now(), updated_at=desk.clock.now(),
    )  # fmt: skip
    with scene.ledger.transaction() as tx:
        tx.add_order(order)
    desk.broker.submit(request(name, symbol, side, quantity, limit=limit, stop=stop))


def request(
    name: str, symbol: str, side: Side, quantity: int, *, limit: Decimal | None = None, stop: Decimal | None = None
) -> OrderRequest:
    kind = OrderType.LIMIT if limit else OrderType.STOP if stop else OrderType.MARKET
    return OrderRequest(
        client_order_id=name, symbol=symbol, side=side, order_type=kind, quantity=dec(quantity),
        leg=Leg.ENTRY if side is Side.BUY else Leg.STOP, limit_price=limit, stop_price=stop,
    )  # fmt: skip


class Passes:
    """Makes passes ten seconds apart."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.now = scene, minute(20)

    def __call__(self, seconds: int = 10) -> Reconciliation:
        self.now += timedelta(seconds=seconds)
        passed = reconcile(self.desk(), DAY)
        assert passed is not None
        return passed

    def desk(self) -> Desk:
        desk = self.scene.desk()
        desk.clock.sleep_until(self.now)
        return desk

    def blocks(self) -> list[tuple[str, BlockKind]]:
        with self.scene.ledger.read() as tx:
            return [(block.symbol, block.kind) for block in tx.blocks("A")]


def kinds(passed: Reconciliation) -> list[str]:
    return [one.kind.value for one in passed.breaks]


# what may differ, made at the venue or on the record


def amend(scene: Scene, name: str, **changes: object) -> None:
    """The venue's own book says something else about an order, and reports nothing."""
    state = scene.venue._state
    ticket = replace(state.tickets[name], **changes)  # type: ignore[arg-type]
    state.tickets[name] = ticket
    (state.working.add if ticket.is_open else state.working.discard)(name)


def holding(scene: Scene, symbol: str, quantity: int, cost: object) -> None:
    scene.venue._state.holdings[symbol] = Holding(symbol, dec(quantity), dec(cost))


def forget(scene: Scene) -> None:
    scene.venue._state.tickets.pop("buy-abc")
    scene.venue._state.working.discard("buy-abc")


def stage_again(scene: Scene) -> None:
    """The venue finds the order it had lost."""
    scene.venue.submit(request("buy-abc", "ABC", Side.BUY, 10, limit=dec(10)), minute(20))


def fill_unreported(scene: Scene) -> None:
    amend(scene, "buy-abc", cum_qty=dec(4), status=OrdStatus.PARTIALLY_FILLED)
    holding(scene, "ABC", 4, 40)
    scene.venue._state.cash_usd -= 40


def unfill(scene: Scene) -> None:
    amend(scene, "buy-abc", cum_qty=dec(0), status=OrdStatus.NEW)
    holding(scene, "ABC", 0, 0)
    scene.venue._state.cash_usd += 40


def book_what_never_was(scene: Scene) -> None:
    with scene.ledger.transaction() as tx:
        order = tx.order("buy-abc")
        assert order is not None
        tx.save_order(replace(order, cum_qty=dec(4), status=OrdStatus.PARTIALLY_FILLED))
        fill = a_fill(
            quantity=4, price=10, exec_id="odd", client_order_id="buy-abc", symbol="ABC", executed_at=minute(20)
        )
        tx.add_fill(fill)
        tx.save_position(apply_fill(None, fill))


def really_fill(scene: Scene) -> None:
    """The venue comes round: it had filled them after all."""
    fill_unreported(scene)
    state = scene.venue._state
    state.reports.append(
        a_report(
            ExecType.TRADE, exec_id="odd", client_order_id="buy-abc", last_qty=4, last_px=10, occurred_at=minute(20)
        )
    )


def spend(scene: Scene) -> None:
    scene.venue._state.cash_usd -= 500


def refund(scene: Scene) -> None:
    scene.venue._state.cash_usd += 500


def cancel_stop(scene: Scene) -> None:
    scene.venue.cancel("stop-xyz", minute(20))


def new_stop(scene: Scene) -> None:
    send(scene, scene.desk(at=20), "stop-again", "XYZ", Side.SELL, 100, Leg.STOP, stop=dec(48))


def resize(scene: Scene, quantity: int) -> None:
    scene.venue.replace("stop-xyz", minute(20), None, None, dec(quantity))
