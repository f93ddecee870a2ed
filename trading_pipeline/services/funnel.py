"""How far every symbol of a session came, from universe to closed trade, and why it went no further."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any, TypeVar

import pandas as pd

from trading_pipeline.domain.orders import Leg, Order, OrdStatus
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.reports import STAGES, Candidate, Funnel
from trading_pipeline.domain.risk import RiskDecision, Verdict
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import Ledger, LedgerTransaction, ResearchStore

GATES = ("insufficient_history", "conditions", "volume", "score_below_minimum", "not_in_top")
"""Reasons of the coarse screen in the order of its gates: a later one means the symbol came further."""
GRADES = ("C", "B", "A", "A+")

Reasons = Mapping[str, Mapping[str, str]]
"""Per stage: the symbols with evidence of having reached it, each with why it would end there."""
T = TypeVar("T")


def session_funnel(frames: ResearchStore, ledger: Ledger, account: str, session: date) -> Funnel:
    """The funnel of one session from its stored frames and its record; a session not traded ends at the watchlist.

    A symbol counts in a stage when it reached it at any snapshot of the session. Raises MissingResultError when the
    session's universe, coarse screen or watchlist was not made.
    """
    return build_funnel(session, session_evidence(frames, ledger, account, session))


def session_evidence(frames: ResearchStore, ledger: Ledger, account: str, session: date) -> Reasons:
    """Per stage the symbols that left a trace there, each with its reason for ending there; raises as session_funnel.

    Every stage is read from its own frame or table: none is inferred from another.
    """
    universe, coarse, scored = (
        frames.read(name, session) for name in ("universe", "coarse_screen", "sabr20_watchlist")
    )
    research = screened(universe, coarse, scored)
    with ledger.read() as tx:
        trading = traded(tx, account, session)
    return {**research, **trading, "watchlist": {**research["watchlist"], **trading["watchlist"]}}


def gaps(reached: Reasons) -> list[str]:
    """Symbols with a trace at a stage and none at the one before: a fill nobody approved, a plan nobody listed."""
    return [
        f"{symbol} reached {stage} but not {before}"
        for before, stage in pairwise(STAGES)
        for symbol in sorted(set(reached.get(stage, {})) - set(reached.get(before, {})))
    ]


def build_funnel(session: date, reached: Reasons) -> Funnel:
    """Rank every symbol by the furthest stage it reached; what was reached implies all before it. Pure.

    reached: per stage, symbol -> reason for ending there; a stage may be missing.
    """
    furthest = {symbol: stage for stage in STAGES for symbol in reached.get(stage, {})}
    depth = {stage: number for number, stage in enumerate(STAGES)}
    candidates = sorted(
        (Candidate(symbol, stage, reached[stage][symbol]) for symbol, stage in furthest.items()),
        key=lambda candidate: (-depth[candidate.stage], candidate.symbol),
    )
    counts = {stage: sum(depth[other] >= depth[stage] for other in furthest.values()) for stage in STAGES}
    return Funnel(session, counts, tuple(candidates))


def screened(universe: pd.DataFrame, coarse: pd.DataFrame, scored: pd.DataFrame) -> Reasons:
    """The research stages from the session's frames (universe, coarse_screen, sabr20_watchlist)."""
    included = universe.loc[universe["included"].astype(bool), "symbol"]
    handed = coarse.loc[coarse["handed_off"].astype(bool), "symbol"]
    kept, failed = _split(scored, "scored")
    selected = kept.loc[kept["selected"].astype(bool), "symbol"]
    why_screened = _best(coarse, lambda row: (_gate(row["reason"]), row["as_of"]))
    why_unscored = _best(failed, lambda row: (row["as_of"],))
    why_unlisted = _best(kept, lambda row: (GRADES.index(row["grade"]), row["score"], row["as_of"]))
    return {
        "universe": {s: _reason(why_screened.get(s), "not_screened") for s in included},
        "coarse": {s: _reason(why_unscored.get(s), "not_scored") for s in handed},
        "scored": {symbol: _unlisted(row["grade"]) for symbol, row in why_unlisted.items()},
        "watchlist": dict.fromkeys(selected, "not_decided"),
    }


