"""The present book as the risk checks see it, and what they would say to an entry: nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.errors import InputError, MissingResultError, UnknownSymbolError
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.money import LARGEST_PRICE, ZERO, tick_size
from trading_pipeline.domain.risk import Finding, RiskBook, RiskDecision, decide, each_check
from trading_pipeline.domain.setups import ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.sizing import shares_for_risk
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import Ledger
from trading_pipeline.services.book import read_book, with_facts, with_value_at_risk
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import with_quote
from trading_pipeline.services.modes.terms import under

WHAT_IF = "what-if"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What would be decided, by the very checks that decide, and what each of them says; None is a pass."""

    plan: TradePlan
    decision: RiskDecision
    checks: tuple[tuple[str, Finding | None], ...]
    at: datetime


def newest_record(ledger: Ledger, account: str) -> SessionRecord:
    """The account's newest session; raises MissingResultError when none was ever started."""
    with ledger.read() as tx:
        records = tx.session_records(account)
    if not records:
        raise MissingResultError(
            f"account {account} has never traded: there is no book to look at. Try: trading-pipeline demo, or "
            "trading-pipeline session replay --session YYYY-MM-DD"
        )
    return records[-1]


def present_book(desk: Desk, times: SessionTimes, at: datetime) -> RiskBook:
    """The book at the last recorded instant, with facts of everything in it. A watchlist of that instant is assumed."""
    snapshot = ScanSnapshot(
        snapshot_id=WHAT_IF, session=times.session, as_of=at, code_version="", config_hash="", input_hash="", scored=0,
        selected=0, created_at=at,
    )  # fmt: skip
    with desk.ledger.read() as tx:
        book = read_book(desk, tx, snapshot, times, at)
    held = sorted({exposure.symbol for exposure in book.exposures})
    return replace(book, facts=desk.facts.facts(held, held, times.session, at))


def what_if(
    desk: Desk, times: SessionTimes, at: datetime, symbol: str, prices: Mapping[str, Decimal | None],
    quotes: Mapping[str, Quote], shares: int | None,
) -> WhatIf:  # fmt: skip
    """Decide on an imagined A+ entry; prices: entry, stop, target (USD per share, on the tick).

    shares: what would be ordered; None: what the risk per trade buys. Raises InputError for prices that no plan could
    have, UnknownSymbolError when the symbol has no bars in the session.
    """
    entry, stop, target = _checked(prices)
    if symbol not in quotes:
        raise UnknownSymbolError(
            f"{symbol} has no bars in session {times.session} up to {at.isoformat()}: it cannot be judged. Check the "
            "spelling, or import its bars: trading-pipeline data import"
        )
    book = with_quote(present_book(desk, times, at), quotes, symbol)
    with desk.ledger.read() as tx:
        desk = under(desk, tx, times.session, book.equity_usd)
    budget = book.equity_usd * desk.rules.risk.max_trade_risk_fraction * max(ZERO, book.regime_multiplier)
    quantity = Decimal(shares) if shares is not None else shares_for_risk(max(ZERO, budget), entry - stop)
    plan = _plan(desk, times, at, symbol, (entry, stop, target), quantity)
    book = with_value_at_risk(desk, with_facts(desk, book, symbol, times.session), plan)
    setup, limits = _setup(plan), desk.rules.risk
    return WhatIf(plan, decide(plan, setup, book, limits), each_check(plan, setup, book, limits), at)


def _checked(prices: Mapping[str, Decimal | None]) -> tuple[Decimal, Decimal, Decimal | None]:
    for name, price in prices.items():
        if price is None:
            continue
        if not price.is_finite() or price <= 0:
            raise InputError(f"{name} {price} is no price: write a number above zero, in USD per share")
        if price >= LARGEST_PRICE:
            raise InputError(f"{name} {price} is no price: it must be below {LARGEST_PRICE:,.0f} USD per share")
        if price % tick_size(price):
            raise InputError(f"{name} {price} is not on the tick of {tick_size(price)} USD: no exchange takes it")
    entry, stop, target = prices["entry"], prices["stop"], prices["target"]
    if entry is None or stop is None:
        raise InputError("an entry needs its price and its stop")
    if stop >= entry:
        raise InputError(f"stop {stop} must be below entry {entry}: only long entries are made")
    if target is not None and target <= entry:
        raise InputError(f"target {target} must be above entry {entry}")
    return entry, stop, target


def _plan(
    desk: Desk, times: SessionTimes, at: datetime, symbol: str, prices: tuple[Decimal, Decimal, Decimal | None],
    quantity: Decimal,
) -> TradePlan:  # fmt: skip
    entry, stop, target = prices
    return TradePlan(
        plan_id=WHAT_IF, setup_id=WHAT_IF, snapshot_id=WHAT_IF, account=desk.account, strategy=desk.strategy,
        session=times.session, symbol=symbol, as_of=at, planned_at=at, entry=entry, stop=stop, target=target,
        risk_per_share=entry - stop, reward_risk=(target - entry) / (entry - stop) if target else ZERO,
        multiplier=Decimal(1), quantity=quantity, size_bound_by="--shares or the risk per trade", entry_reason=WHAT_IF,
        expires_at=at + timedelta(minutes=desk.rules.plan.entry_ttl_minutes),
    )  # fmt: skip


def _setup(plan: TradePlan) -> Setup:
    """The best setup there could be: an imagined entry is judged on everything but its signal."""
    entry, stop = float(plan.entry), float(plan.stop)
    return Setup(
        setup_id=WHAT_IF, snapshot_id=WHAT_IF, symbol=plan.symbol, session=plan.session, as_of=plan.as_of, score=100.0,
        grade="A+", state=WHAT_IF, phase="", reward_risk=float(plan.reward_risk), entry=entry, stop=stop,
        target=None if plan.target is None else float(plan.target), lowest_low=stop, lower_band=stop, atr=entry - stop,
        atr_mean=entry - stop, rank=1, selected=True,
    )  # fmt: skip
