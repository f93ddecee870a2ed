"""Deciding on a watchlist: all or nothing, once, and never beyond what the book allows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.adapters.ledger_transaction import SqlTransaction
from trading_pipeline.domain.orders import Leg, OrderType, OrdStatus
from trading_pipeline.domain.risk import Code, Verdict
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import Decided, decide_on_snapshot
from trading_pipeline_tests.fakes import Crashed
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage, flat_bars, minute, quote


def quotes_of(*symbols: str, price: object = "50.00", at: int = 15) -> dict[str, Any]:
    return {name: each for symbol in symbols for name, each in quote(price, at, symbol).items()}


def decide(scene: Scene, *symbols: str, at: int = 15, **changes: Any) -> Decided:
    """Decide on a new watchlist with fresh quotes at 50.00."""
    desk = scene.desk(at=at)
    snapshot = scene.watchlist(*symbols, at=at, **changes)
    return decide_on_snapshot(desk, snapshot, TIMES, quotes_of(*symbols, at=at))


def started(stage: Stage, **settings: Any) -> Scene:
    scene = stage.scene(**settings)
    scene.start(scene.desk())
    return scene


def denials(scene: Scene) -> dict[str, set[Code]]:
    """Symbol → codes of its denials."""
    with scene.ledger.read() as tx:
        symbols = {plan.plan_id: plan.symbol for plan in tx.plans("A", TIMES.session)}
        return {
            symbols[decision.plan_id]: {f.code for f in decision.findings if f.verdict is Verdict.DENIAL}
            for decision in tx.decisions("A", TIMES.session)
        }


def test_an_approved_setup_leaves_plan_decision_intent_and_a_whole_bracket(stage: Stage) -> None:
    scene = started(stage)

    assert decide(scene, "XYZ") == Decided(planned=1, approved=1)

    entry, stop, target = (scene.order(leg) for leg in (Leg.ENTRY, Leg.STOP, Leg.TARGET))
    assert (entry.limit_price, stop.stop_price, target.limit_price) == (Decimal(50), Decimal(48), Decimal(56))
    assert {entry.quantity, stop.quantity, target.quantity} == {Decimal(200)}
    assert stop.parent_id == target.parent_id == entry.client_order_id
    assert entry.expires_at == minute(30)
    assert {order.status for order in scene.orders()} == {OrdStatus.PENDING_NEW}


def test_deciding_twice_changes_nothing(stage: Stage) -> None:
    scene = started(stage)
    snapshot = scene.watchlist("XYZ", "ABC")
    desk = scene.desk(at=15)
    decide_on_snapshot(desk, snapshot, TIMES, quotes_of("XYZ", "ABC"))
    with scene.ledger.read() as tx:
        before = tx.row_counts()

    again = decide_on_snapshot(scene.desk(at=20), snapshot, TIMES, quotes_of("XYZ", "ABC", price="49.00", at=20))

    assert again == Decided(skipped=2)
    with scene.ledger.read() as tx:
        assert tx.row_counts() == before


def test_an_instant_recorded_again_under_a_new_id_is_not_decided_twice(stage: Stage) -> None:
    # given one setup planned and one refused, and the same instant recorded again
    scene = started(stage)
    first = scene.watchlist("XYZ", "ABC")
    refused = scene.watchlist("DEF", at=20, target=49.0)
    again = scene.watchlist("XYZ", "ABC", "NEW", made_under="again")
    refused_again = scene.watchlist("DEF", at=20, made_under="again")

    quotes = quotes_of("XYZ", "ABC", "DEF", "NEW", at=20)
    decided = [decide_on_snapshot(scene.desk(at=20), s, TIMES, quotes) for s in (first, refused, again, refused_again)]

    # then nothing of it is decided again, so that each instant has one watchlist it was decided on
    assert decided == [Decided(planned=2, approved=2), Decided(refused=1), Decided(skipped=3), Decided(skipped=1)]


def test_a_refused_plan_is_an_event_with_its_code_and_is_not_tried_again(stage: Stage) -> None:
    scene = started(stage)
    snapshot = scene.watchlist("XYZ", target=49.0)

    first = decide_on_snapshot(scene.desk(at=15), snapshot, TIMES, quotes_of("XYZ"))
    later = decide_on_snapshot(scene.desk(at=20), snapshot, TIMES, quotes_of("XYZ", at=20))

    assert (first, later) == (Decided(refused=1), Decided(skipped=1))
    with scene.ledger.read() as tx:
        (event,) = tx.risk_events("A", TIMES.session)
    assert (event.kind, event.data["code"]) == ("plan_refused", Code.TARGET_NOT_ABOVE_ENTRY.value)


def test_rows_of_a_snapshot_commit_together_or_not_at_all(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = started(stage)
    snapshot = scene.watchlist("XYZ", "ABC", "DEF")
    add_all = SqlTransaction.add_all
    with scene.ledger.read() as tx:
        before = tx.row_counts()

    def breaking(self: SqlTransaction, records: Any) -> None:
        add_all(self, records[:-5])
        raise Crashed

    with monkeypatch.context() as patch:
        patch.setattr(SqlTransaction, "add_all", breaking)
        with pytest.raises(Crashed):
            decide_on_snapshot(scene.desk(at=15), snapshot, TIMES, quotes_of("XYZ", "ABC", "DEF"))

    with scene.ledger.read() as tx:
        assert tx.row_counts() == before
    assert decide_on_snapshot(scene.desk(at=15), snapshot, TIMES, quotes_of("XYZ", "ABC", "DEF")).approved == 3


def test_e14_parallel_signals_do_not_exceed_the_open_risk_together(stage: Stage) -> None:
    # each alone risks 400 of 100,000 USD; 0.9 % of open risk has room for two
    scene = started(
        stage, risk={"max_open_risk_fraction": "0.009", "max_trade_risk_fraction": "0.009", "min_shares": 200}
    )

    decided = decide(scene, "AAA", "BBB", "CCC", "DDD")

    assert decided.approved == 2
    with scene.ledger.read() as tx:
        reserved = sum(intent.reserved_risk_usd for intent in tx.intents("A", TIMES.session))
    assert reserved == 800 <= Decimal("0.009") * 100_000


def test_e14_parallel_signals_do_not_exceed_the_positions(stage: Stage) -> None:
    scene = started(stage, risk={"max_open_positions": 2})

    assert decide(scene, "AAA", "BBB", "CCC", "DDD").approved == 2
    assert Code.POSITION_COUNT in denials(scene)["CCC"] & denials(scene)["DDD"]


def test_e14_working_entries_of_an_earlier_snapshot_count_as_if_filled(stage: Stage) -> None:
    scene = started(stage, risk={"max_open_positions": 2})
    decide(scene, "AAA", "BBB")
    dispatch_due(scene.desk(at=15))

    assert decide(scene, "CCC", at=20).approved == 0
    assert Code.POSITION_COUNT in denials(scene)["CCC"]


def test_parallel_signals_do_not_exceed_the_orders_of_one_execution(stage: Stage) -> None:
    scene = started(stage, risk={"max_orders_per_execution": 3})

    assert decide(scene, "AAA", "BBB", "CCC", "DDD", "EEE").approved == 3


def test_e15_a_symbol_with_a_working_entry_gets_no_second_one(stage: Stage) -> None:
    scene = started(stage)
    decide(scene, "XYZ")
    dispatch_due(scene.desk(at=15))

    assert decide(scene, "XYZ", at=20).approved == 0
    assert len(scene.orders(Leg.ENTRY)) == 1


@pytest.mark.parametrize(("as_of", "approved"), [(30, 1), (35, 0), (60, 0)])
def test_a_regime_that_was_not_scored_again_is_unknown(stage: Stage, as_of: int, approved: int) -> None:
    # given the pre-market regime alone: it serves until 30 minutes after the open, when the next one is due
    scene = stage.unknown_regime()
    scene.regime(at=-150)
    scene.start(scene.desk())

    assert decide(scene, "XYZ", at=as_of).approved == approved


@pytest.mark.parametrize(("as_of", "approved"), [(65, 1), (66, 0)])
def test_a_regime_older_than_35_minutes_is_unknown(stage: Stage, as_of: int, approved: int) -> None:
    scene = stage.unknown_regime()
    scene.regime(at=30)
    scene.start(scene.desk())

    assert decide(scene, "XYZ", at=as_of).approved == approved


def test_a_regime_of_another_configuration_is_unknown(stage: Stage) -> None:
    scene = stage.unknown_regime()
    scene.regime(config_hash="what-if")
    scene.start(scene.desk())

    assert decide(scene, "XYZ").approved == 0


@pytest.mark.parametrize("regime", ["hostile", "unknown", "later"])
def test_a_hostile_an_unknown_and_a_later_regime_let_nothing_in(stage: Stage, regime: str) -> None:
    scene = stage.unknown_regime()
    if regime != "unknown":
        scene.regime(at=0 if regime == "hostile" else 20, score=20.0 if regime == "hostile" else 90.0)
    scene.start(scene.desk())

    assert decide(scene, "XYZ").approved == 0
    assert scene.orders() == []
    assert Code.HOSTILE_REGIME in denials(scene)["XYZ"]


def test_a_setup_without_a_quote_is_denied(stage: Stage) -> None:
    scene = started(stage)
    snapshot = scene.watchlist("XYZ")

    assert decide_on_snapshot(scene.desk(at=15), snapshot, TIMES, {}).approved == 0
    assert denials(scene)["XYZ"]


def test_a_working_market_entry_counts_at_its_planned_price(stage: Stage) -> None:
    # given a market entry of 200 shares planned at 50.00
    scene = started(stage, plan={"entry_type": "market"}, risk={"max_total_exposure_fraction": "0.19"})
    decide(scene, "XYZ")
    assert scene.order().order_type is OrderType.MARKET

    # when another is decided while it works, then it is judged on true figures: only 9,000 USD of exposure are left
    decide(scene, "ABC", at=20)

    codes = denials(scene)["ABC"]
    assert Code.NON_FINITE_INPUT not in codes
    with scene.ledger.read() as tx:
        assert [int(intent.quantity) for intent in tx.intents("A", TIMES.session)] == [200, 180]


def test_a_market_entry_fills_in_the_bar_after_its_decision(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars(), *flat_bars(symbol="ABC")], plan={"entry_type": "market"})
    scene.watchlist("XYZ")
    scene.watchlist("ABC", at=30)

    scene.loop().run()

    entries = [fill for fill in scene.fills() if fill.side == "BUY"]
    assert [(fill.symbol, fill.executed_at) for fill in entries] == [("XYZ", minute(20)), ("ABC", minute(35))]
