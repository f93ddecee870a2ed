"""Permissions and filters: each denies under its own name, names its source, and says what is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.control import Block, BlockKind, TradingState
from trading_pipeline.domain.orders import Leg, OrderType, Side
from trading_pipeline.domain.risk import CHECKS, Code, Mode, RiskLimits, Verdict, decide, state_after, streak_of
from trading_pipeline.domain.risk_book import Exposure
from trading_pipeline_tests.builders import AT, SESSION, a_book, a_plan, a_setup, an_exposure, an_order, dec, facts
from trading_pipeline_tests.domain.test_risk import DENIALS, LIMITS, REDUCTIONS, codes, decided, the


def a_block(symbol: str = "XYZ", kind: BlockKind = BlockKind.RECONCILE_BREAK, **changes: Any) -> Block:
    block = Block(block_id="b", account="A", symbol=symbol, kind=kind, reason="cash differs", since=AT)
    return replace(block, **changes)


def known(**changes: Any) -> dict[str, Any]:
    """The facts of XYZ with these changes, as a book has them."""
    return {"facts": {**a_book().facts, "XYZ": facts(**changes)}}


A_SALE = an_order(side=Side.SELL, leg=Leg.TARGET, client_order_id="sale", limit_price="50.00")
FILTERED: list[tuple[Code, dict[str, Any], str]] = [
    (Code.TRADING_STATE, {"trading_state": TradingState.REDUCING}, "the account is REDUCING"),
    (Code.TRADING_STATE, {"trading_state": TradingState.HALTED}, "the account is HALTED"),
    (Code.NOT_RECONCILED, {"is_reconciled": False}, "no clean reconciliation yet"),
    (Code.BLOCKED, {"blocks": (a_block(),)}, "reconcile_break since 2025-06-10T14:30:00+00:00: cash differs"),
    (Code.BLOCKED, {"blocks": (a_block("", BlockKind.IN_DOUBT),)}, "in_doubt since"),
    (Code.BLOCKED, {"blocks": (a_block(kind=BlockKind.REPEATED_EXECUTION),)}, "risk rearm XYZ"),
    (Code.FACTS_UNAVAILABLE, known(unusable=("sectors.csv: no such file",)), "sectors.csv: no such file"),
    (Code.HALTED_SYMBOL, known(is_halted=True, halt_source="halts.csv"), "XYZ is halted: halts.csv"),
    (
        Code.STALE_SYMBOL,
        known(last_trade_at=AT - timedelta(minutes=2, seconds=1)),
        "XYZ last traded at 2025-06-10T14:2",
    ),
    (Code.SPREAD, {"bid": dec("49.80"), "ask": dec("50.20")}, "bid 49.80, ask 50.20"),
    (Code.SPREAD, {"bid": dec("50.20"), "ask": dec("49.80")}, "bid 50.20, ask 49.80"),
    (Code.SPREAD, known(spread_fraction=dec("0.006")), "bid None"),
    (
        Code.EARNINGS,
        known(sessions_to_earnings=2, next_earnings=SESSION),
        "earnings calendar test: XYZ reports on 2025",
    ),
    (
        Code.EARNINGS,
        known(sessions_to_earnings=0, next_earnings=SESSION),
        "earnings calendar test: XYZ reports on 2025",
    ),
    (Code.CORRELATION, {"exposures": (an_exposure(),), **known(correlations={"HELD": 0.71})}, "with HELD is 0.71"),
    (Code.CORRELATION, {"exposures": (an_exposure(),), **known(correlations={"HELD": -0.71})}, "with HELD is -0.71"),
    (Code.SELF_MATCH, {"own_orders": (A_SALE,)}, "LIMIT sale sale of 100"),
    (Code.SELF_MATCH, {"own_orders": (replace(A_SALE, order_type=OrderType.MARKET),)}, "MARKET sale"),
    (Code.PRICE_COLLAR, {"bid": dec("47.90"), "ask": dec("50.10")}, "(47.90 to 50.10)"),
    (Code.PRICE_COLLAR, {"bid": dec("49.90"), "ask": dec("56.00")}, "(49.90 to 56.00)"),
]


@pytest.mark.parametrize(("code", "book", "words"), FILTERED)
def test_each_filter_denies_under_its_own_name_and_names_its_source(
    code: Code, book: dict[str, Any], words: str
) -> None:
    decision = decided(**book)

    assert code in codes(decision)
    assert not decision.approved
    assert words in the(decision, code).message


def test_every_code_has_a_case() -> None:
    elsewhere = {
        Code.NON_FINITE_INPUT, Code.HOSTILE_REGIME, Code.GRADE_BELOW_REGIME, Code.SYMBOL_BUSY, Code.BELOW_MINIMUM_SIZE,
        Code.RESTRICTED, Code.SECTOR_EXPOSURE, Code.CORRELATED_EXPOSURE, Code.SETTLED_CASH, Code.VALUE_AT_RISK,
        Code.SCORE_BELOW_MINIMUM,
    }  # fmt: skip
    assert {case[0] for case in (*DENIALS, *REDUCTIONS, *FILTERED)} | elsewhere == set(Code)


def test_every_check_names_its_source() -> None:
    assert [check.__name__ for check in CHECKS if "Source: " not in (check.__doc__ or "")] == []


PASSING: list[dict[str, Any]] = [
    {"blocks": (a_block("OTHER"),)},
    {"blocks": (a_block(cleared_at=AT),)},
    known(last_trade_at=AT - timedelta(minutes=2)),
    {"bid": dec("49.90"), "ask": dec("50.10")},
    known(sessions_to_earnings=3),
    {"exposures": (an_exposure(),), **known(correlations={"HELD": 0.7})},
    {"own_orders": (replace(A_SALE, limit_price=dec("50.01")),)},
    {"own_orders": (replace(A_SALE, order_type=OrderType.STOP, limit_price=None, stop_price=dec(48)),)},
    {"own_orders": (replace(A_SALE, symbol="ABC"),)},
    {"own_orders": (replace(A_SALE, side=Side.BUY),)},
]


@pytest.mark.parametrize("book", PASSING)
def test_what_just_keeps_a_filter_passes(book: dict[str, Any]) -> None:
    decision = decided(**book)

    assert (decision.approved, decision.findings) == (True, ())


OFF = {
    "max_sector_exposure_fraction": Code.SECTOR_EXPOSURE,
    "max_correlation": Code.CORRELATION,
    "max_correlated_exposure_fraction": Code.CORRELATED_EXPOSURE,
    "max_spread_fraction": Code.SPREAD,
    "max_bars_without_trade": Code.STALE_SYMBOL,
    "earnings_sessions": Code.EARNINGS,
}


@pytest.mark.parametrize(("setting", "code"), OFF.items())
def test_each_filter_can_be_switched_off(setting: str, code: Code) -> None:
    worst = facts(
        sector="Energy", correlations={"HELD": 0.9}, sessions_to_earnings=0, last_trade_at=AT - timedelta(hours=1),
        spread_fraction=dec("0.02"),
    )  # fmt: skip
    held = (an_exposure(quantity=2000, stop=20),)
    book: dict[str, Any] = {"facts": {"XYZ": worst, "HELD": facts("HELD", "Energy")}, "exposures": held}

    assert code in {finding.code for finding in decided(**book).findings}
    off = LIMITS.model_copy(update={setting: None})
    assert code not in {finding.code for finding in decided(limits=off, **book).findings}


def test_a_restricted_symbol_is_denied() -> None:
    assert Code.RESTRICTED in codes(decided(limits=RiskLimits(restricted_symbols=("XYZ",))))
    assert decided(limits=RiskLimits(restricted_symbols=("ABC",))).approved


def in_sectors(**sectors: str) -> dict[str, Any]:
    return {"facts": {name: facts(name, sector) for name, sector in sectors.items()}}


def test_a_sector_is_filled_up_to_its_limit_and_no_further() -> None:
    book = in_sectors(XYZ="Energy", HELD="Energy", H1="Utilities")
    held = (an_exposure(quantity=1300), an_exposure("H1", 1000))  # 26,000 USD of Energy, 20,000 of Utilities

    decision = decided(exposures=held, **book)

    assert (decision.quantity, decision.bound_by) == (dec(80), "max_sector_exposure_fraction")
    assert the(decision, Code.SECTOR_EXPOSURE).message.endswith("; sector Energy, sector map test")


def test_e52_symbols_of_unknown_sector_are_one_sector_that_fails_closed() -> None:
    unknown = in_sectors(XYZ="", HELD="", H1="Energy")
    over = (an_exposure(quantity=1500, stop=20), an_exposure("H1", 100))  # 30,000 USD of unknown sector

    full, energy = decided(exposures=over, **unknown), decided(exposures=over, **in_sectors(XYZ="Energy", HELD=""))

    assert codes(full) == {Code.SECTOR_EXPOSURE}
    assert the(full, Code.SECTOR_EXPOSURE).measured == dec(35_000)
    assert energy.approved


def test_e52_nobody_knowing_anything_is_the_same_as_unknown() -> None:
    over = (an_exposure(quantity=1500, stop=20),)

    assert Code.SECTOR_EXPOSURE in codes(decided(exposures=over, facts={}))


def test_unknown_earnings_are_a_warning_that_names_the_source() -> None:
    decision = decided(**known(sessions_to_earnings=None, earnings_source="earnings.csv to 2025-06-30: no row for XYZ"))

    assert decision.approved
    finding = the(decision, Code.EARNINGS)
    assert finding.verdict is Verdict.WARNING
    assert finding.message == "earnings.csv to 2025-06-30: no row for XYZ: next earnings of XYZ are unknown"


@pytest.mark.parametrize("rho", [None, float("nan")])
def test_an_unknown_correlation_warns_and_counts_as_correlated(rho: float | None) -> None:
    held = (an_exposure(quantity=1800, stop=20),)  # 36,000 USD
    unknown = known(correlations={} if rho is None else {"HELD": rho})

    decision = decided(exposures=held, **unknown)

    assert Code.CORRELATION in codes(decision, Verdict.WARNING)
    assert (decision.quantity, decision.bound_by) == (dec(80), "max_correlated_exposure_fraction")


def test_correlated_holdings_and_the_entry_share_forty_percent() -> None:
    held = (an_exposure("H1", 1000, stop=20), an_exposure("H2", 900, stop=20), an_exposure("H3", 50))
    book = known(correlations={"H1": 0.5, "H2": 0.7, "H3": 0.49})

    decision = decided(exposures=held, **book)  # 38,000 USD of 40,000 are taken

    assert (decision.quantity, decision.bound_by) == (dec(40), "max_correlated_exposure_fraction")
    assert "correlated with H1, H2, 60 daily returns" in the(decision, Code.CORRELATED_EXPOSURE).message


def test_a_cash_account_buys_with_settled_cash_only() -> None:
    cash = RiskLimits(account_type="cash")

    assert decided(limits=cash, settled_cash_usd=dec(2049)).quantity == 40
    assert codes(decided(limits=cash, settled_cash_usd=None)) == {Code.SETTLED_CASH}
    assert codes(decided(limits=cash, settled_cash_usd=dec(-5))) == {Code.SETTLED_CASH}
    assert decided(settled_cash_usd=dec(0)).approved


def test_value_at_risk_limits_only_where_a_limit_is_set_and_unknown_denies() -> None:
    limits = RiskLimits(max_value_at_risk_fraction=dec("0.02"))

    assert decided(limits=limits, value_at_risk_usd=dec(2000)).approved
    assert codes(decided(limits=limits, value_at_risk_usd=dec("2000.01"))) == {Code.VALUE_AT_RISK}
    assert codes(decided(limits=limits)) == {Code.VALUE_AT_RISK}
    assert Code.NON_FINITE_INPUT in codes(decided(limits=limits, value_at_risk_usd=dec("NaN")))
    assert decided(value_at_risk_usd=dec(99_999)).approved


def test_live_scaled_trades_whole_lots() -> None:
    assert decided({"quantity": 99}).approved
    small = decided({"quantity": 99}, mode=Mode.LIVE_SCALED)
    assert (codes(small), small.bound_by) == ({Code.BELOW_MINIMUM_SIZE}, "min_shares_live_scaled")
    assert decided({"quantity": 100}, mode=Mode.LIVE_SCALED).approved


def test_the_mode_caps_positions_too() -> None:
    held = (an_exposure("H1", 1),)

    decision = decided(exposures=held, mode_positions=1)

    assert the(decision, Code.POSITION_COUNT).limit_name == "mode_positions"
    assert decided(exposures=held, mode_positions=2).approved


def test_a_target_signal_has_no_target_no_grade_and_may_add_to_a_position() -> None:
    signal, held = a_plan(target=None), an_exposure("XYZ", 10, "50.00")

    decision = decide(signal, a_setup(grade="", target=None), a_book(exposures=(held,), only_a_plus=True), LIMITS)

    assert (decision.approved, decision.findings) == (True, ())
    busy = replace(held, is_working=True)
    assert Code.SYMBOL_BUSY in codes(decide(signal, a_setup(), a_book(exposures=(busy,)), LIMITS))
    assert Code.POSITION_NOTIONAL in {
        finding.code
        for finding in decide(signal, a_setup(), a_book(exposures=(an_exposure("XYZ", 199, 50),)), LIMITS).findings
    }


@pytest.mark.parametrize(
    ("answers", "streak"),
    [([], 0), ([True] * 4, 4), ([True] * 5, 5), ([False, True, True], 2), ([True, False], 0), ([True] * 9, 9)],
)
def test_a_streak_counts_the_newest_refusals_in_a_row(answers: list[bool], streak: int) -> None:
    assert streak_of(answers) == streak
    expected = TradingState.REDUCING if streak >= 5 else TradingState.ACTIVE
    assert state_after(answers, LIMITS) is expected


# --- laws

names = st.sampled_from(["HELD", "H1", "H2", "W1"])
sectors = st.sampled_from(["", "Energy", "Utilities"])
rhos = st.none() | st.floats(-1, 1)


@st.composite
def crowded(draw: st.DrawFn) -> dict[str, Any]:
    """A book with holdings in a few sectors, correlated in any way or unknown."""
    held = draw(st.lists(st.builds(an_exposure, names, st.integers(1, 400), st.integers(2, 300)), max_size=4))
    rho = {name: value for name in ("HELD", "H1", "H2", "W1") if (value := draw(rhos)) is not None}
    known = {name: facts(name, draw(sectors)) for name in ("HELD", "H1", "H2", "W1")}
    return {
        "exposures": tuple(held),
        "facts": {**known, "XYZ": facts("XYZ", draw(sectors), correlations=rho)},
        "settled_cash_usd": draw(st.integers(0, 20_000).map(Decimal)),
    }


CASH = RiskLimits(account_type="cash", max_open_positions=50)


def literally(quantity: int, book: dict[str, Any], limits: RiskLimits) -> bool:
    """Do so many XYZ at 50.00, stop 48.00, keep every limit on size? Counted out one by one, in floats of cents."""
    risk, value = quantity * 200, quantity * 5000
    exposure = sector = moving = open_risk = 0
    new = book["facts"]["XYZ"]
    for held in book["exposures"]:
        worth = int(held.quantity * held.price * 100)
        exposure += worth
        open_risk += int(max(Decimal(0), held.average_entry - held.stop) * held.quantity * 100)
        if (book["facts"][held.symbol].sector or "?") == (new.sector or "?"):
            sector += worth
        if held.symbol not in new.correlations or new.correlations[held.symbol] >= 0.5:
            moving += worth
    return (
        risk <= 100_000
        and open_risk + risk <= 300_000
        and value <= 1_000_000
        and exposure + value <= 8_000_000
        and sector + value <= 3_000_000
        and (moving == 0 or moving + value <= 4_000_000)
        and value <= int(book["settled_cash_usd"] * 100)
        and all(abs(new.correlations.get(held.symbol, 0)) <= limits.max_correlation for held in book["exposures"])
    )  # fmt: skip


@given(book=crowded(), wanted=st.integers(2, 600))
def test_a_size_is_the_largest_that_a_literal_count_allows(book: dict[str, Any], wanted: int) -> None:
    decision = decided({"quantity": wanted}, limits=CASH, **book)

    allowed = next((n for n in range(wanted, 1, -1) if literally(n, book, CASH)), 0)  # below 2: under 100 USD
    assert decision.quantity == allowed


def more(exposures: tuple[Exposure, ...], extra: int) -> tuple[Exposure, ...]:
    return tuple(replace(held, quantity=held.quantity + extra) for held in exposures)


@given(book=crowded(), extra=st.integers(1, 300))
def test_more_exposure_never_gives_a_bigger_size(book: dict[str, Any], extra: int) -> None:
    less = decided({"quantity": 600}, limits=CASH, **book).quantity
    fuller = decided({"quantity": 600}, limits=CASH, **{**book, "exposures": more(book["exposures"], extra)}).quantity

    assert fuller <= less


@given(book=crowded())
def test_each_finding_alone_only_ever_lowers_the_size(book: dict[str, Any]) -> None:
    plan = a_plan(quantity=600)
    decision = decide(plan, a_setup(), a_book(**book), CASH)

    found = [finding for check in CHECKS if (finding := check(plan, a_setup(), a_book(**book), CASH))]
    reductions = [finding.quantity for finding in found if finding.verdict is Verdict.REDUCTION]
    assert decision.quantity <= min([plan.quantity, *(q for q in reductions if q is not None)])
    if any(finding.verdict is Verdict.DENIAL for finding in found):
        assert decision.quantity == 0
    elif decision.approved:
        assert decision.quantity == min([plan.quantity, *(q for q in reductions if q is not None)])


@given(
    bad=st.sampled_from([dec("NaN"), dec("sNaN"), dec("Infinity"), dec("-Infinity"), dec(0), dec(-1)]),
    name=st.sampled_from(["quote", "bid", "ask", "equity_usd", "prior_close_equity_usd"]),
)
def test_e12_no_unusable_number_passes_wherever_it_stands(bad: Decimal, name: str) -> None:
    book: dict[str, Any] = {"bid": dec("49.99"), "ask": dec("50.01"), name: bad}

    decision = decided(**book)

    assert f"book.{name} = " in str(the(decision, Code.NON_FINITE_INPUT).measured)
    assert (decision.approved, decision.quantity, decision.reserved_risk_usd) == (False, dec(0), dec(0))