def _split(frame: pd.DataFrame, flag: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    holds = frame[flag].astype(bool)
    return frame[holds], frame[~holds]


def _best(frame: pd.DataFrame, key: Callable[[Mapping[str, Any]], tuple[Any, ...]]) -> dict[str, Mapping[str, Any]]:
    """Per symbol the row with the largest key."""
    best: dict[str, Mapping[str, Any]] = {}
    for record in frame.to_dict(orient="records"):
        row = {str(name): value for name, value in record.items()}
        symbol = str(row["symbol"])
        if symbol not in best or key(row) >= key(best[symbol]):
            best[symbol] = row
    return best


def _gate(reason: str) -> int:
    name = reason.partition(":")[0]
    return GATES.index(name) if name in GATES else len(GATES)


def _reason(row: Mapping[str, Any] | None, otherwise: str) -> str:
    return str(row["reason"]) or otherwise if row else otherwise


def _unlisted(grade: str) -> str:
    return "not_in_top" if grade in {"A", "A+"} else f"grade_{grade}"


def traded(tx: LedgerTransaction, account: str, session: date) -> Reasons:
    """The trading stages from the record of one account's session; a position opened earlier is not this session's."""
    plans = {plan.plan_id: plan for plan in tx.plans(account, session)}
    decisions = [(plans[d.plan_id].symbol, d) for d in tx.decisions(account, session)]
    entries = [order for order in tx.orders(account, session) if order.leg is Leg.ENTRY]
    filled = [order for order in entries if order.cum_qty > 0]
    own = {order.client_order_id for order in filled}
    closed = [trade for trade in tx.trades(account, session, session) if trade.trade_id in own]
    why_denied = {symbol: _denied(decision) for symbol, decision in decisions}
    return {
        "watchlist": _watched(tx, account, session),
        "planned": {plan.symbol: why_denied.get(plan.symbol, "not_decided") for plan in plans.values()},
        "approved": _unsent(decisions, entries),
        "submitted": _last(((o.symbol, o) for o in entries if is_submitted(o)), _unfilled),
        "filled": _last(((o.symbol, o) for o in filled), lambda _: "open"),
        "closed": _last(((t.symbol, t) for t in closed), _closed),
    }


def _watched(tx: LedgerTransaction, account: str, session: date) -> dict[str, str]:
    """Symbols of every selected setup: refused a plan, not decided on, or the session was not run at all."""
    otherwise = "not_decided" if tx.session_record(account, session) else "session_not_run"
    selected = [s.symbol for snap in tx.snapshots(session) for s in tx.setups(snap.snapshot_id) if s.selected]
    refusals = [event for event in tx.risk_events(account, session) if event.kind == "plan_refused"]
    return {**dict.fromkeys(selected, otherwise), **{event.data["symbol"]: _refused(event) for event in refusals}}


def _refused(event: RiskEvent) -> str:
    return f"plan_refused:{event.data['code']}"


def _denied(decision: RiskDecision) -> str:
    codes = [finding.code.value for finding in decision.findings if finding.verdict is Verdict.DENIAL]
    return "denied:" + "+".join(dict.fromkeys(codes)) if codes else "denied"


def _unsent(decisions: Sequence[tuple[str, RiskDecision]], entries: Sequence[Order]) -> dict[str, str]:
    """Approved symbols, each with what became of its last order that no venue took."""
    became = {order.symbol: _ended(order, "not_sent") for order in entries if not is_submitted(order)}
    return {symbol: became.get(symbol, "no_order") for symbol, decision in decisions if decision.approved}


def is_submitted(order: Order) -> bool:
    """True when a venue acknowledged the order: it gave it a number, or filled it."""
    return bool(order.venue_order_id) or order.cum_qty > 0


def _unfilled(order: Order) -> str:
    return _ended(order, "working")


def _ended(order: Order, otherwise: str) -> str:
    ends = {
        OrdStatus.CANCELED: "canceled",
        OrdStatus.EXPIRED: "expired",
        OrdStatus.REJECTED: "rejected",
        OrdStatus.DENIED: "denied",
        OrdStatus.IN_DOUBT: "in_doubt",
    }
    return ends.get(order.status, otherwise)


def _closed(trade: Trade) -> str:
    return f"closed:{trade.exit_reason.value}"


def _last(records: Iterable[tuple[str, T]], reason: Callable[[T], str]) -> dict[str, str]:
    """The reason of each symbol's last record."""
    return {symbol: reason(record) for symbol, record in records}
