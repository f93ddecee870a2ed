"""session run, replay"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import date, datetime
from typing import Annotated

import typer

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.cli.context import JsonOption, parse_day, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_table, progress, say
from trading_pipeline.domain.errors import InputError, MissingBarsError, OutcomeUnknown
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.configured import Acceptance
from trading_pipeline.services.replay import Replayed
from trading_pipeline.services.research import STEPS, is_researched, run_research
from trading_pipeline.services.session_rows import session_rows
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.hosting import wait_for_bars, wait_for_lead

app = typer.Typer(help="Trading sessions.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)


@app.callback()
def sessions() -> None:
    """Trading sessions."""  # with a callback a family of one verb keeps that verb's name


@app.command()
def run(
    context: typer.Context,
    session: Annotated[str | None, typer.Option("--session", help="YYYY-MM-DD. Default: the running one")] = None,
    venue_url: Annotated[
        str | None, typer.Option("--venue-url", help="A venue process (venue serve). Default: the one of this home")
    ] = None,
    market_url: Annotated[
        str | None, typer.Option("--market-url", help="Of a rehearsal: moves the market behind a broker's door")
    ] = None,
    accelerated: Annotated[
        bool, typer.Option("--accelerated", help="On stored bars, without waiting; makes missing research first")
    ] = False,
    every_session: Annotated[
        bool, typer.Option("--every-session", help="Wait for each session and run it, until a signal comes")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept-configuration", help="Let a session that was begun go on under other settings")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record")] = "",
    operator: Annotated[str, typer.Option("--operator", help="Who says so")] = "",
    as_json: JsonOption = False,
) -> None:
    """Run one session's loop in this process, to the close or until SIGTERM or Ctrl-C; stops stay at the venue."""
    if every_session:
        _run_every_session(context, session, accelerated=accelerated)
        return
    workspace = workspace_of(context)
    word = Acceptance(operator, reason, SystemClock().now()) if accept else None
    day = parse_day(session) if session else workspace.calendar.session_of(workspace.clock.now())
    require_one_venue(workspace, venue_url, market_url, accelerated=accelerated)
    if accelerated:
        require_bars(workspace, [day])
        with workspace.exclusive("trading"):
            research_missing(workspace, [day], dry_run=False)
    times = workspace.calendar.times(day)
    now = workspace.clock.now()
    is_today = now.astimezone(workspace.calendar.zone).date() == times.session
    if not as_json and not accelerated and is_today and now < times.opens_at:
        say(f"waiting for the open of {times.session} at {times.opens_at:%H:%M} UTC")
    with progress() as shown:
        task = shown.add_task(f"session {times.session}", total=None)

        def on_step(at: datetime, done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, description=f"session {times.session} {at:%H:%M} UTC")

        record = workspace.host(
            times.session, on_step, venue_url=venue_url, market_url=market_url, accelerated=accelerated, word=word
        )
    _tell(day, record, as_json=as_json)


def _tell(day: date, record: SessionRecord | None, *, as_json: bool) -> None:
    phase, digest = (record.phase.value, record.decision_hash) if record else ("not begun", "")
    if as_json:
        print_json({"session": day.isoformat(), "phase": phase, "decision_hash": digest})
        return
    say(f"session {day} is {phase}")
    if record is None or record.phase is not SessionPhase.CLOSED:
        say("Stops stay at the venue. Run the same command again: it goes on from there.")


def _run_every_session(context: typer.Context, session: str | None, *, accelerated: bool) -> None:
    """Session after session, each under the settings as they are when it begins."""
    if session or accelerated:
        raise InputError("--every-session waits for what comes: leave --session and --accelerated out")
    while True:
        workspace = workspace_of(context)
        day = due_session(workspace)
        say(f"next: session {day}, which opens at {workspace.calendar.times(day).opens_at:%Y-%m-%d %H:%M} UTC")
        if not wait_for_lead(workspace, day) or not wait_for_bars(workspace):
            return
        record = workspace.host(day)
        _tell(day, record, as_json=False)
        workspace.ledger.close()
        if record is None or record.phase is not SessionPhase.CLOSED:
            return


def due_session(workspace: Workspace) -> date:
    """The session that was begun at a broker and not finished, else today's until its close, else the next one.

    What was not finished at the simulated venue is a stored session by now, and finished by a replay.
    """
    now, calendar = workspace.clock.now(), workspace.calendar
    with workspace.ledger.read() as tx:
        records = {one.session: one for one in tx.session_records(workspace.settings.execution.account)}
    open_ones = [day for day, record in records.items() if record.phase is not SessionPhase.CLOSED]
    if open_ones and workspace.settings.broker.name != "simulated":
        return open_ones[-1]
    today = calendar.session_of(now)
    is_done = now >= calendar.times(today).closes_at and today not in open_ones
    return calendar.next(today) if is_done else today


