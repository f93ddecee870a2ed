"""Looking at the record: positions, orders, trades, watchlist, decisions, funnel, explain, report."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import pandas as pd
import typer

from trading_pipeline.cli.context import LATEST, JsonOption, SessionOption, chosen_session, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_records, print_table, say, say_below, say_line
from trading_pipeline.domain.errors import InputError, MissingResultError
from trading_pipeline.domain.reports import PositionView, SessionReport
from trading_pipeline.services.decision_log import as_json, decision_log, log_hash
from trading_pipeline.services.explain import explain as explain_order
from trading_pipeline.services.funnel import session_funnel
from trading_pipeline.services.journal import current_positions
from trading_pipeline.services.reporting import report_json, require_session
from trading_pipeline.services.research import newest_as_of, score_session
from trading_pipeline.services.session_rows import session_rows

if TYPE_CHECKING:
    from trading_pipeline.wiring import Workspace

NEW_YORK = ZoneInfo("America/New_York")
COMPONENTS = (
    "setup_strength", "bottom_phase", "accumulation_intensity", "trend_momentum", "risk_reward", "volume_profile",
)  # fmt: skip
WATCHLIST_FIELDS = ("symbol", "as_of", "score", "grade", *COMPONENTS, "state", "rr", "entry", "stop", "target")
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="Instant (ISO, or HH:MM in New York). Default: newest")]


def positions(context: typer.Context, as_json: JsonOption = False) -> None:
    """Open positions: price, open P&L and R, stop and target, and the setup they came from."""
    workspace = workspace_of(context)
    with workspace.ledger.read() as tx:
        held = [_with_age(view, workspace) for view in current_positions(tx, workspace.settings.execution.account)]
    if as_json:
        print_json(held)
    else:
        print_records(held, empty="no positions")


def _with_age(view: PositionView, workspace: Workspace) -> dict[str, object]:
    """A position as shown; age_seconds tells how old its price is."""
    age = None if view.priced_at is None else int((workspace.clock.now() - view.priced_at).total_seconds())
    return {**as_json_record(view), "age_seconds": age}


def orders(context: typer.Context, session: SessionOption = LATEST, as_json: JsonOption = False) -> None:
    """Orders of a session and where they stand."""
    _show_rows(context, "orders", session, as_json)


def trades(context: typer.Context, session: SessionOption = "all", as_json: JsonOption = False) -> None:
    """Closed trades, of all sessions or of one."""
    _show_rows(context, "trades", session, as_json)


def _show_rows(context: typer.Context, asset: str, session: str, as_json: bool) -> None:
    workspace = workspace_of(context)
    account = workspace.settings.execution.account
    chosen = None if session == "all" else chosen_session(workspace, session, traded=True)
    with workspace.ledger.read() as tx:
        if chosen:
            require_session(tx, account, chosen)
        days = [chosen] if chosen else [record.session for record in tx.session_records(account)]
        rows = [{"session": day.isoformat(), **row} for day in days for row in session_rows(tx, account, day, asset)]
    if as_json:
        print_json(rows)
    else:
        print_records(rows, empty=f"no {asset}")


def watchlist(
    context: typer.Context,
    session: SessionOption = LATEST,
    as_of: AsOfOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Every scored setup, not only the selected")] = False,
    no_coarse: Annotated[bool, typer.Option("--no-coarse", help="Score the whole universe, storing nothing")] = False,
    as_json: JsonOption = False,
) -> None:
    """The SABR20 watchlist at one instant, with the raw points of its six components."""
    workspace = workspace_of(context)
    day = chosen_session(workspace, session)
    scored = (
        score_session(workspace.research, day, use_coarse=False)
        if no_coarse
        else workspace.frames.read("sabr20_watchlist", day)
    )
    scored = scored[scored["scored"].astype(bool)]
    at = newest_as_of(scored, parse_instant(as_of, day) if as_of else None)
    if at is None and as_of is not None:
        raise MissingResultError(f"nothing was scored in {day} at or before {as_of}; the first is {_first(scored)}.")
    shown = scored[scored["as_of"] == at].sort_values("rank")
    rows = shown if all_ else shown[shown["selected"].astype(bool)]
    _show_watchlist(rows, day, at, len(shown), as_json)


def _first(scored: pd.DataFrame) -> str:
    return f"{scored['as_of'].min().tz_convert(NEW_YORK):%H:%M} New York" if len(scored) else "not there either"


def parse_instant(text: str, day: date) -> datetime:
    """An instant: ISO with a zone, or HH:MM of the session in New York. Raises InputError otherwise."""
    try:
        instant = datetime.fromisoformat(text if len(text) > 5 else f"{day.isoformat()}T{text}")
    except ValueError as error:
        raise InputError(f"{text!r} is not an instant: write 10:30 (New York) or 2025-06-10T14:30:00Z") from error
    instant = instant if instant.tzinfo else instant.replace(tzinfo=NEW_YORK)
    if instant.astimezone(NEW_YORK).date() != day:
        raise InputError(f"{text} is not on {day}: give an instant of that session, or another --session.")
    return instant


def _show_watchlist(rows: pd.DataFrame, day: date, at: pd.Timestamp | None, scored: int, as_json: bool) -> None:
    fields = rows[list(WATCHLIST_FIELDS)]
    if as_json:
        print_json([_setup_json(row) for row in fields.to_dict(orient="records")])
        return
    when = f"{at.tz_convert(NEW_YORK):%H:%M} New York" if at is not None else "never"
    heading(f"{day} at {when}: {len(rows)} of {scored} scored setups")
    short = fields.drop(columns=["as_of"]).rename(columns={name: name.replace("_", " ") for name in COMPONENTS})
    print_table(list(short.columns), short.to_numpy().tolist(), empty="no setup is on the watchlist then; try --all")


def _setup_json(row: dict[Any, Any]) -> dict[str, object]:
    return {str(key): value.isoformat() if isinstance(value, pd.Timestamp) else value for key, value in row.items()}


def decisions(
    context: typer.Context,
    session: SessionOption = LATEST,
    hash_: Annotated[bool, typer.Option("--hash", help="Only the SHA-256 of the decision log")] = False,
    log: Annotated[bool, typer.Option("--log", help="The decision log itself: canonical JSON lines")] = False,
    as_json: JsonOption = False,
) -> None:
    """What the risk checks decided in a session; its decision log and the log's hash."""
    workspace = workspace_of(context)
    day, account = chosen_session(workspace, session, traded=True), workspace.settings.execution.account
    with workspace.ledger.read() as tx:
        require_session(tx, account, day)
        lines = decision_log(tx, account, day)
        found, rows = tx.decisions(account, day), session_rows(tx, account, day, "trade_decisions")
    if hash_:
        say(log_hash(lines))
    elif log:
        for line in lines:
            say_line(line)
    elif as_json:
        print_json([as_json_record(decision) for decision in found])
    else:
        heading(f"{day}: {len(rows)} decisions; log {log_hash(lines)[:16]}")
        print_records(rows, empty="nothing was decided")


