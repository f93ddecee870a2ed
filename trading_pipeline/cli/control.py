"""`pause`, `resume` and `kill`: a person's word on whether anything may leave, on record and in the latch."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.cli.context import JsonOption, Options, workspace_of
from trading_pipeline.cli.output import print_json, print_table, say, say_line
from trading_pipeline.cli.passwords import ask_password
from trading_pipeline.domain.approvals import Refusal
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.errors import ModeRefused, SettingsError, TradingError
from trading_pipeline.domain.modes import ChangeKind
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.breaker import ControlView, pause_trading, require_resumable
from trading_pipeline.services.breaker import resume as resume_trading
from trading_pipeline.services.modes.approvals import Asking
from trading_pipeline.services.modes.operators import Credentials
from trading_pipeline.services.modes.stopping import needs_approval
from trading_pipeline.services.modes.targets import Target
from trading_pipeline.services.modes.transitions import present_mode
from trading_pipeline.settings import resolve_home

if TYPE_CHECKING:
    from trading_pipeline.services.kill import KillReport
    from trading_pipeline.wiring import Workspace

NOT_CONFIRMED, NOT_LATCHED = 3, 4
"""Exit codes of kill: the venue has not confirmed everything; nothing could be latched."""
OperatorOption = Annotated[str, typer.Option("--operator", help="Who says so. Default: the user of this machine")]
RESUME = "trading-pipeline resume --reason TEXT --operator NAME"
NOTHING_HOLDS = (
    "NOTHING HOLDS ENTRIES BACK: neither file nor record took it. End the session loop (trading-pipeline status names "
    "its process; kill -9 PID; stops stay at the venue), look at the venue's own screen, and run kill again"
)
STILL_CLOSING = "All positions are still to be closed, as was said before: a later kill does not take that back"
FLATTENS = "All positions are to be closed, and are not known to be yet: the session loop does it, or kill --flatten"


def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record")] = "paused by hand",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let only exits leave from now on. What works at the venue stays; without a database the latch file blocks."""
    workspace = workspace_of(context)
    clock = SystemClock()
    view, problem = pause_trading(
        lambda: workspace.ledger, workspace.latch, workspace.settings.execution.account, reason=reason,
        operator=operator or getpass.getuser(), at=clock.now(), session=workspace.calendar.session_of(clock.now()),
    )  # fmt: skip
    _tell(view, as_json)
    if problem:
        say(f"Not on record yet, the session loop will see to it: {problem}")