@app.command()
def replay(
    context: typer.Context,
    session: Annotated[str, typer.Option("--session", help="First session (YYYY-MM-DD)")],
    to: Annotated[str | None, typer.Option("--to", help="Last session. Default: only the first")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Trade a fresh account and record nothing")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run stored sessions through the session loop: trade those not on record, verify those that are."""
    workspace = workspace_of(context)
    first = workspace.calendar.times(parse_day(session)).session
    sessions = workspace.calendar.sessions(first, parse_day(to) if to else first)
    require_bars(workspace, sessions)
    with workspace.exclusive("trading"):
        research_missing(workspace, sessions, dry_run=dry_run)
    done = _run(workspace, sessions, dry_run=dry_run)
    if as_json:
        print_json([_json(one) for one in done])
    else:
        _show(workspace, done, dry_run=dry_run)


def require_one_venue(
    workspace: Workspace, venue_url: str | None, market_url: str | None, *, accelerated: bool
) -> None:
    """Raise InputError unless it is clear what executes, and a market stands behind an accelerated session."""
    broker = workspace.settings.broker.name
    if market_url and (venue_url or broker == "simulated"):
        raise InputError("--market-url belongs to a broker's door (broker.name: alpaca or ib), without --venue-url")
    if accelerated and broker != "simulated" and not (venue_url or market_url):
        raise InputError(
            f"broker.name is {broker}: its market moves by the real clock, so --accelerated cannot trade there. "
            "Rehearse against a door on this machine: trading-pipeline rehearse"
        )
    for url in filter(None, (venue_url, market_url)):
        require_venue(url)


def require_venue(url: str) -> None:
    """Raise InputError when no venue process answers at `url`, before anything is begun."""
    with closing(RemoteMarket(url)) as market:
        try:
            market.symbols_of_interest()
        except OutcomeUnknown as error:
            raise InputError(
                f"no venue answers at {url!r}: nothing was begun. Start one with trading-pipeline venue serve, and "
                "give the URL it prints, as http://127.0.0.1:PORT"
            ) from error


def require_bars(workspace: Workspace, sessions: Sequence[date]) -> None:
    """Raise MissingBarsError for the first session without stored intraday bars."""
    base = workspace.bars.base_timeframe()
    stored = set(workspace.bars.sessions(base)) if base else set()
    missing = [day for day in sessions if day not in stored]
    if missing or not sessions:
        raise MissingBarsError(missing[0] if missing else date.min, [], base.value if base else "1min or 5min")


def research_missing(workspace: Workspace, sessions: Sequence[date], *, dry_run: bool) -> None:
    """Research what is to be traded; what is only verified is verified on what it was decided on."""
    with workspace.ledger.read() as tx:
        records = tx.session_records(workspace.settings.execution.account)
    done = {one.session for one in records if one.phase is SessionPhase.CLOSED and not dry_run}
    missing = [day for day in sessions if day not in done and not is_researched(workspace.research, day)]
    with progress() as shown:
        task = shown.add_task("research", total=len(missing) * len(STEPS))
        for day in missing:
            run_research(workspace.research, day, lambda name, day=day: shown.update(  # type: ignore[misc]
                task, advance=1, description=f"research {day} {name}"
            ))  # fmt: skip


def _run(workspace: Workspace, sessions: Sequence[date], *, dry_run: bool) -> list[Replayed]:
    with progress() as shown:
        task = shown.add_task("sessions", total=None)

        def on_step(day: date, at: datetime, done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, description=f"session {day} {at:%H:%M} UTC")

        run = workspace.dry_run if dry_run else workspace.replay
        return list(run(sessions[0], sessions[-1], on_step))


def _json(one: Replayed) -> dict[str, object]:
    record = one.record
    return {
        "session": record.session.isoformat(), "phase": record.phase.value, "verified": one.verified,
        "unverifiable": one.unverifiable, "decision_hash": record.decision_hash,
        "opening_equity_usd": str(record.opening_equity_usd),
    }  # fmt: skip


def _outcome(one: Replayed) -> str:
    if one.unverifiable:
        return "not verifiable"
    return "verified: decides the same again" if one.verified else "traded"


def _show(workspace: Workspace, done: Sequence[Replayed], *, dry_run: bool) -> None:
    account = workspace.settings.execution.account
    heading(f"{len(done)} sessions" + (" (dry run: nothing recorded)" if dry_run else ""))
    rows = [
        (one.record.session, _outcome(one),
         one.record.decision_hash[:16], f"{one.record.opening_equity_usd:,.2f}")
        for one in done
    ]  # fmt: skip
    print_table(("session", "what", "decision log", "opening equity"), rows)
    for one in done:
        if one.unverifiable:
            say(one.unverifiable)
    if dry_run:
        return
    with workspace.ledger.read() as tx:
        trades = [row for one in done for row in session_rows(tx, account, one.record.session, "trades")]
    heading(f"{len(trades)} trades")
    print_table(list(trades[0]) if trades else (), (list(row.values()) for row in trades))
    say(f"\nNext: trading-pipeline funnel --session {done[-1].record.session}")
