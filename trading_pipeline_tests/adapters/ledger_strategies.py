"""Strategies for any value a row of the ledger may hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from trading_pipeline.domain.control import AlertLevel, BlockKind, TradingState
from trading_pipeline.domain.corporate import CashKind
from trading_pipeline.domain.orders import ExecType, Leg, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.domain.reconciliation import Break, BreakKind
from trading_pipeline.domain.risk import Code, Finding, Verdict
from trading_pipeline.domain.trading_session import SessionPhase

ZONES = st.sampled_from([UTC, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
EXACTS = st.decimals(min_value=Decimal("0.00000001"), max_value=Decimal(92_000_000_000), places=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.dictionaries(TEXTS, st.none() | FLOATS | TEXTS, max_size=3)
INSTANTS = st.datetimes(datetime(1999, 1, 1), datetime(2060, 1, 1), timezones=ZONES)  # noqa: DTZ001  zones are drawn
AMOUNTS = st.decimals(allow_nan=False) | TEXTS
BREAKS = st.builds(Break, kind=st.sampled_from(BreakKind), symbol=TEXTS, subject=TEXTS, ours=TEXTS, theirs=TEXTS)
FINDINGS = st.builds(
    Finding,
    st.sampled_from(Verdict),
    st.sampled_from(Code),
    AMOUNTS,
    AMOUNTS,
    TEXTS,
    TEXTS,
    st.none() | EXACTS,
)
STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    Decimal: EXACTS,
    Decimal | None: st.none() | EXACTS,
    datetime: INSTANTS,
    datetime | None: st.none() | INSTANTS,
    date: st.dates(date(1999, 1, 1), date(2060, 1, 1)),
    float: FLOATS,
    float | None: st.none() | FLOATS,
    int: st.integers(0, 2**31 - 1),
    bool: st.booleans(),
    str: TEXTS,
    str | None: st.none() | TEXTS,
    tuple[str, ...]: st.lists(TEXTS, max_size=3).map(tuple),
    tuple[Finding, ...]: st.lists(FINDINGS, max_size=2).map(tuple),
    tuple[Break, ...]: st.lists(BREAKS, max_size=2).map(tuple),
    dict[str, float]: st.dictionaries(TEXTS, FLOATS, max_size=3),
    dict[str, str]: st.dictionaries(TEXTS, TEXTS, max_size=3),
    dict[str, list[str]]: st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=3),
    dict[str, float | str | None]: DOCUMENTS,
    dict[str, object]: DOCUMENTS,
    **{
        names: st.sampled_from(names)
        for names in (
            Side,
            OrderType,
            TimeInForce,
            Leg,
            OrdStatus,
            ExecType,
            ExitReason,
            SessionPhase,
            AlertLevel,
            BlockKind,
            CashKind,
            TradingState,
        )
    },
}


def variants(sample: Any) -> st.SearchStrategy[Any]:
    """Records like the sample in what they name, and anything at all in every other field."""
    kept = {"account", "session", "symbol", "parent_id", "strategy", "source"}
    hints = get_type_hints(type(sample))
    free = {name: STRATEGIES[hint] for name, hint in hints.items() if name not in kept and not name.endswith("_id")}
    return st.fixed_dictionaries(free).map(lambda values: replace(sample, **values))
