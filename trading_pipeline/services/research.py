"""From stored bars to watchlist and regime, one session at a time, every snapshot of it in one pass.

Each step reads what the step before wrote and passes no frames; a step run twice writes the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

import pandas as pd

from trading_pipeline.analytics import regime, sabr20, screening, universe, watchlist
from trading_pipeline.analytics.indicators import compute_indicators
from trading_pipeline.domain.errors import InputError, MissingBarsError, MissingResultError
from trading_pipeline.domain.market import PARTIAL_FEEDS, Timeframe
from trading_pipeline.services import snapshots
from trading_pipeline.services.desk import regimes_of, snapshots_of
from trading_pipeline.services.research_desk import DAILY, ResearchDesk

BARS_KEPT = (90, 160, 60, 40)
"""Bars of earlier sessions kept with a session's indicators, of each timeframe: what the rules look back on."""


def make_universe(desk: ResearchDesk, session: date) -> pd.DataFrame:
    """Judge every symbol by the sessions before `session`; store and return the frame `universe`."""
    desk.calendar.times(session)
    lookback = desk.settings.universe.lookback_sessions + 1
    earlier = [day for day in desk.stored(DAILY) if day < session][-lookback:]
    if not earlier:
        raise MissingBarsError(session, [], "1d (of any earlier session)")
    _require_whole_volume(desk, session, earlier)
    daily = desk.bars.view(DAILY, earlier, as_of=session)
    tradable = daily[~daily["symbol"].isin(desk.index_symbols())]
    frame = universe.build_universe(
        tradable, session, desk.settings.universe, previous=_previous(desk, "universe", session)
    )
    desk.frames.write("universe", session, frame)
    return frame


def _require_whole_volume(desk: ResearchDesk, session: date, earlier: Sequence[date]) -> None:
    """Raise InputError when a volume rule would judge by what one exchange traded."""
    if desk.settings.universe.min_average_volume_shares == 0:
        return
    for feed in PARTIAL_FEEDS:
        found = desk.bars.of_feed(feed, earlier)
        if len(found):
            days, symbols = sorted(found["session"].unique()), sorted(found["symbol"].unique())
            raise InputError(
                f"before {session} the daily volume of {len(symbols)} symbols (first: {', '.join(symbols[:5])}) on "
                f"{len(days)} sessions is of {feed} alone, a small part of what was traded: no volume rule can judge "
                "by it. Fetch consolidated daily bars: trading-pipeline data fetch --provider alpaca --daily "
                f"--from {pd.Timestamp(days[0]).date()} --symbols {','.join(symbols[:5])},..."
            )


def _previous(desk: ResearchDesk, name: str, session: date) -> pd.DataFrame | None:
    before = [day for day in desk.frames.sessions(name) if day < session]
    return desk.frames.read(name, before[-1]) if before else None


def members(desk: ResearchDesk, session: date) -> list[str]:
    """Symbols of the session's universe, sorted; raises MissingResultError when it was not made."""
    frame = desk.frames.read("universe", session)
    return sorted(frame.loc[frame["included"].astype(bool), "symbol"])


def make_bars(desk: ResearchDesk, session: date) -> dict[str, int]:
    """Roll the session's base bars up; returns rows per timeframe.

    The running session may have no bars yet. Raises MissingBarsError when another has none.
    """
    base = desk.bars.base_timeframe()
    if base is None or (session not in desk.bars.sessions(base) and not desk.is_running(session)):
        raise MissingBarsError(session, [], base.value if base else "1min or 5min")
    frames = {tf.value: desk.bars.view(tf, [session], as_of=session) for tf in desk.timeframes}
    return {name: len(frame) for name, frame in frames.items()}


def make_indicators(desk: ResearchDesk, session: date) -> dict[str, int]:
    """Indicators of the universe and the indices on every timeframe; returns rows stored per timeframe."""
    rows = {timeframe.value: make_indicator_frame(desk, session, timeframe) for timeframe in desk.timeframes}
    snapshots.store_inputs(desk, session)
    return rows


def make_indicator_frame(desk: ResearchDesk, session: date, timeframe: Timeframe) -> int:
    """Indicators of the universe and the indices on one timeframe; returns rows stored."""
    bars = desk.view(session, timeframe, [*members(desk, session), *desk.index_symbols()])
    kept = BARS_KEPT[desk.timeframes.index(timeframe)]
    frame = _recent(compute_indicators(bars, desk.settings.indicators), session, kept)
    desk.frames.write(f"indicators_{timeframe.value}", session, frame)
    return len(frame)


