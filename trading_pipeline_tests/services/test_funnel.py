"""The funnel loses nobody: every symbol ends in exactly one stage, for one reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.orders import OrdStatus, Side
from trading_pipeline.domain.reports import STAGES, Funnel
from trading_pipeline.domain.risk import Code, Finding, Verdict
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.funnel import build_funnel, gaps, screened, session_funnel, traded
from trading_pipeline_tests.builders import AT, SESSION, a_trade
from trading_pipeline_tests.services.recorded import (
    ACCOUNT,
    record_entry,
    record_plan,
    record_session,
    record_setup,
    record_trade,
)
from trading_pipeline_tests.services.traded_market import TradedMarket

SYMBOLS = st.sampled_from(["AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG"])
REACHED = st.dictionaries(st.sampled_from(STAGES), st.dictionaries(SYMBOLS, st.sampled_from(["x", "y"])))


def require_conserved(funnel: Funnel) -> None:
    for stage, following in pairwise((*STAGES, "")):
        ended = sum(candidate.stage == stage for candidate in funnel.candidates)
        assert funnel.counts[stage] == funnel.counts.get(following, 0) + ended
        assert ended == sum(funnel.reasons(stage).values())
    assert len({candidate.symbol for candidate in funnel.candidates}) == len(funnel.candidates)
    assert all(candidate.reason for candidate in funnel.candidates)


@given(REACHED)
def test_counts_conserve_and_every_symbol_ends_once(reached: Mapping[str, Mapping[str, str]]) -> None:
    funnel = build_funnel(SESSION, reached)

    require_conserved(funnel)
    assert list(funnel.counts) == list(STAGES)
    for number, stage in enumerate(STAGES):  # the answer by set arithmetic: whoever got here or further
        assert funnel.counts[stage] == len(set().union(*(reached.get(later, {}) for later in STAGES[number:])))


@given(REACHED)
def test_the_order_in_which_records_are_read_changes_nothing(reached: Mapping[str, Mapping[str, str]]) -> None:
    shuffled = {stage: dict(reversed(list(found.items()))) for stage, found in reversed(list(reached.items()))}

    assert build_funnel(SESSION, shuffled) == build_funnel(SESSION, reached)


def test_a_fill_that_nobody_approved_is_a_gap() -> None:
    approved = {stage: {"A": "x"} for stage in STAGES[: STAGES.index("filled") + 1]}

    assert gaps(approved) == []
    assert gaps({**approved, "filled": {"A": "x", "GHOST": "open"}}) == ["GHOST reached filled but not submitted"]


def test_a_symbol_ends_where_it_came_furthest_with_that_stages_reason() -> None:
    funnel = build_funnel(SESSION, {"universe": {"A": "volume", "B": "volume"}, "scored": {"A": "grade_B"}})

    assert [(c.symbol, c.stage, c.reason) for c in funnel.candidates] == [
        ("A", "scored", "grade_B"),
        ("B", "universe", "volume"),
    ]


AS_OF = [pd.Timestamp("2025-06-10T14:00Z"), pd.Timestamp("2025-06-10T14:30Z")]


def test_the_research_stages_name_the_furthest_gate_and_the_best_grade() -> None:
    universe = pd.DataFrame({"symbol": ["A", "B", "C", "X"], "included": [True, True, True, False]})
    coarse = pd.DataFrame(
        [
            (AS_OF[0], "A", "volume", False),
            (AS_OF[1], "A", "conditions:rsi", False),
            (AS_OF[0], "B", "", True),
            (AS_OF[1], "B", "insufficient_history", False),
            (AS_OF[0], "C", "", True),
        ],
        columns=["as_of", "symbol", "reason", "handed_off"],
    )
    scored = pd.DataFrame(
        [
            (AS_OF[0], "B", True, "", "B", 62.0, False),
            (AS_OF[1], "B", True, "", "C", 70.0, False),
            (AS_OF[0], "C", False, "insufficient_history:1h:12", "", float("nan"), False),
        ],
        columns=["as_of", "symbol", "scored", "reason", "grade", "score", "selected"],
    )

    found = screened(universe, coarse, scored)

    assert found["universe"] == {"A": "volume", "B": "not_screened", "C": "not_screened"}
    assert found["coarse"] == {"B": "not_scored", "C": "insufficient_history:1h:12"}
    assert found["scored"] == {"B": "grade_B"}
    assert found["watchlist"] == {}


def test_a_high_grade_that_found_no_place_is_called_so() -> None:
    scored = pd.DataFrame(
        [(AS_OF[0], "A", True, "", "A+", 80.0, False)],
        columns=["as_of", "symbol", "scored", "reason", "grade", "score", "selected"],
    )
    universe = pd.DataFrame({"symbol": ["A"], "included": [True]})
    coarse = pd.DataFrame([(AS_OF[0], "A", "", True)], columns=["as_of", "symbol", "reason", "handed_off"])

    assert screened(universe, coarse, scored)["scored"] == {"A": "not_in_top"}


@pytest.mark.parametrize(
    ("status", "venue_id", "filled", "stage", "reason"),
    [
        (OrdStatus.PENDING_NEW, None, 0, "approved", "not_sent"),
        (OrdStatus.EXPIRED, None, 0, "approved", "expired"),
        (OrdStatus.REJECTED, None, 0, "approved", "rejected"),
        (OrdStatus.IN_DOUBT, None, 0, "approved", "in_doubt"),
        (OrdStatus.NEW, "V", 0, "submitted", "working"),
        (OrdStatus.CANCELED, "V", 0, "submitted", "canceled"),
        (OrdStatus.REJECTED, "V", 0, "submitted", "rejected"),
        (OrdStatus.CANCELED, "V", 40, "filled", "open"),
        (OrdStatus.FILLED, "V", 100, "filled", "open"),
    ],
)
def test_an_entry_ends_by_what_became_of_it(
    ledger: SqlLedger, status: OrdStatus, venue_id: str | None, filled: int, stage: str, reason: str
) -> None:
    with ledger.transaction() as tx:
        record_session(tx)
        order = record_entry(tx, record_setup(tx, "XYZ"), venue_order_id=venue_id)
        tx.save_order(replace(order, status=status, cum_qty=Decimal(filled)))
        funnel = build_funnel(SESSION, traded(tx, ACCOUNT, SESSION))

    require_conserved(funnel)
    assert [(c.stage, c.reason) for c in funnel.candidates] == [(stage, reason)]


def test_refused_denied_undecided_and_closed_candidates_are_told_apart(ledger: SqlLedger) -> None:
    findings = tuple(
        Finding(verdict, code, "1", "2", "limit")
        for verdict, code in (
            (Verdict.WARNING, Code.STALE_QUOTE),
            (Verdict.DENIAL, Code.SYMBOL_BUSY),
            (Verdict.DENIAL, Code.POSITION_COUNT),
        )
    )
    with ledger.transaction() as tx:
        record_session(tx)
        record_setup(tx, "IDLE")
        refused = record_setup(tx, "NOPLAN")
        data = {"symbol": "NOPLAN", "setup_id": refused.setup_id, "code": "stop_not_below_entry"}
        tx.add_risk_event(
            RiskEvent(
                event_id="e", account=ACCOUNT, session=SESSION, occurred_at=AT, kind="plan_refused",
                severity="INFO", message="no", data=data,
            )
        )  # fmt: skip
        record_plan(tx, record_setup(tx, "DENIED"), approved=False, findings=findings)
        record_trade(tx, "DONE")
        funnel = build_funnel(SESSION, traded(tx, ACCOUNT, SESSION))

    require_conserved(funnel)
    assert {c.symbol: (c.stage, c.reason) for c in funnel.candidates} == {
        "DONE": ("closed", "closed:target"),
        "DENIED": ("planned", "denied:symbol_busy+position_count"),
        "IDLE": ("watchlist", "not_decided"),
        "NOPLAN": ("watchlist", "plan_refused:stop_not_below_entry"),
    }


def test_a_session_that_was_not_run_ends_at_the_watchlist(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        record_setup(tx, "IDLE")
        reached = traded(tx, ACCOUNT, SESSION)

    assert build_funnel(SESSION, reached).reasons("watchlist") == {"session_not_run": 1}


def test_a_traded_session_conserves_and_agrees_with_its_record(market: TradedMarket) -> None:
    home = market.workspace
    for session in market.sessions:
        funnel = session_funnel(home.frames, home.ledger, market.account, session)

        require_conserved(funnel)
        with home.ledger.read() as tx:
            setups = [s for snap in tx.snapshots(session) for s in tx.setups(snap.snapshot_id)]
            bought = {fill.symbol for fill in tx.fills(market.account, session=session) if fill.side is Side.BUY}
            closed = {trade.symbol for trade in tx.trades(market.account, session, session)}
            planned = {plan.symbol for plan in tx.plans(market.account, session)}
        assert funnel.counts["universe"] == int(home.frames.read("universe", session)["included"].sum())
        assert funnel.counts["scored"] == len({setup.symbol for setup in setups})
        assert funnel.counts["watchlist"] == len({setup.symbol for setup in setups if setup.selected})
        assert funnel.counts["planned"] == len(planned)
        assert (funnel.counts["filled"], funnel.counts["closed"]) == (len(bought), len(closed))
        assert funnel == session_funnel(home.frames, home.ledger, market.account, session)


def test_the_small_market_shows_fills_and_ends_of_several_kinds(market: TradedMarket) -> None:
    home = market.workspace
    ends = [c for s in market.sessions for c in session_funnel(home.frames, home.ledger, market.account, s).candidates]

    assert {"closed", "planned", "scored", "submitted"} <= {candidate.stage for candidate in ends}


def test_a_session_without_research_says_what_to_make(market: TradedMarket) -> None:
    home, unknown = market.workspace, market.workspace.calendar.next(market.sessions[-1], 10)

    with pytest.raises(MissingResultError, match="universe"):
        session_funnel(home.frames, home.ledger, market.account, unknown)


def test_a_position_of_an_earlier_session_that_closes_today_is_not_todays_candidate(ledger: SqlLedger) -> None:
    tomorrow = SESSION + timedelta(days=1)
    with ledger.transaction() as tx:
        record_session(tx)
        record_session(tx, tomorrow)
        order = record_entry(tx, record_setup(tx, "HELD"), cum_qty=Decimal(100))
        setup_id = order.client_order_id.removeprefix("entry-")
        snapshot_id = setup_id.removesuffix("-setup")
        held = a_trade(
            trade_id=order.client_order_id, symbol="HELD", session=tomorrow, setup_id=setup_id, snapshot_id=snapshot_id
        )
        tx.add_trade(held)
        today = build_funnel(SESSION, traded(tx, ACCOUNT, SESSION))
        later = build_funnel(tomorrow, traded(tx, ACCOUNT, tomorrow))

    assert [(c.symbol, c.stage, c.reason) for c in today.candidates] == [("HELD", "filled", "open")]
    assert later.candidates == ()
