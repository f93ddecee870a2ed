"""Every order leads back to its bars, its setup and its code, and forward to its trade."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.orders import Leg, Order
from trading_pipeline.services.explain import explain
from trading_pipeline.wiring import Workspace
from trading_pipeline_tests.services.traded_market import TradedMarket


def orders_of(market: TradedMarket, session: date) -> list[Order]:
    with market.workspace.ledger.read() as tx:
        return list(tx.orders(market.account, session))


def filled_entry(market: TradedMarket) -> Order:
    return next(o for s in market.sessions for o in orders_of(market, s) if o.leg is Leg.ENTRY and o.cum_qty > 0)


def test_a_fill_leads_back_to_the_bars_and_forward_to_the_trade(market: TradedMarket) -> None:
    entry = filled_entry(market)

    found = explain(market.workspace.research, entry.client_order_id)

    with market.workspace.ledger.read() as tx:
        assert found.trade == tx.trade(entry.client_order_id)
    assert sum(fill.quantity for fill in found.fills) == entry.cum_qty
    assert sum((fill.quantity for fill in found.exits), Decimal(0)) == entry.cum_qty
    assert found.intent.intent_id == entry.intent_id
    assert found.decision.plan_id == found.plan.plan_id == found.intent.plan_id
    assert found.setup.setup_id == found.plan.setup_id
    assert found.snapshot.snapshot_id == found.setup.snapshot_id
    assert found.regime is not None
    assert found.regime.as_of <= found.setup.as_of
    assert found.reports[0].exec_type.value == "New"


def test_the_bars_it_was_decided_on_end_at_the_snapshot(market: TradedMarket) -> None:
    home, entry = market.workspace, filled_entry(market)

    found = explain(home.research, entry.client_order_id)

    decided, setup = found.decided_on, found.setup
    days = [day for day in home.bars.sessions(Timeframe.MIN5) if day <= setup.session]
    days = days[-home.settings.history.trigger_sessions :]
    bars = home.bars.view(Timeframe.MIN15, days, as_of=setup.session, symbols=[setup.symbol])
    known = bars[bars["end"] <= setup.as_of]
    starts = [instant.value for instant in pd.DatetimeIndex(known["start"])]
    columns = [starts, *(known[name].tolist() for name in ("open", "high", "low", "close", "volume"))]
    packed = b"".join(struct.pack("=6d", *map(float, row)) for row in zip(*columns, strict=True))
    content = "|".join(known["symbol"]).encode() + packed
    assert (decided.bars, decided.last_end) == (len(known), setup.as_of)
    assert decided.sha256 == hashlib.sha256(content).hexdigest()
    assert decided.inputs == "unchanged"


def test_every_leg_leads_to_the_same_decision(market: TradedMarket) -> None:
    entry = filled_entry(market)
    legs = [o for o in orders_of(market, entry.session) if o.intent_id == entry.intent_id]

    found = [explain(market.workspace.research, leg.client_order_id) for leg in legs]

    assert {leg.leg for leg in legs} >= {Leg.ENTRY, Leg.STOP, Leg.TARGET}
    assert len({(each.decision.decision_id, each.trade, each.decided_on.sha256) for each in found}) == 1
    assert [each.order for each in found] == legs


def test_the_sections_go_from_the_fill_to_the_bars_and_the_outcome(market: TradedMarket) -> None:
    found = explain(market.workspace.research, filled_entry(market).client_order_id)

    titles = list(dict.fromkeys(section.title for section in found.sections))
    back = ["Fill", "Order", "Intent", "Risk decision", "Plan", "Setup", "Snapshot", "Regime", "Bars"]
    assert titles == [*back, "Reports", "Exits", "Trade"]
    lines = {section.title: dict(section.lines) for section in found.sections}
    assert lines["Snapshot"]["input_hash"] == found.snapshot.input_hash
    assert lines["Snapshot"]["code_version"] == market.workspace.provenance.code_version
    assert lines["Snapshot"]["config_hash"] == market.workspace.settings.digest()
    assert lines["Setup"]["setup_strength"]


def test_an_explanation_is_plain_json_with_its_origin(market: TradedMarket) -> None:
    found = explain(market.workspace.research, filled_entry(market).client_order_id)

    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))

    assert plain["origin"]["config_hash"] == market.workspace.settings.digest()
    assert plain["order"]["client_order_id"] == found.order.client_order_id


def test_a_correction_of_a_bar_it_knew_shows_as_a_change(market: TradedMarket, tmp_path: Path) -> None:
    entry, home = filled_entry(market), tmp_path / "home"
    shutil.copytree(market.workspace.home, home)
    copy = Workspace(home, market.workspace.settings, clock=market.workspace.clock)
    bars = copy.bars.read(Timeframe.MIN5, [entry.session], symbols=[entry.symbol]).head(1)
    corrected = bars.assign(close=bars["close"] * 0.999, low=bars[["low", "close"]].min(axis=1) * 0.99)
    before = explain(copy.research, entry.client_order_id).decided_on

    copy.bars.write(corrected, Timeframe.MIN5, known_at=copy.clock.now())
    after = explain(copy.research, entry.client_order_id).decided_on

    assert (before.inputs, after.inputs) == ("unchanged", "changed since")
    assert after.sha256 != before.sha256


def test_an_unknown_id_names_the_nearest_known_ones(market: TradedMarket) -> None:
    entry = filled_entry(market)

    with pytest.raises(MissingResultError, match=entry.client_order_id):
        explain(market.workspace.research, entry.client_order_id[:-2])


def test_the_inputs_may_be_left_unchecked(market: TradedMarket) -> None:
    found = explain(market.workspace.research, filled_entry(market).client_order_id, reproduce_inputs=False)

    assert found.decided_on.inputs == "not checked"
    assert found.decided_on.bars > 0
