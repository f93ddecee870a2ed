"""data fetch, stream: bars from a vendor"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer

from trading_pipeline.cli.context import JsonOption, parse_day, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_table, progress, say
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.services.fetch import FetchReport, FetchRequest, last_over, symbols_of
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.hosting import wait_for_lead
from trading_pipeline.wiring.market_data import Provider, StreamStatus, fetch_bars, history, record_session

ProviderOption = Annotated[Literal["alpaca", "ib", "synthetic"], typer.Option(help="Whose bars; synthetic: made up")]
SHOWN = 10


def fetch(
    context: typer.Context,
    provider: ProviderOption,
    symbols: Annotated[str, typer.Option(help="A,B,C or @FILE with one a line")],
    first: Annotated[str, typer.Option("--from", help="First date")],
    last: Annotated[
        str | None, typer.Option("--to", help="Last date. Default: the newest session that is over")
    ] = None,
    timeframe: Annotated[
        Literal["1min", "5min"] | None, typer.Option(help="Default: what is stored, else 5min")
    ] = None,
    daily: Annotated[bool, typer.Option("--daily", help="Daily bars: for universe and regime")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask also for what is there; corrections are stored")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch bars and corporate actions of past sessions. Run again, it goes on where it was stopped."""
    workspace = workspace_of(context)
    request = FetchRequest(
        symbols=symbols_of(symbols, read=_read), timeframe=_timeframe(workspace, timeframe, daily=daily),
        first=parse_day(first), last=parse_day(last) if last else last_over(workspace.calendar, workspace.clock.now()),
        again=again,
    )  # fmt: skip
    if request.last < request.first:
        raise InputError(f"there is nothing from {request.first} to {request.last}: give --from before --to")
    with history(workspace, provider) as source, progress() as shown:
        task = shown.add_task(f"fetching {request.timeframe.value} bars of {provider}", total=None)
        report = fetch_bars(
            workspace, source, request, lambda done, total: shown.update(task, completed=done, total=total)
        )
    if report.new + report.corrected:
        told = {"source": report.provider, "feed": report.feed, "timeframe": report.timeframe.value}
        _tell_dagster(workspace, report.sessions, **told)
    if as_json:
        print_json(_summary(report))
    else:
        _show(report)
    if report.refused and len(report.refused) == len(request.symbols):
        raise InputError("none of the symbols could be fetched: see the reasons.")


