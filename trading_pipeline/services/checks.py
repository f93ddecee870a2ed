"""Questions every session's results must answer yes to: schema, completeness, freshness, conservation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from trading_pipeline.analytics.quality import bad_value_reasons
from trading_pipeline.domain.fold import fold
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.reports import Funnel
from trading_pipeline.services.funnel import build_funnel, gaps, session_evidence
from trading_pipeline.services.research import indicators, members
from trading_pipeline.services.research_desk import ResearchDesk

COVERAGE_NEEDED = 0.9
MAX_BAR_AGE = timedelta(minutes=20)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: passed or not, in words, with the numbers."""

    passed: bool
    words: str
    numbers: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A question about one asset's session. Blocking: what follows in the run must not happen when it fails."""

    asset: str
    name: str
    question: str
    ask: Callable[[ResearchDesk, date], Verdict]
    blocking: bool = False


def universe_is_complete(desk: ResearchDesk, session: date) -> Verdict:
    """Somebody is in, and everybody who is out has a reason."""
    frame = desk.frames.read("universe", session)
    included = frame["included"].astype(bool)
    unexplained = int(((frame["reason"] == "") & ~included).sum())
    return Verdict(
        bool(included.any()) and not unexplained,
        f"{included.sum()} of {len(frame)} symbols are in; {unexplained} are out without a reason",
        {"included": int(included.sum()), "unexplained": unexplained},
    )


def bars_are_sound(desk: ResearchDesk, session: date) -> Verdict:
    """No rolled-up bar has impossible prices or volume."""
    frame = desk.bars.view(desk.trigger, [session], as_of=session)
    reasons = pd.Series(bad_value_reasons(frame))
    bad = int((reasons != "").sum())
    first = "" if not bad else f" (first: {frame['symbol'].iloc[int((reasons != '').argmax())]})"
    return Verdict(bad == 0, f"{bad} of {len(frame)} {desk.trigger.value} bars are impossible{first}", {"bad": bad})


def bars_are_complete(desk: ResearchDesk, session: date) -> Verdict:
    """Universe symbols have nearly all trigger bars that the session so far should have."""
    wanted = set(members(desk, session))
    frame = desk.bars.view(desk.trigger, [session], as_of=session)
    expected = len(desk.trigger_instants(session)) * len(wanted)
    present = int(frame["symbol"].isin(wanted).sum())
    share = present / expected if expected else 0.0
    return Verdict(
        share >= COVERAGE_NEEDED,
        f"{present} of {expected} expected bars ({share:.1%}; at least {COVERAGE_NEEDED:.0%} is needed)",
        {"coverage": round(share, 4)},
    )


def bars_are_fresh(desk: ResearchDesk, session: date) -> Verdict:
    """The newest stored bar ends at the close, or not long ago while the session runs."""
    base = desk.bars.base_timeframe() or Timeframe.MIN1
    frame = desk.bars.view(base, [session], as_of=session)
    due = min(desk.calendar.times(session).closes_at, desk.clock.now())
    if frame.empty:
        return Verdict(passed=False, words="no bars at all")
    newest = frame["end"].max().to_pydatetime()
    age = max(due - newest, timedelta(0))
    return Verdict(age <= MAX_BAR_AGE, f"the newest bar ends {age} before {due:%H:%M} UTC", {"newest": str(newest)})


def indicators_are_finite(desk: ResearchDesk, session: date) -> Verdict:
    """Indicators are numbers or null, never infinite, and every timeframe has rows."""
    infinite, empty = 0, []
    for timeframe in desk.timeframes:
        frame = indicators(desk, session, timeframe)
        infinite += int(np.isinf(frame.select_dtypes("float64").to_numpy()).sum())
        empty += [timeframe.value] if frame.empty else []
    return Verdict(
        not infinite and not empty,
        f"{infinite} infinite values; empty timeframes: {', '.join(empty) or 'none'}",
        {"infinite": infinite},
    )


def screen_is_complete(desk: ResearchDesk, session: date) -> Verdict:
    """Every universe symbol is judged at every screening instant, and each one not handed on has a reason."""
    frame = desk.frames.read("coarse_screen", session)
    expected = len(desk.screen_instants(session)) * len(members(desk, session))
    silent = int(((frame["reason"] == "") != frame["handed_off"].astype(bool)).sum())
    return Verdict(
        len(frame) == expected and not silent,
        f"{len(frame)} of {expected} judgements; {silent} without a reason",
        {"judgements": len(frame), "expected": expected, "silent": silent},
    )


