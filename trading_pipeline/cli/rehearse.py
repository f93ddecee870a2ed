"""rehearse: whole accelerated sessions of the real system against a broker's door, and a verdict."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from trading_pipeline.adapters.report_page.rehearsal import write_verdict
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec
from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.demo import MARKET_SESSIONS, build_market, require_same_market
from trading_pipeline.cli.output import heading, print_json, print_table, progress, say
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.rehearsal import Verdict
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.rehearsal import Plan, Rehearsal

FAILED = 1


class Venue(StrEnum):
    """Whose protocol the venue speaks."""

    ALPACA = "alpaca"
    IB = "ib"


def rehearse(
    context: typer.Context,
    broker: Annotated[Venue, typer.Option(help="Whose protocol the venue speaks")],
    sessions: Annotated[int, typer.Option(help="How many sessions, the last with bars", min=1, max=250)] = 5,
    seed: Annotated[int, typer.Option(help="Faults and kills come from this number", min=0)] = 1,
    fault_rate: Annotated[float, typer.Option(help="Part of all calls that go wrong", min=0, max=0.5)] = 0.02,
    kills: Annotated[int, typer.Option(help="How often each session's loop is killed", min=0, max=20)] = 1,
    folder: Annotated[Path | None, typer.Option(help="A new folder for all of it. Default: in the home")] = None,
    as_json: JsonOption = False,
) -> None:
    """Trade the last sessions through a broker's own client against a door on this machine, with random faults.

    The code is the one that trades; only the address differs. Exit code 1 when the verdict is not clean.
    """
    workspace = workspace_of(context)
    with progress() as shown:
        if workspace.bars.base_timeframe() is None:
            spec = SyntheticMarketSpec(seed=16, symbols=40, sessions=MARKET_SESSIONS)
            require_same_market(workspace, spec)
            build_market(workspace, spec, shown)
        days = _last(workspace, sessions)
        plan = Plan(broker=broker.value, sessions=days, seed=seed, fault_rate=fault_rate, kills=kills)
        task = shown.add_task(f"sessions through the {broker.value} door", total=len(days))
        rehearsal = Rehearsal(
            workspace, plan, (folder or _next_folder(workspace, broker)).resolve(), lambda *_: shown.advance(task)
        )
        verdict = rehearsal.run()
    page = write_verdict(rehearsal.folder / "verdict.html", verdict)
    if as_json:
        print_json(_json(verdict, page))
    else:
        _show(verdict, page)
    if not verdict.is_clean:
        raise typer.Exit(FAILED)


def _last(workspace: Workspace, wanted: int) -> list[date]:
    base = workspace.bars.base_timeframe()
    stored = list(workspace.bars.sessions(base)) if base else []
    if len(stored) < wanted:
        raise InputError(f"{wanted} sessions asked for, and {workspace.home} has intraday bars of {len(stored)}")
    return stored[-wanted:]


def _next_folder(workspace: Workspace, broker: Venue) -> Path:
    parent = workspace.home / "rehearsals"
    names = (parent / f"{broker.value}-{number}" for number in count(1))
    return next(path for path in names if not path.exists())


def _show(verdict: Verdict, page: Path) -> None:
    heading(f"{len(verdict.sessions)} sessions through the {verdict.broker} door")
    print_table(
        ("session", "is", "orders", "fills", "trades", "net usd", "alarms", "kills", "restarts"),
        [
            (s.session, s.phase, s.orders, s.fills, s.trades, f"{s.net_usd:,.2f}", s.alarms, s.kills, s.restarts)
            for s in verdict.sessions
        ],
    )
    heading("What went wrong at the door")
    print_table(("fault", "times"), list(verdict.faults.items()), empty="nothing: no fault was played")
    heading("What the loop said of it")
    print_table(("alarm", "times"), list(verdict.alarms.items()), empty="nothing")
    heading("What must hold")
    print_table(
        ("", "what", "measured"),
        [("holds" if check.holds else "BROKEN", check.name, check.measured) for check in verdict.checks],
    )
    say(f"\nverdict  {'clean' if verdict.is_clean else 'NOT CLEAN'}")
    say(f"page     {page}")


def _json(verdict: Verdict, page: Path) -> dict[str, object]:
    sessions = [
        asdict(one) | {"session": one.session.isoformat(), "net_usd": str(one.net_usd)} for one in verdict.sessions
    ]
    return {
        "broker": verdict.broker, "is_clean": verdict.is_clean, "sessions": sessions,
        "checks": [asdict(check) for check in verdict.checks], "faults": dict(verdict.faults),
        "alarms": dict(verdict.alarms), "page": str(page),
    }  # fmt: skip