def resume(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why it is safe again, for the record")],
    operator: Annotated[str, typer.Option("--operator", help="Who says so")],
    override_cooldown: Annotated[
        bool, typer.Option("--override-cooldown", help="Before the cooldown is over; the reason says why")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let entries leave again, once the cooldown is over, its cause is gone, and record and venue agree.

    Above SIMULATION the operator's password is asked for. What was halted there waits for the end of the cooldown, and
    where it takes two people, another one approves as well.
    """
    workspace = workspace_of(context)
    _approve_going_on(workspace, reason, operator, override_cooldown)
    view = resume_trading(
        workspace.ledger, workspace.latch, workspace.settings.execution, reason=reason, operator=operator,
        at=SystemClock().now(), override_cooldown=override_cooldown,
    )  # fmt: skip
    _tell(view, as_json)


def _approve_going_on(workspace: Workspace, reason: str, operator: str, override_cooldown: bool) -> None:
    """Above SIMULATION who says so is proven; what was halted, the operator asks to go on with, and approves."""
    from trading_pipeline.wiring.modes import mode_desk

    rules = workspace.settings.execution
    view = require_resumable(
        workspace.ledger, workspace.latch, rules, at=SystemClock().now(), override_cooldown=override_cooldown
    )  # fmt: skip
    is_halted = view.state is TradingState.HALTED
    with workspace.ledger.read() as tx:
        is_simulated = present_mode(tx, rules.account).mode is Mode.SIMULATION
        if is_simulated or (is_halted and not needs_approval(tx, rules.account)):
            return
    desk, who = mode_desk(workspace), Credentials(operator, ask_password(operator))
    if not is_halted:  # a pause, or a row of failures: the mode was not stopped
        desk.operators.prove(who, "resume")
        return
    request, report = desk.request(Asking(target=Target(ChangeKind.RESUME), reason=reason), who)
    if request is None:
        wrong = "; ".join(f"{one.name}: {one.measured} (needs {one.threshold})" for one in report.failed)
        raise TradingError(f"not resumed: {wrong}")
    done = desk.approve(request.request_id, who, reason)
    if done.missing:
        raise ModeRefused(
            Refusal.MISSING_APPROVAL,
            f"not resumed yet: {done.missing} more has to approve it: trading-pipeline mode approve "
            f"{request.request_id} --operator NAME --reason TEXT; then resume again",
        )


def kill(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record")] = "killed by hand",
    operator: OperatorOption = "",
    flatten: Annotated[bool, typer.Option("--flatten", help="Also close all positions")] = False,
    venue_url: Annotated[
        str | None, typer.Option("--venue-url", help="Of a venue process (venue serve), where the session trades there")
    ] = None,
    patience: Annotated[
        float, typer.Option("--patience", min=0.1, max=600, help="Seconds to wait for the venue's confirmation")
    ] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Stop all trading: latch, cancel entries at the venue itself, keep the stops.

    Exit code 0: the venue has confirmed it all; 3: latched, not all confirmed; 4: nothing could be latched.
    """
    from trading_pipeline.services.kill import a_kill
    from trading_pipeline.services.kill import kill as kill_all
    from trading_pipeline.wiring.emergency import kill_means

    workspace = _workspace_to_stop(context)
    means = kill_means(workspace, venue_url, patience_seconds=patience)
    where = f"{workspace.home}, broker {workspace.settings.broker.name}"
    trip = a_kill(
        means.account, means.session, operator=operator or getpass.getuser(), reason=reason, flatten=flatten,
        clock=means.clock,
    )  # fmt: skip
    done = kill_all(means, trip)
    if as_json:
        print_json({"where": where, **_as_json(done)})
    else:
        _show(done, where)
    if not done.is_latched and not done.is_on_record:
        raise typer.Exit(NOT_LATCHED)
    if not done.is_done:
        raise typer.Exit(NOT_CONFIRMED)


def _workspace_to_stop(context: typer.Context) -> Workspace:
    """Raises SettingsError that says how to stop without settings: a latch file that cannot be read blocks."""
    try:
        return workspace_of(context)
    except SettingsError as error:
        home = resolve_home((context.obj or Options()).home)
        raise SettingsError(
            f"{error}\nNothing was stopped. To hold entries back at once: touch {home}/latch-ACCOUNT.json, with the "
            "account's name; then correct the settings, or leave them out, and run kill again"
        ) from error


def _tell(view: ControlView, as_json: bool) -> None:
    if as_json:
        print_json(control_json(view))
        return
    say(f"account {view.account} is {view.state.value}")
    for cause in view.causes:
        since = f", since {cause.since:%Y-%m-%d %H:%M:%S} UTC" if cause.since else ""
        say_line(f"  {cause.kind} {cause.name}: {cause.words}{since}")
    if view.flattens:
        say(FLATTENS)
    if view.is_latched:
        say(f"No entry leaves. Stops stay at the venue. Again: {RESUME}")


def control_json(view: ControlView) -> dict[str, object]:
    """How the account stands, for machines."""
    return {
        "account": view.account, "state": view.state.value, "latched": view.is_latched, "flattens": view.flattens,
        "since": view.since.isoformat() if view.since else None,
        "cooldown_until": view.cooldown_until.isoformat() if view.cooldown_until else None,
        "causes": [
            {
                "kind": cause.kind, "name": cause.name, "words": cause.words, "measured": cause.measured,
                "limit": cause.limit, "since": cause.since.isoformat() if cause.since else None,
            } for cause in view.causes
        ],
    }  # fmt: skip


def _show(done: KillReport, where: str) -> None:
    left = {order.client_order_id for order in done.left}
    rows = [
        ("still works" if name in left else "canceled", one.symbol, one.side.value, plain(one.quantity), name)
        for name, one in sorted(done.canceled.items())
    ]
    rows += [("kept", one.symbol, one.side.value, plain(one.quantity), one.client_order_id) for one in done.kept]
    rows += [("sale sent", one.symbol, one.side.value, plain(one.quantity), one.client_order_id) for one in done.sold]
    print_table(("what", "symbol", "side", "shares", "order"), rows, empty=_nothing(done))
    say(f"in {where}")  # a kill in the wrong home stops nothing
    for line in _lines(done):
        say(line)


def _nothing(done: KillReport) -> str:
    return "the venue was not reached" if done.sent_ms is None else "nothing worked at the venue"


def _lines(done: KillReport) -> list[str]:
    account = done.trip.account
    latched = f"account {account} is HALTED, latched{_ms(done.latched_ms)}"
    lines = [latched if done.is_latched else f"account {account}: THE LATCH FILE COULD NOT BE WRITTEN"]
    if done.sent_ms is not None and done.left_to:
        lines.append(f"{len(done.canceled)} order(s) left to {done.left_to}: the latch tells it to cancel them")
    elif done.sent_ms is not None:
        lines.append(f"{len(done.canceled)} order(s) asked to end{_ms(done.sent_ms)}")
    if done.is_verified:
        lines.append(f"the venue shows none of them working{_ms(done.verified_ms)}")
    elif done.sent_ms is not None:
        lines.append(f"NOT CONFIRMED: the venue still shows {len(done.left)} of them. {_next(done)}")
    lines += [f"BARE: {plain(shares)} {symbol} lie under no stop: --flatten sells them" for symbol, shares in done.bare]
    closing = {
        "flat": f"flat: the venue shows no position and no order{_ms(done.flat_ms)}",
        "queued": "queued for the next open, not flat yet: the market is closed",
        "open": f"NOT FLAT: the venue shows {len(done.positions)} position(s). {_next(done)}",
    }
    lines += [closing[done.flat]] if done.flat else []
    lines += [STILL_CLOSING] if done.still_closing else []
    is_held = done.is_latched or done.is_on_record
    return [*lines, *done.problems, f"No entry leaves until: {RESUME}" if is_held else NOTHING_HOLDS]


def _next(done: KillReport) -> str:
    if not done.left_to:
        return "Run the same command again"
    return (
        f"Only {done.left_to} may change orders. If it hangs: end it (trading-pipeline status names the process; "
        "kill -9 PID; its stops stay at the venue), then run the same command again: that one changes them itself"
    )


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f" after {milliseconds:.0f} ms"


def _as_json(done: KillReport) -> dict[str, object]:
    def orders(found: object) -> list[dict[str, str]]:
        return [
            {"order": one.client_order_id, "symbol": one.symbol, "side": one.side.value, "shares": plain(one.quantity)}
            for one in found  # type: ignore[attr-defined]
        ]

    return {
        "account": done.trip.account, "latched": done.is_latched, "on_record": done.is_on_record,
        "left_to": done.left_to or None, "verified": done.is_verified, "flat": done.flat or None,
        "still_closing": done.still_closing,
        "canceled": orders(done.canceled.values()),
        "still_working": orders(done.left), "kept": orders(done.kept), "sold": orders(done.sold),
        "bare": {symbol: plain(shares) for symbol, shares in done.bare}, "latched_ms": done.latched_ms,
        "sent_ms": done.sent_ms, "verified_ms": done.verified_ms, "flat_ms": done.flat_ms, "problems": done.problems,
    }  # fmt: skip