def stream(
    context: typer.Context,
    provider: ProviderOption,
    symbols: Annotated[
        str | None, typer.Option(help="A,B,C or @FILE. Default: the session's universe and the index funds")
    ] = None,
    no_research: Annotated[bool, typer.Option("--no-research", help="Only bars: no watchlists are made")] = False,
    every_session: Annotated[
        bool, typer.Option("--every-session", help="Wait for each session and record it, until a signal comes")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Record today's session as its bars close, with a watchlist after each 15-minute close, until SIGTERM or Ctrl-C.

    The session's loop (session run) trades on what is recorded here; both may be stopped and started at any time.
    """
    chosen = symbols_of(symbols, read=_read) if symbols else None
    while True:
        workspace = workspace_of(context)
        if every_session and not _waited_for_next(workspace):
            return
        status = _record(workspace, provider, chosen, with_research=not no_research)
        _tell(status, as_json=as_json)
        if not every_session or status.closed_until != workspace.calendar.times(status.session).closes_at:
            return
        workspace.ledger.close()


def _waited_for_next(workspace: Workspace) -> bool:
    """Wait for the lead of today's session until its close, then of the next one; False when a signal came instead."""
    now, calendar = workspace.clock.now(), workspace.calendar
    today = calendar.session_of(now)
    session = today if now < calendar.times(today).closes_at else calendar.next(today)
    say(f"next: session {session}, which opens at {calendar.times(session).opens_at:%Y-%m-%d %H:%M} UTC")
    return wait_for_lead(workspace, session)


def _record(
    workspace: Workspace, provider: Provider, symbols: Sequence[str] | None, *, with_research: bool
) -> StreamStatus:
    from trading_pipeline.defs.instance import telling
    from trading_pipeline.defs.stream_reports import StreamReports

    with progress() as shown, telling(workspace.home) as tell:
        task, reports = shown.add_task("opening the stream", total=None), StreamReports(tell, workspace)

        def on_fetch(done: int, total: int) -> None:
            shown.update(task, description="fetching the made-up market's past", completed=done, total=total)

        def on_status(status: StreamStatus) -> None:
            shown.update(task, description=_line(status), total=None)
            reports.tell(status)

        return record_session(
            workspace, provider, symbols, with_research=with_research, on_status=on_status, on_fetch=on_fetch,
            on_fetched=reports.fetched,
        )  # fmt: skip


def _tell(status: StreamStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(_status(status))
    else:
        print_table(("", ""), [(key.replace("_", " "), value) for key, value in _status(status).items()])


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the file of symbols {name!r} cannot be read: {error}") from error


def _timeframe(workspace: Workspace, given: str | None, *, daily: bool) -> Timeframe:
    if daily and given:
        raise InputError("--daily and --timeframe contradict each other: give one of them")
    if daily:
        return Timeframe.DAY1
    return Timeframe(given) if given else workspace.bars.base_timeframe() or Timeframe.MIN5


def _tell_dagster(workspace: Workspace, sessions: Collection[date], **told: str) -> None:
    from trading_pipeline.defs.instance import report_raw_bars

    report_raw_bars(workspace.home, sorted(sessions), told)


def _summary(report: FetchReport) -> dict[str, object]:
    return {
        "provider": report.provider, "feed": report.feed, "timeframe": report.timeframe.value,
        "asked": report.asked, "present": report.present, "new": report.new, "corrected": report.corrected,
        "unchanged": report.unchanged, "set_aside": dict(report.reasons), "corporate_actions": report.actions,
        "actions_not_applied": dict(report.unapplied_actions), "refused": report.refused,
        "without_bars": list(report.without_bars), "not_available_yet": [day.isoformat() for day in report.unavailable],
        "sessions": len(report.sessions), "symbols": len(report.symbols),
    }  # fmt: skip


def _show(report: FetchReport) -> None:
    heading(f"{report.timeframe.value} bars of {report.provider} (feed {report.feed})")
    rows = [
        ("asked for (symbol-sessions)", report.asked), ("there already", report.present), ("new bars", report.new),
        ("corrected", report.corrected), ("unchanged", report.unchanged), ("set aside", sum(report.reasons.values())),
        ("corporate actions", report.actions), ("sessions", len(report.sessions)), ("symbols", len(report.symbols)),
    ]  # fmt: skip
    print_table(("", ""), [(name, f"{count:,}") for name, count in rows])
    _list("Set aside, with the reason", {reason: f"{count:,}" for reason, count in sorted(report.reasons.items())})
    _list("Refused", report.refused)
    _list("No bars at all", dict.fromkeys(report.without_bars, "not listed then, or not traded"))
    _list("Actions that are not applied", {kind: str(count) for kind, count in report.unapplied_actions.items()})
    if report.unavailable:
        say(f"\n{len(report.unavailable)} sessions are not over yet for this plan (first: {report.unavailable[0]}).")
    say("\nNext: trading-pipeline data check")


def _list(title: str, rows: Mapping[str, str]) -> None:
    if rows:
        say(f"\n{title}: {len(rows)}" + (f", the first {SHOWN}" if len(rows) > SHOWN else ""))
        print_table(("", ""), list(rows.items())[:SHOWN])


def _line(status: StreamStatus) -> str:
    until = f"{status.closed_until:%H:%M}" if status.closed_until else "the open"
    state = "STALE" if status.is_stale else "live"
    return f"{status.session} {status.symbols} symbols to {until} UTC, {status.snapshots} watchlists, {state}"


def _status(status: StreamStatus) -> dict[str, object]:
    counts = status.counts
    return {
        "session": status.session.isoformat(), "provider": status.provider, "feed": status.feed,
        "symbols": status.symbols, "closed_until": _text(status.closed_until), "received": counts.received,
        "new": counts.new, "corrected": counts.corrected, "late": counts.late, "repaired": counts.repaired,
        "outside_hours": counts.outside, "unusable": counts.unusable, "reconnects": counts.reconnects,
        "watchlists": status.snapshots, "newest_watchlist": _text(status.newest_snapshot),
        "problem": status.problem,
    }  # fmt: skip


def _text(value: date | None) -> str | None:
    return None if value is None else value.isoformat()
