"""Random days through the TWS door, with faults: in the end both sides agree, share for share."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.ib import LinkState
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.executions import executions, in_order
from trading_pipeline.domain.orders import ExecType, ExecutionReport
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import FaultRule, FaultScript
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.ib_worlds import HASTY, IbWorld, until
from trading_pipeline_tests.contract_tests.broker import LONG_AGO
from trading_pipeline_tests.venue.builders import a_bracket
from trading_pipeline_tests.venue.tws.doors import a_tws_door

FAULTS = (
    FaultRule(fault="drop_reply", op="orders.submit", times=0, probability=0.08),
    FaultRule(fault="drop_request", op="orders.*", times=0, probability=0.04),
    FaultRule(fault="cancel_hint", op="orders.submit", times=0, probability=0.2),
    FaultRule(fault="http_504", op="orders.submit", times=0, probability=0.05),
    FaultRule(fault="duplicate", op="stream", times=0, probability=0.2),
    FaultRule(fault="reorder", op="stream", times=0, probability=0.2),
    FaultRule(fault="omit", op="stream", times=0, probability=0.2),
    FaultRule(fault="close", op="stream", times=0, probability=0.05),
)  # fmt: skip


class Day:
    """What a trader and bad luck do, by a seed."""

    def __init__(self, world: IbWorld, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.sent: list[str] = []
        self.told: dict[str, ExecutionReport] = {}

    def step(self) -> None:
        acts = (self.enter, self.enter, self.trade, self.trade, self.trade, self.move, self.cancel, self.again)
        act = self.random.choice((*acts, self.look, self.look, self.misfortune))
        with suppress(OrderRefused, OutcomeUnknown):
            act()

    def enter(self) -> None:
        name = f"n{len(self.sent)}"
        self.sent.append(name)
        self.world.broker.submit(a_bracket(name, quantity=10))

    def again(self) -> None:
        """What a lost answer leads to."""
        if self.sent:
            self.world.broker.submit(a_bracket(self.random.choice(self.sent), quantity=10))

    def trade(self) -> None:
        self.world.trade(self.random.choice((94, 97, 99, 101, 111)))

    def move(self) -> None:
        if self.sent:
            leg = f"{self.random.choice(self.sent)}-s"
            self.world.broker.replace(leg, stop_price=Decimal(self.random.choice((93, 95, 96))))

    def cancel(self) -> None:
        if self.sent:
            self.world.broker.cancel(f"{self.random.choice(self.sent)}-{self.random.choice('est')}")

    def look(self) -> None:
        """What was told once is told in the same words ever after."""
        for report in self.world.broker.execution_reports(LONG_AGO):
            assert self.told.setdefault(report.exec_id, report) == report

    def misfortune(self) -> None:
        match self.random.randrange(4):
            case 0:
                self.world.doors.act("reset")
            case 1:
                self.world.doors.act("lose_servers")
                self.trade()
                self.world.doors.act("find_servers", with_data=self.random.random() < 0.5)
            case 2:
                self.world.restart()
            case _:
                self.world.doors.act("roll_back", client_id=11, count=self.random.randrange(1, 9))


SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(4, 200))]


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_day_of_faults_both_sides_agree(tmp_path: Path, seed: int) -> None:
    venue = SimulatedVenue(None, VenueRules(initial_cash_usd=Decimal(1_000_000)))
    with a_tws_door(venue) as doors:
        world = IbWorld(doors, venue, tmp_path, HASTY)
        world.check_account()
        day = Day(world, seed)
        world.market.play_faults(FaultScript(rules=FAULTS, seed=seed))
        for _ in range(40):
            day.step()
        world.play()
        until(lambda: world.broker.health().state is LinkState.READY, 20)
        day.look()

        assert traded(list(day.told.values())) == traded(list(venue.reports))
        entries = Counter(r.client_order_id for r in venue.reports if r.exec_type is ExecType.NEW)
        assert max(entries.values(), default=1) == 1, "an order was sent twice"
        assert not [name for name in entries if "~" in name], "an order was sent twice"
        assert [(p.symbol, p.quantity) for p in world.broker.positions()] == [
            (p.symbol, p.quantity) for p in venue.positions()
        ]
        ours = {(o.client_order_id, o.quantity, o.stop_price, o.cum_qty) for o in world.broker.open_orders()}
        assert ours == {(o.client_order_id, o.quantity, o.stop_price, o.cum_qty) for o in venue.open_orders()}
        world.broker.close()


def traded(reports: list[ExecutionReport]) -> Counter[tuple[str, Decimal, Decimal, Decimal]]:
    """Every execution that holds: order, shares, price, commission."""
    by_order: dict[str, list[ExecutionReport]] = {}
    for report in reports:
        by_order.setdefault(report.client_order_id, []).append(report)
    return Counter(
        (name, held.last_qty, held.last_px, held.commission)
        for name, said in by_order.items()
        for held in executions(in_order(said)).values()
    )
