"""When, and in which market: window, watchlist, regime, quote, spread, halts, earnings, correlation."""

# ruff: noqa: ARG001 - every check takes the same four arguments, whether it reads them or not

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_book import Code, Finding, RiskBook, SymbolFacts, Verdict
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import denial, warning
from trading_pipeline.domain.setups import Setup, TradePlan


def trading_window(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Entries only between the session's first and last entry instants, both included.

    Source: the exchange calendar.
    """
    if book.entries_open_at <= book.now <= book.entries_close_at:
        return None
    window = f"{book.entries_open_at.isoformat()} to {book.entries_close_at.isoformat()}"
    return denial(Code.TRADING_WINDOW, book.now.isoformat(), window, "entry window", "outside the entry window")


def watchlist_age(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The watchlist is of this session, not from the future, and young enough (E-18).

    Source: the watchlist snapshot.
    """
    age = book.now - book.snapshot_as_of
    if timedelta(0) <= age <= timedelta(minutes=limits.max_watchlist_age_minutes) and plan.session == setup.session:
        return None
    message = f"watchlist of {setup.session} as of {book.snapshot_as_of.isoformat()}, plan for {plan.session}"
    minutes = Decimal(int(age.total_seconds())) / 60
    limit = Decimal(limits.max_watchlist_age_minutes)
    return denial(Code.WATCHLIST_AGE, minutes, limit, "max_watchlist_age_minutes", message)


def hostile_regime(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A hostile regime blocks new entries, or only warns when the size multiplier is to do the work (E-11).

    Source: the newest regime snapshot. Missing: an unknown regime scores 0.
    """
    if book.regime_score >= limits.hostile_regime_score:
        return None
    verdict = Verdict.DENIAL if limits.hostile_regime == "block" else Verdict.WARNING
    message = f"regime score {book.regime_score:.1f}: hostile_regime is {limits.hostile_regime}"
    floor = Decimal(str(limits.hostile_regime_score))
    score = Decimal(str(book.regime_score))
    return Finding(verdict, Code.HOSTILE_REGIME, score, floor, "hostile_regime_score", message)


def grade_for_regime(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """In a weak regime only A+ setups trade; a target signal has no grade.

    Source: the newest regime snapshot. Missing: an unknown regime scores 0.
    """
    if plan.target is None:
        return None
    is_weak = book.only_a_plus or not book.regime_score >= limits.only_a_plus_below_score
    if setup.grade == "A+" or not is_weak:
        return None
    message = f"regime score {book.regime_score:.1f} asks for A+"
    return denial(Code.GRADE_BELOW_REGIME, setup.grade, "A+", "only_a_plus_below_score", message)


def regime_multiplier(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A multiplier of zero means: no entries.

    Source: the newest regime snapshot. Missing: an unknown regime halves the size.
    """
    if book.regime_multiplier > 0:
        return None
    return denial(
        Code.REGIME_MULTIPLIER_ZERO,
        book.regime_multiplier,
        ZERO,
        "regime_multiplier",
        "the regime sizes entries to zero",
    )


def fresh_quote(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A quote exists and is young; in replay it is the last base close, so one base bar older is fine.

    Source: the quote. Missing: denied.
    """
    allowed = Decimal(limits.max_quote_age_seconds + 60 * book.base_bar_minutes)
    if book.quote is None or book.quoted_at is None:
        return denial(Code.STALE_QUOTE, "no quote", allowed, "max_quote_age_seconds", "no quote to compare with")
    age = Decimal(str((book.now - book.quoted_at).total_seconds()))
    if age <= allowed:
        return None
    return denial(Code.STALE_QUOTE, age, allowed, "max_quote_age_seconds", f"quote {book.quote} is {age} s old")


def price_collar(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The entry is near the market, and the market is between stop and target: stop < bid, target > ask.

    Source: the quote. Missing: no quote is denied as stale_quote; without bid and ask its price stands for both.
    """
    if book.quote is None:
        return None  # fresh_quote denies
    bid, ask = (book.quote if side is None else side for side in (book.bid, book.ask))
    distance = abs(plan.entry - book.quote) / book.quote
    if distance <= limits.collar_fraction and plan.stop < bid and (plan.target is None or plan.target > ask):
        return None
    message = f"entry {plan.entry}, stop {plan.stop}, target {plan.target} against quote {book.quote} ({bid} to {ask})"
    return denial(Code.PRICE_COLLAR, distance, limits.collar_fraction, "collar_fraction", message)


def spread(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """What crossing the market costs: (ask − bid) / mid; a bid above the ask is no market.

    Source: bid and ask of the quote, else the facts' spread. Missing: not checked; bars have neither.
    """
    if limits.max_spread_fraction is None:
        return None
    measured = _spread(book, book.facts_of(plan.symbol))
    if measured is None or ZERO <= measured <= limits.max_spread_fraction:
        return None
    message = f"bid {book.bid}, ask {book.ask}"
    return denial(Code.SPREAD, measured, limits.max_spread_fraction, "max_spread_fraction", message)


def _spread(book: RiskBook, facts: SymbolFacts) -> Decimal | None:
    if book.bid is None or book.ask is None:
        return facts.spread_fraction
    middle = (book.bid + book.ask) / 2
    return (book.ask - book.bid) / middle if middle > 0 else Decimal("NaN")


def halted_symbol(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The exchange has not halted the symbol.

    Source: the facts' halts. Missing: nothing counts as halted; stale_symbol still sees that nothing trades.
    """
    facts = book.facts_of(plan.symbol)
    if not facts.is_halted:
        return None
    return denial(Code.HALTED_SYMBOL, "halted", "trading", "no halt", f"{plan.symbol} is halted: {facts.halt_source}")


def stale_symbol(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The symbol has traded within the last bars.

    Source: the last trade, else the quote's instant. Missing: denied as stale_quote.
    """
    last = book.facts_of(plan.symbol).last_trade_at or book.quoted_at
    if limits.max_bars_without_trade is None or last is None:
        return None
    allowed = timedelta(minutes=limits.max_bars_without_trade * max(1, book.base_bar_minutes))
    if book.now - last <= allowed:
        return None
    seconds = (Decimal(str(span.total_seconds())) for span in (book.now - last, allowed))
    message = f"{plan.symbol} last traded at {last.isoformat()}"
    return denial(Code.STALE_SYMBOL, next(seconds), next(seconds), "max_bars_without_trade", message)


def earnings(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """No entry shortly before earnings: 0 sessions ahead is this session.

    Source: the earnings calendar. Missing: a symbol without a row passes with a warning that says so.
    """
    if limits.earnings_sessions is None:
        return None
    facts, limit = book.facts_of(plan.symbol), Decimal(limits.earnings_sessions)
    if facts.sessions_to_earnings is None:
        message = f"{facts.earnings_source}: next earnings of {plan.symbol} are unknown"
        return warning(Code.EARNINGS, "unknown", limit, "earnings_sessions", message)
    if facts.sessions_to_earnings > limit:
        return None
    message = f"{facts.earnings_source}: {plan.symbol} reports on {facts.next_earnings}"
    return denial(Code.EARNINGS, Decimal(facts.sessions_to_earnings), limit, "earnings_sessions", message)


def correlation(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The entry does not move like something already held: pairwise |ρ| of daily returns.

    Source: daily returns of stored bars before the session. Missing: passes with a warning that names the holding.
    """
    if limits.max_correlation is None:
        return None
    facts, limit = book.facts_of(plan.symbol), Decimal(str(limits.max_correlation))
    others = sorted({held.symbol for held in book.exposures} - {plan.symbol})
    known = {name: Decimal(str(rho)) for name in others if (rho := facts.correlations.get(name)) is not None}
    measured = {name: abs(rho) for name, rho in known.items() if rho.is_finite()}
    nearest = max(measured, key=lambda name: measured[name], default="")
    if nearest and measured[nearest] > limit:
        message = f"{facts.correlation_source}: ρ with {nearest} is {known[nearest]:.2f}"
        return denial(Code.CORRELATION, measured[nearest], limit, "max_correlation", message)
    unknown = [name for name in others if name not in measured]
    if not unknown:
        return None
    message = f"{facts.correlation_source}: ρ with {', '.join(unknown)} is unknown and counts as correlated exposure"
    return warning(Code.CORRELATION, "unknown", limit, "max_correlation", message)