def _recent(frame: pd.DataFrame, session: date, kept: int) -> pd.DataFrame:
    """The session's rows and, per symbol, the last `kept` rows before it."""
    today = frame["session"] == pd.Timestamp(session)
    before = frame[~today].groupby("symbol", sort=False).tail(kept)
    return frame.loc[before.index.union(frame.index[today])].reset_index(drop=True)


def indicators(desk: ResearchDesk, session: date, timeframe: Timeframe) -> pd.DataFrame:
    """Stored indicators; raises MissingResultError when they were not made."""
    return desk.frames.read(f"indicators_{timeframe.value}", session)


def make_coarse_screen(desk: ResearchDesk, session: date) -> pd.DataFrame:
    """Screen the whole universe at every screening instant; store and return the frame `coarse_screen`."""
    screened = screen(desk, session, desk.screen_instants(session))
    desk.frames.write("coarse_screen", session, screened)
    return screened


def screen(desk: ResearchDesk, session: date, instants: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """The whole universe screened at some instants of the session; nothing is stored."""
    snapshots.require_own_inputs(desk, session)
    symbols, rules, opens = members(desk, session), desk.settings.coarse, _opens(desk, session)
    first = [instant for instant in instants if instant < desk.calendar.times(session).opens_at]
    parts = []
    for when, timeframe in ((first, desk.regime), (instants[len(first) :], desk.confirmation)):
        if when:
            frame = indicators(desk, session, timeframe)
            parts.append(screening.coarse_screen(frame, when, symbols, rules, timeframe=timeframe, opens_at=opens))
    if not parts:
        raise MissingResultError(f"nothing can be screened for {session} before its 07:00 New York scan.")
    return pd.concat(parts, ignore_index=True)


def _opens(desk: ResearchDesk, session: date) -> dict[pd.Timestamp, pd.Timestamp]:
    days = desk.history(session, desk.regime)
    return {pd.Timestamp(day): pd.Timestamp(desk.calendar.times(day).opens_at) for day in days}


def make_regime_score(desk: ResearchDesk, session: date, *, newest_only: bool = False) -> pd.DataFrame:
    """Score the regime at every screening instant; store it in the ledger and as the frame `regime_score`.

    newest_only: of a running session, as for a watchlist.
    """
    scored = score_regime(desk, session, desk.screen_instants(session))
    desk.frames.write("regime_score", session, snapshots.flat_details(scored))
    recordable = scored
    if newest_only:
        with desk.ledger.read() as tx:
            recorded = [one.as_of for one in regimes_of(desk.provenance, tx, session)]
        recordable = scored[scored["as_of"].isin(_newest_once(desk.screen_instants(session), recorded))]
    snapshots.record_regimes(desk, session, recordable)
    return scored


def score_regime(desk: ResearchDesk, session: date, instants: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """The regime at some instants of the session; nothing is stored.

    Daily bars are those of earlier sessions: the session's own is imported at any time after the close, and what was
    decided at 16:00 must not depend on when.
    """
    snapshots.require_own_inputs(desk, session)
    rules = desk.settings.regime
    indices = sorted({*rules.trend_indices, *rules.correlation_symbols})
    return regime.score_regime(
        as_of=instants,
        indices_4h=_only(indicators(desk, session, desk.regime), indices),
        indices_1d=_before(_only(indicators(desk, session, DAILY), indices), session),
        vix_1d=_before(desk.view(session, DAILY, [rules.vix_symbol]), session),
        universe_1d=_before(desk.view(session, DAILY, members(desk, session)), session),
        last_prices=_last_prices(desk, session, instants),
        session=session,
        rules=rules,
        previous_session=desk.calendar.previous(session),
        opens_at=pd.Timestamp(desk.calendar.times(session).opens_at),
    )


def _only(frame: pd.DataFrame, symbols: Sequence[str]) -> pd.DataFrame:
    return frame[frame["symbol"].isin(symbols)]


def _before(frame: pd.DataFrame, session: date) -> pd.DataFrame:
    return frame[frame["session"] < pd.Timestamp(session)]


def _last_prices(desk: ResearchDesk, session: date, instants: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """Last trigger bar's close of each universe symbol at each instant of the session: as_of, symbol, price."""
    bars = indicators(desk, session, desk.trigger)
    today = bars[(bars["session"] == pd.Timestamp(session)) & bars["symbol"].isin(members(desk, session))]
    last = [
        today[today["end"] <= at]
        .groupby("symbol", sort=True)["close"]
        .last()
        .reset_index(name="price")
        .assign(as_of=at)
        for at in instants
    ]
    frame = pd.concat(last, ignore_index=True)[["as_of", "symbol", "price"]]
    return frame.astype({"as_of": "datetime64[ns, UTC]", "price": "float64"})


def score_session(
    desk: ResearchDesk, session: date, *, use_coarse: bool = True, instants: Sequence[pd.Timestamp] | None = None
) -> pd.DataFrame:
    """SABR20 of every candidate at every close of a trigger bar (or some), ranked and selected; nothing is stored.

    use_coarse False scores the whole universe instead of what the newest coarse screen handed over.
    """
    snapshots.require_own_inputs(desk, session)
    when = desk.trigger_instants(session) if instants is None else instants
    candidates = _handed_off(desk, session, when) if use_coarse else _everyone(desk, session, when)
    t1, t2, t3 = (indicators(desk, session, timeframe) for timeframe in desk.timeframes[:3])
    scored = sabr20.score_setups(t1, t2, t3, candidates, desk.settings.sabr20)
    return watchlist.select(scored, desk.settings.watchlist)


def _everyone(desk: ResearchDesk, session: date, instants: Sequence[pd.Timestamp]) -> pd.DataFrame:
    frame = pd.DataFrame({"as_of": pd.DatetimeIndex(list(instants))})
    return frame.merge(pd.DataFrame({"symbol": members(desk, session)}), how="cross")


def _handed_off(desk: ResearchDesk, session: date, instants: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """At each trigger instant, the symbols that the newest coarse screen of the session handed over."""
    screened = desk.frames.read("coarse_screen", session)
    screens = pd.DatetimeIndex(sorted(screened["as_of"].unique()))
    passed = screened[screened["handed_off"].astype(bool)]
    rows = []
    for instant in instants:
        newest = screens[screens <= instant]
        names: list[str] = list(passed.loc[passed["as_of"] == newest[-1], "symbol"]) if len(newest) else []
        rows.append(pd.DataFrame({"as_of": instant, "symbol": sorted(names)}))
    frame = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"as_of": [], "symbol": []})
    return frame.astype({"as_of": "datetime64[ns, UTC]", "symbol": "str"})


def make_watchlist(desk: ResearchDesk, session: date, *, newest_only: bool = False) -> pd.DataFrame:
    """Score, rank and record a snapshot for every trigger instant; store and return the frame `sabr20_watchlist`.

    newest_only: of a running session. What is on record may have been decided on, and what was missed was never known
    in time; so a replay finds what the running session found, whatever is corrected meanwhile.
    """
    scored, only = score_session(desk, session), None
    desk.frames.write("sabr20_watchlist", session, scored)
    if newest_only:
        with desk.ledger.read() as tx:
            recorded = [one.as_of for one in snapshots_of(desk.provenance, tx, session)]
        only = _newest_once(desk.trigger_instants(session), recorded)
    snapshots.record_watchlists(desk, session, scored, only=only)
    return scored


def is_live(desk: ResearchDesk, session: date) -> bool:
    """True from the open until the last trigger bar can have been looked at: what is recorded may be decided on."""
    times = desk.calendar.times(session)
    return times.opens_at <= desk.clock.now() < times.closes_at + desk.trigger.length


def _newest_once(instants: Sequence[pd.Timestamp], recorded: Sequence[datetime]) -> list[pd.Timestamp]:
    """The newest instant, unless it is on record."""
    return [instant for instant in instants[-1:] if all(pd.Timestamp(one) < instant for one in recorded)]


Step = Callable[[ResearchDesk, date], object]
STEPS: dict[str, Step] = {
    "universe": make_universe,
    "bars": make_bars,
    "indicators": make_indicators,
    "coarse_screen": make_coarse_screen,
    "regime_score": make_regime_score,
    "sabr20_watchlist": make_watchlist,
}
"""The research steps in order; each is also a Dagster asset of the same name."""


def run_research(desk: ResearchDesk, session: date, on_step: Callable[[str], None] | None = None) -> None:
    """Run every research step of one session."""
    for name, step in STEPS.items():
        step(desk, session)
        if on_step:
            on_step(name)


def is_researched(desk: ResearchDesk, session: date) -> bool:
    """True when this code and configuration have a watchlist and a regime on record for every instant due so far."""
    with desk.ledger.read() as tx:
        watchlists = {snapshot.as_of for snapshot in snapshots_of(desk.provenance, tx, session)}
        regimes = {regime.as_of for regime in regimes_of(desk.provenance, tx, session)}
    due, screens = desk.trigger_instants(session), desk.screen_instants(session)
    return bool(due) and watchlists.issuperset(due) and regimes.issuperset(screens)


def newest_as_of(frame: pd.DataFrame, at: datetime | None) -> pd.Timestamp | None:
    """The newest `as_of` in a frame, not after `at` when given; None when there is none."""
    instants = frame["as_of"] if at is None else frame.loc[frame["as_of"] <= at, "as_of"]
    return None if instants.empty else pd.Timestamp(instants.max())