def as_json_record(record: object) -> dict[str, object]:
    """A record as plain JSON values."""
    return dict(as_json(record))


def funnel(context: typer.Context, session: SessionOption = LATEST, as_json: JsonOption = False) -> None:
    """From universe to closed trades: how many came how far, and why the others did not."""
    workspace = workspace_of(context)
    day = chosen_session(workspace, session)
    found = session_funnel(workspace.frames, workspace.ledger, workspace.settings.execution.account, day)
    if as_json:
        ends = [{"symbol": c.symbol, "stage": c.stage, "reason": c.reason} for c in found.candidates]
        print_json({"session": day.isoformat(), **found.counts, "candidates": ends})
        return
    heading(f"{day}: symbols by the stage they reached, and why they ended there")
    rows = [(stage, count, _reasons(found.reasons(stage))) for stage, count in found.counts.items()]
    print_table(("stage", "symbols", "ended here because"), rows)


def _reasons(reasons: dict[str, int], most: int = 6) -> str:
    shown = [f"{count} {reason}" for reason, count in list(reasons.items())[:most]]
    left = sum(list(reasons.values())[most:])
    return "; ".join(shown) + (f"; {left} otherwise" if left else "")


def explain(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="CLIENT_ORDER_ID", help="An order's or a trade's id")],
    as_json: JsonOption = False,
) -> None:
    """Walk back from a fill to the bars it was decided on."""
    workspace = workspace_of(context)
    found = explain_order(workspace.research, identity)
    if as_json:
        print_json(found.to_json())
        return
    for section in found.sections:
        heading(section.title)
        for label, value in section.lines:
            say_line(f"  {label:<24} {value}")


def report(context: typer.Context, session: SessionOption = LATEST, as_json: JsonOption = False) -> None:
    """A session's performance; also writes its HTML page."""
    workspace = workspace_of(context)
    day = chosen_session(workspace, session, traded=True)
    written = workspace.write_report(day)
    if as_json:
        print_json({"path": str(written.path), **report_json(written.report)})
        return
    show_report(written.report)
    say(f"\nreport  {written.path}")


def show_report(found: SessionReport) -> None:
    """The figures people look at first."""
    daily = found.daily
    heading(f"{found.session}, account {found.account}")
    rows = (
        ("equity at the close", f"{daily.closing_equity_usd:,.2f} USD"),
        ("net P&L of closed trades", f"{daily.net_usd:+,.2f} USD"),
        ("trades, wins, losses", f"{daily.trades}, {daily.wins}, {daily.losses}"),
        ("average R", "-" if daily.average_r is None else f"{daily.average_r:+.2f}"),
        ("return of the session", f"{daily.return_fraction:+.3%}"),
        ("deepest drawdown in it", f"{daily.max_drawdown_fraction:.3%}"),
        ("total return so far", f"{found.total_return_fraction:+.3%}"),
        ("Sharpe so far", f"{found.sharpe:.2f} (few sessions say little)"),
        ("decision log", found.origin.decision_hash[:16]),
    )
    print_table(("", ""), rows)
    for remark in found.remarks:
        say_below(remark)