def regime_inputs_are_known(desk: ResearchDesk, session: date) -> Verdict:
    """No input of the regime is missing; each missing one counts as the worst case."""
    frame = desk.frames.read("regime_score", session)
    missing = sorted(set(frame.loc[frame["missing"] != "[]", "missing"]))
    return Verdict(not missing, "; ".join(missing) or "every input is known", {"snapshots": len(frame)})


def scores_are_in_range(desk: ResearchDesk, session: date) -> Verdict:
    """Scores lie in 0–100, ranks are unique within a snapshot, and only grades A+ and A are selected."""
    frame = desk.frames.read("sabr20_watchlist", session)
    scored = frame[frame["scored"].astype(bool)]
    outside = int((~scored["score"].between(0, 100)).sum())
    doubled = int(scored.duplicated(["as_of", "rank"]).sum())
    odd = int((~scored.loc[scored["selected"].astype(bool), "grade"].isin(desk.settings.watchlist.grades)).sum())
    return Verdict(
        not (outside or doubled or odd),
        f"{outside} scores out of range, {doubled} doubled ranks, {odd} selected outside the grades",
        {"scored": len(scored)},
    )


def funnel_conserves(desk: ResearchDesk, session: date) -> Verdict:
    """Nobody skips a stage, every candidate has exactly one terminal reason, and the stages' counts add up."""
    account = desk.settings.execution.account
    evidence = session_evidence(desk.frames, desk.ledger, account, session)
    funnel = build_funnel(session, evidence)
    faults = gaps(evidence) + funnel_faults(funnel)
    return Verdict(not faults, "; ".join(faults) or "the counts conserve", dict(funnel.counts))


def funnel_faults(funnel: Funnel) -> list[str]:
    """Stages whose count is not the next stage's plus those that ended there, and symbols that end more than once."""
    stages = list(funnel.counts)
    ended = Counter(candidate.stage for candidate in funnel.candidates)
    following = [*(funnel.counts[stage] for stage in stages[1:]), 0]
    faults = [
        f"{stage}: {funnel.counts[stage]} reached it, {after} went on, {ended[stage]} ended there"
        for stage, after in zip(stages, following, strict=True)
        if funnel.counts[stage] != after + ended[stage]
    ]
    symbols = Counter(candidate.symbol for candidate in funnel.candidates)
    return faults + [f"{symbol} ends {count} times" for symbol, count in sorted(symbols.items()) if count > 1]


def positions_equal_fills(desk: ResearchDesk, session: date) -> Verdict:
    """Stored positions hold exactly the shares that the fills add up to. Source: the ledger, all sessions."""
    account = desk.settings.execution.account
    with desk.ledger.read() as tx:
        stored = {p.symbol: p for p in tx.positions(account)}
        folded = {symbol: p for symbol, p in fold(tx.fills(account), tx.splits(account)).items() if p.is_open}
    differ = sorted(s for s in {*stored, *folded} if _shares(stored, s) != _shares(folded, s))
    return Verdict(
        not differ, f"{len(differ)} positions differ from their fills as of {session}: {', '.join(differ[:5]) or '-'}"
    )


def _shares(positions: dict[str, Position], symbol: str) -> str:
    return str(positions[symbol].quantity) if symbol in positions else "0"


CHECKS = (
    Check(
        "universe", "complete", "Is anybody in, and all others out for a reason?", universe_is_complete, blocking=True
    ),
    Check("bars", "schema", "Are all bars possible?", bars_are_sound, blocking=True),
    Check("bars", "completeness", "Are nearly all expected bars there?", bars_are_complete),
    Check("bars", "freshness", "Is the newest bar recent enough?", bars_are_fresh),
    Check("indicators", "schema", "Are indicators finite?", indicators_are_finite, blocking=True),
    Check("coarse_screen", "completeness", "Is every symbol judged, with a reason?", screen_is_complete),
    Check("regime_score", "completeness", "Is every regime input known?", regime_inputs_are_known),
    Check("sabr20_watchlist", "schema", "Are scores, ranks and grades lawful?", scores_are_in_range, blocking=True),
    Check("positions", "equal_fills", "Do positions equal the fold of fills?", positions_equal_fills),
    Check("trades", "funnel_conserves", "Does each candidate end once, and do counts add up?", funnel_conserves),
)
"""Every check, in the order of the assets."""
