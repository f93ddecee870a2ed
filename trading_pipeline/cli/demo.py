"""demo: a synthetic market, traded through Dagster, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Any

import typer
from rich.progress import Progress

from trading_pipeline.adapters.market_facts import write_sectors
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate, sectors
from trading_pipeline.cli.context import workspace_of
from trading_pipeline.cli.launch import run_range, run_replay
from trading_pipeline.cli.output import heading, print_records, print_table, progress, say
from trading_pipeline.cli.show import show_report
from trading_pipeline.defs.instance import report_raw_bars
from trading_pipeline.defs.logs import RUN_LOGGER
from trading_pipeline.domain.errors import InputError
from trading_pipeline.services.decision_log import decision_log, log_hash
from trading_pipeline.services.funnel import session_funnel
from trading_pipeline.services.session_rows import session_rows
from trading_pipeline.wiring import SECTORS, Workspace
from trading_pipeline.wiring.relay import relay

MIN_SYMBOLS, MARKET_SESSIONS = 8, 115


def demo(
    context: typer.Context,
    sessions: Annotated[int, typer.Option(help="How many sessions to trade, the market's last", min=1, max=60)] = 5,
    symbols: Annotated[int, typer.Option(help="Made-up stocks in the market", min=MIN_SYMBOLS, max=1000)] = 40,
    seed: Annotated[int, typer.Option(help="Everything random comes from this number", min=0)] = 16,
) -> None:
    """Build a synthetic market, trade its last sessions through Dagster, and show what happened and why."""
    workspace = workspace_of(context)
    spec = SyntheticMarketSpec(seed=seed, symbols=symbols, sessions=max(MARKET_SESSIONS, 110 + sessions))
    traded = list(market_sessions(spec, workspace.calendar))[-sessions:]
    with workspace.exclusive("demo"):
        require_same_market(workspace, spec)
        say(f"Synthetic market: {symbols} stocks, 4 index funds and VIX, {spec.sessions} sessions, seed {seed}.")
        with progress() as shown:
            build_market(workspace, spec, shown)
            _trade(workspace, traded, shown)
        number_log(workspace)
    _show(workspace, traded)


def require_same_market(workspace: Workspace, spec: SyntheticMarketSpec) -> None:
    """A home holds one market: refuse to mix a second one, or real bars, with the first."""
    marker, wanted = workspace.home / "demo.json", spec.model_dump_json()
    base = workspace.bars.base_timeframe()
    if marker.exists() and marker.read_text(encoding="utf-8") != wanted:
        raise InputError(
            f"{workspace.home} holds a demo of another market ({marker.read_text(encoding='utf-8')}). "
            "Use another home: --home FOLDER, or remove it: make clean"
        )
    if not marker.exists() and base is not None:
        raise InputError(
            f"{workspace.home} holds bars that are not the demo's. Use another home: trading-pipeline demo --home DIR"
        )
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(wanted, encoding="utf-8")


def build_market(workspace: Workspace, spec: SyntheticMarketSpec, shown: Progress) -> None:
    """Write the market's bars and sectors into the home; what is there already is not written again."""
    task = shown.add_task("market", total=spec.sessions)
    write_sectors(workspace.home / SECTORS, sectors(spec))
    written = populate(
        spec, workspace.bars, workspace.calendar,
        lambda done, total: shown.update(task, completed=done, total=total),
    )  # fmt: skip
    shown.update(task, completed=spec.sessions, total=spec.sessions)
    if written.new or written.corrected:
        report_raw_bars(workspace.home, written.sessions, {"source": "synthetic", "seed": spec.seed})


def _trade(workspace: Workspace, sessions: Sequence[date], shown: Progress) -> None:
    first, last = sessions[0], sessions[-1]
    steps: tuple[tuple[str, int, Callable[[], object]], ...] = (
        ("research", 6 * len(sessions), lambda: run_range(workspace, "research_job", first, last)),
        ("trading", len(sessions), lambda: run_replay(workspace, first, last)),
        ("reports", 2 * len(sessions), lambda: run_range(workspace, "performance_report_job", first, last)),
    )
    for name, total, work in steps:
        task = shown.add_task(name, total=total)
        with _following(lambda task=task: shown.advance(task)):  # type: ignore[misc]
            work()
        shown.update(task, completed=total)


def number_log(workspace: Workspace) -> None:
    """Give what happened its place in the audit log, signed; where a relay runs it has done so already."""
    for trouble in relay(workspace, ("audit",)).run_once().values():
        if trouble:
            say(f"the audit log: {trouble}")


@contextmanager
def _following(advance: Callable[[], None]) -> Iterator[None]:
    """Advance by one for each session a run's step says it works on."""

    class Follower(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            meta: dict[str, Any] = getattr(record, "dagster_meta", {})
            if str(meta.get("orig_message", "")).startswith("session "):
                advance()

    logger, follower = logging.getLogger(RUN_LOGGER), Follower(level=logging.INFO)
    logger.addHandler(follower)
    try:
        yield
    finally:
        logger.removeHandler(follower)


def _show(workspace: Workspace, sessions: Sequence[date]) -> None:
    account, last = workspace.settings.execution.account, sessions[-1]
    _show_funnels(workspace, sessions)
    with workspace.ledger.read() as tx:
        rows = [{"session": d.isoformat(), **r} for d in sessions for r in session_rows(tx, account, d, "trades")]
        entries = [trade.trade_id for trade in tx.trades(account, sessions[0], last)]
        digest = log_hash([line for day in sessions for line in decision_log(tx, account, day)])
    heading(f"{len(rows)} closed trades")
    print_records(rows, empty="none this time: no setup of grade A passed every check; try another --seed")
    written = workspace.write_report(last)
    show_report(written.report)
    say(f"\ndecision log of all {len(sessions)} sessions  {digest}")
    say(f"report  {written.path}")
    _show_next(entries, last)


def _show_funnels(workspace: Workspace, sessions: Sequence[date]) -> None:
    account = workspace.settings.execution.account
    funnels = [session_funnel(workspace.frames, workspace.ledger, account, day) for day in sessions]
    heading("Funnel: symbols that reached each stage")
    print_table(("session", *funnels[0].counts), [(funnel.session, *funnel.counts.values()) for funnel in funnels])


def _show_next(entries: Sequence[str], last: date) -> None:
    heading("Next")
    program = ".venv/bin/trading-pipeline"
    say(f"  {program} watchlist --session {last} --all       what was scored, and how")
    if entries:
        say(f"  {program} explain {entries[0]}   a trade, back to its bars")
    say(f"  {program} funnel --session {last}                why candidates ended where they did")
    say(f"  {program} audit verify                                  that nobody changed what was recorded")
    say("  make ui                                                       runs, assets and lineage in Dagster")
