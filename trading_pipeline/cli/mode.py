"""`mode`: where the account stands on the ladder, what the next rung needs, who asked for it and who approved."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_records, print_table, say
from trading_pipeline.cli.passwords import ask_password
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.modes import LADDER, ChangeKind, Rung, limits_in_force, next_rungs
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.modes.approvals import Asking, ModeDesk
from trading_pipeline.services.modes.operators import Credentials
from trading_pipeline.services.modes.standing import last_approved
from trading_pipeline.services.modes.targets import Target, target_of
from trading_pipeline.services.modes.transitions import present_mode

if TYPE_CHECKING:
    from trading_pipeline.domain.approvals import ModeRequest
    from trading_pipeline.domain.mode_gate import GateReport
    from trading_pipeline.domain.modes import ModeState
    from trading_pipeline.wiring import Workspace

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
NOT_YET = 3
"""Exit code: evidence or approvals are still missing; the mode is as it was."""
LIMITS = ("max_trade_risk_fraction", "max_total_exposure_fraction", "daily_loss_fraction", "max_open_positions")
Why = Annotated[str, typer.Option("--reason", help="Why, for the record")]
Who = Annotated[str, typer.Option("--operator", help="Who says so; the password is asked for")]
Step = Annotated[int | None, typer.Option("--step", min=1, help="Of LIVE_SCALED. Default: as it is")]
Symbols = Annotated[int | None, typer.Option("--symbols", min=1, help="Of LIVE_SCALED. Default: as it is")]
EvidenceOf = Annotated[
    str, typer.Option("--evidence", help="Account whose record speaks for this one: of PAPER, before LIVE_MINIMAL")
]


@app.callback()
def mode() -> None:
    """The ladder of modes: SIMULATION, PAPER, LIVE_MINIMAL, LIVE_SCALED."""


@app.command()
def show(context: typer.Context, evidence: EvidenceOf = "", as_json: JsonOption = False) -> None:
    """The mode in force, its limits, and what each next rung needs, with what is measured so far."""
    workspace, desk = _open(context)
    state = desk.state()
    reports = [
        desk.report(Asking(target=one, reason="", evidence_account=evidence)) for one in _targets(desk, evidence)
    ]
    watched = _watched_until(workspace, desk)
    if as_json:
        more = {"written_by_hand": desk.by_hand(), "limits": _limits(workspace, state.rung),
                "next": [_report_json(one) for one in reports]}  # fmt: skip
        print_json({**_state_json(state), "watched_until": watched.isoformat() if watched else None, **more})
        return
    since = f" since {state.entered_at:%Y-%m-%d %H:%M:%S} UTC" if state.entered_at else ""
    say(f"account {state.account} is in {state.name}{since}")
    if by_hand := desk.by_hand():
        say(by_hand)
    elif state.is_stopped:
        say(f"Nothing is entered. It goes on as {state.rung} once that is approved: mode request RESUME")
    if watched:
        say(f"watched until {watched:%Y-%m-%d %H:%M:%S} UTC: alerts and breaker are tightened")
    print_records(_limits(workspace, state.rung))
    for report in reports:
        heading(f"next: {report.rung if report.kind.value == 'raise' else report.kind.name}")
        _show_report(report)


@app.command()
def request(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="PAPER, LIVE_MINIMAL, LIVE_SCALED, RENEW or RESUME")],
    reason: Why,
    operator: Who,
    step: Step = None,
    symbols: Symbols = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="What you say in person; may be repeated")] = None,
    equity: Annotated[str, typer.Option("--equity", help="USD, of an account without a record")] = "",
    evidence: EvidenceOf = "",
    as_json: JsonOption = False,
) -> None:
    """Measure the evidence and ask for approval. Exit code 3: it does not suffice, and nothing was asked for."""
    _, desk = _open(context)
    asking = Asking(
        target=target_of(target, step=step, symbols=symbols), reason=reason, statements=frozenset(state or ()),
        evidence_account=evidence, equity_usd=_money(equity),
    )  # fmt: skip
    made, report = desk.request(asking, Credentials(operator, ask_password(operator)))
    if as_json:
        print_json({"request": _request_json(made) if made else None, "gate": _report_json(report)})
    else:
        _show_report(report)
        say(_words_of(made, report))
    if made is None:
        raise typer.Exit(NOT_YET)


@app.command()
def approve(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST", help="As `mode request` showed it")],
    reason: Why,
    operator: Who,
    as_json: JsonOption = False,
) -> None:
    """One person's word; with the last that it takes the mode changes. Exit code 3: it takes another person yet."""
    _, desk = _open(context)
    done = desk.approve(request_id, Credentials(operator, ask_password(operator)), reason)
    if as_json:
        print_json({**_state_json(done.state), "request": request_id, "approval": done.approval.approval_id,
                    "missing": done.missing})  # fmt: skip
    elif done.missing:
        say(f"{operator} has approved {request_id}; {done.missing} more has to, until {_at(done.request.expires_at)}")
    else:
        say(f"account {done.state.account} is in {done.state.name}")
    if done.missing:
        raise typer.Exit(NOT_YET)


@app.command("step-down")
def step_down(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="SIMULATION, PAPER, LIVE_MINIMAL or LIVE_SCALED")],
    reason: Why,
    operator: Annotated[str, typer.Option("--operator", help="Who says so; no password is needed downwards")],
    step: Step = None,
    symbols: Symbols = None,
    as_json: JsonOption = False,
) -> None:
    """Down at once: no approval, no password."""
    _, desk = _open(context)
    now = desk.lower(_lower(desk.state(), target, step, symbols), reason=reason, operator=operator)
    if as_json:
        print_json(_state_json(now))
        return
    say(f"account {now.account} is in {now.name}")


