"""IbBroker keeps the contract, through ib_insync or ib_async, whichever is installed, and a TWS door."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from trading_pipeline.domain.orders import TimeInForce
from trading_pipeline_tests.adapters.rehearsed_worlds import at_tws
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, World
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed
from trading_pipeline_tests.contract_tests.whole import WholeContract
from trading_pipeline_tests.venue.builders import a_bracket


class TestTws(WholeContract):
    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return at_tws(folder, timeout_seconds)

    def test_a_dividend_is_a_cash_activity_and_in_the_cash(self, world: World) -> None:
        """Stated difference: TWS tells no cash activities; the dividend is in the cash, and found there."""
        world.broker.submit(a_bracket(legs=TimeInForce.GTC))
        world.trade(99)
        world.close_session()
        before = world.broker.account().cash_usd

        world.pay_dividend("0.25")

        assert world.broker.account().cash_usd == before + 25
        assert list(world.broker.cash_activities(LONG_AGO)) == []