@app.command()
def history(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every change of the account's mode, and every request, oldest first."""
    _, desk = _open(context)
    changes, requests = desk.history()
    if as_json:
        changed = [{**asdict(one), "at": one.at.isoformat(), "approvals": list(one.approvals)} for one in changes]
        print_json({"changes": changed, "requests": [_request_json(one) for one in requests]})
        return
    rows = [(_at(one.at), one.kind.value, str(one.before), one.state.name, one.actor, one.reason) for one in changes]
    print_table(("at", "change", "from", "to", "by", "reason"), rows, empty="the mode was never changed: SIMULATION")
    heading("requests")
    asked = [
        (one.request_id, _at(one.requested_at), one.kind.value, str(one.rung), one.requested_by, _at(one.expires_at),
         f"{len(desk.approvers(one.request_id))} of {one.approvers}", one.reason)
        for one in requests
    ]  # fmt: skip
    print_table(("request", "at", "change", "to", "by", "good until", "approvals", "reason"), asked)


def _open(context: typer.Context) -> tuple[Workspace, ModeDesk]:
    from trading_pipeline.wiring.modes import mode_desk

    workspace = workspace_of(context)
    return workspace, mode_desk(workspace)


def _targets(desk: ModeDesk, evidence: str) -> list[Target]:
    """What may be asked for from here."""
    state = desk.state()
    if state.is_stopped:
        return [Target(ChangeKind.RESUME)]
    if evidence:
        with desk.ledger.read() as tx:
            state = present_mode(tx, evidence)
    return [Target(ChangeKind.RAISE, one.mode, one.step, one.symbols) for one in next_rungs(state.rung)]


def _lower(state: ModeState, target: str, step: int | None, symbols: int | None) -> Rung:
    names = {one.value: one for one in Mode}
    wanted = names.get(target.upper())
    if wanted is None:
        raise InputError(f"{target!r} is no mode; there are: {', '.join(names)}")
    same = wanted is state.mode
    return Rung(wanted, step or (state.step if same else len(LADDER[wanted])), symbols or _kept(state, wanted))


def _kept(state: ModeState, wanted: Mode) -> int | None:
    return state.rung.symbols if wanted is state.mode else None


def _watched_until(workspace: Workspace, desk: ModeDesk) -> datetime | None:
    with workspace.ledger.read() as tx:
        last = last_approved(tx, desk.ground.account)
    until = last.at + timedelta(hours=workspace.settings.modes.watch_hours) if last and last.after.is_live else None
    return until if until is not None and desk.clock.now() < until else None


def _limits(workspace: Workspace, rung: Rung) -> list[dict[str, object]]:
    configured = workspace.settings.execution.risk
    in_force = limits_in_force(configured, rung)
    of_mode = rung.limits
    modes = (of_mode.trade_risk_fraction, of_mode.exposure_fraction, of_mode.daily_loss_fraction, of_mode.symbols)
    return [
        {
            "limit": name, "configured": _number(getattr(configured, name)),
            "mode": "any" if most is None else _number(most), "in force": _number(getattr(in_force, name)),
        } for name, most in zip(LIMITS, modes, strict=True)
    ]  # fmt: skip


def _number(value: Decimal | int) -> str:
    return plain(Decimal(value))


def _show_report(report: GateReport) -> None:
    rows = [
        ("pass" if one.passed else "FAIL", one.name, one.measured, one.threshold,
         "" if one.sample is None else one.sample, one.interval, one.note)
        for one in report.items
    ]  # fmt: skip
    print_table(("", "condition", "measured", "threshold", "sample", "95 % interval", "note"), rows)


def _words_of(made: ModeRequest | None, report: GateReport) -> str:
    if made is None:
        names = ", ".join(one.name for one in report.failed)
        return f"Not asked for: {len(report.failed)} of {len(report.items)} conditions are not met: {names}"
    people = f"{made.approvers} person" + ("" if made.approvers == 1 else "s")
    return (
        f"Request {made.request_id}: {made.rung} for account {made.account}, good until {_at(made.expires_at)}. "
        f"It takes {people}: trading-pipeline mode approve {made.request_id} --operator NAME --reason TEXT"
    )


def _money(text: str) -> Decimal | None:
    if not text:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise InputError(f"--equity {text!r} is no amount of USD: write it as 12500.50") from error
    if not amount.is_finite() or amount <= 0:
        raise InputError(f"--equity {text} must be above zero")
    return amount


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def _state_json(state: ModeState) -> dict[str, object]:
    return {
        "account": state.account, "mode": state.mode.value, "step": state.step, "symbols": state.rung.symbols,
        "stopped": state.is_stopped, "since": state.entered_at.isoformat() if state.entered_at else None,
    }  # fmt: skip


def _report_json(report: GateReport) -> dict[str, object]:
    return {
        "report_id": report.report_id, "change": report.kind.value, "target": str(report.rung),
        "account": report.account, "evidence_account": report.evidence_account, "passed": report.passed,
        "since": report.since.isoformat() if report.since else None, "items": [asdict(one) for one in report.items],
    }  # fmt: skip


def _request_json(request: ModeRequest) -> dict[str, object]:
    times = {"requested_at": request.requested_at.isoformat(), "expires_at": request.expires_at.isoformat()}
    return {**asdict(request), **times}
