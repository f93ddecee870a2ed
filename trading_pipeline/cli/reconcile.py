"""reconcile: compare the record with the venue, and adjust it where the venue is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_table, say, say_line
from trading_pipeline.domain.errors import HomeInUseError, InputError, MissingResultError, OutcomeUnknown
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Order, OrdStatus
from trading_pipeline.domain.reconciliation import Break, Reconciliation
from trading_pipeline.services.adjustments import Adjustment, Fix, FixRequest, book_fix, plan_fix
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.reconcile import reconcile as make_pass
from trading_pipeline.wiring import Workspace

COLUMNS = ("kind", "symbol", "subject", "on record", "at the venue", "since", "blocks")


def reconcile(
    context: typer.Context,
    subject: Annotated[
        str | None, typer.Argument(metavar="SUBJECT", help="What to fix: an order's id, a symbol, or cash")
    ] = None,
    fix: Annotated[
        Fix | None, typer.Option("--fix", metavar="|".join(Fix), help="Adjust the record, marked and audited")
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="Who adjusts")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why")] = "",
    price: Annotated[str | None, typer.Option("--price", help="USD per share, where the venue tells none")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Book without asking")] = False,
    venue_url: Annotated[
        str | None, typer.Option("--venue-url", help="A venue process (venue serve). Default: what executes here")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="Only show the last pass on record; asks no venue")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the record with the venue: orders, fills, positions, cash, stops. Exit code 1 when a break blocks.

    An order in doubt ends with 1 too, whether a break blocks or not.
    """
    workspace = workspace_of(context)
    if last:
        _finish(_last_pass(workspace), _in_doubt(workspace), as_json)
    with _desk(workspace, venue_url) as (desk, session):
        if fix is not None:
            _fix(desk, session, _request(fix, subject, operator, reason, price), yes=yes, quiet=as_json)
        elif subject is not None:
            raise InputError(f"nothing to do with {subject!r}: say which --fix ({', '.join(Fix)}), or leave it out")
        passed = _passes(desk, session)
    _finish(passed, _in_doubt(workspace), as_json)


@contextmanager
def _desk(workspace: Workspace, venue_url: str | None) -> Iterator[tuple[Desk, date]]:
    """A desk at the instant the account's last session has reached, and that session."""
    account = workspace.settings.execution.account
    with workspace.ledger.read() as tx:
        records, before = tx.session_records(account), tx.last_reconciliation(account)
    if not records:
        raise MissingResultError(
            f"account {account} has not traded yet: there is nothing to compare. Run a session first: "
            "trading-pipeline session replay --session YYYY-MM-DD"
        )
    record = records[-1]
    at = record.cursor_at or record.started_at
    if before is not None:
        at = max(at, before.at + timedelta(seconds=1))
    try:
        with (
            workspace.exclusive("trading"), workspace.leading() as lease,
            closing(workspace.room(lease, venue_url=venue_url)) as room,
        ):  # fmt: skip
            yield room.desk(at, 0), record.session
    except HomeInUseError as error:
        raise HomeInUseError(
            f"{error}\nThe session loop compares by itself; see what it found: trading-pipeline reconcile --last"
        ) from error


def _passes(desk: Desk, session: date) -> Reconciliation:
    """One pass, and a second one when the first suspects something."""
    passed = make_pass(desk, session)
    if passed is not None and passed.suspected:
        desk.clock.sleep_until(desk.clock.now() + timedelta(seconds=desk.rules.reconcile.confirm_seconds))
        passed = make_pass(desk, session)
    if passed is None:
        raise OutcomeUnknown("the venue gave no answer: nothing is known of its side. Check the connection, try again")
    return passed


def _last_pass(workspace: Workspace) -> Reconciliation:
    account = workspace.settings.execution.account
    with workspace.ledger.read() as tx:
        passed = tx.last_reconciliation(account)
    if passed is None:
        raise MissingResultError(
            f"the record of {account} was never compared with its venue: trading-pipeline reconcile"
        )
    return passed


def _in_doubt(workspace: Workspace) -> Sequence[Order]:
    """No comparison ends these: nobody knows whether the venue has them."""
    with workspace.ledger.read() as tx:
        working = tx.open_orders(workspace.settings.execution.account)
    return [order for order in working if order.status is OrdStatus.IN_DOUBT]


def _request(fix: Fix, subject: str | None, operator: str, reason: str, price: str | None) -> FixRequest:
    if subject is None:
        raise InputError(f"--fix {fix.value} of what? Name the break's subject, as trading-pipeline reconcile shows it")
    return FixRequest(fix=fix, subject=subject, operator=operator, reason=reason, price=_money(price))


def _money(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation as error:
        raise InputError(f"--price {text!r} is not a number: write USD per share, as 50.25") from error


def _fix(desk: Desk, session: date, request: FixRequest, *, yes: bool, quiet: bool) -> None:
    planned = plan_fix(desk, session, request)
    if not quiet:
        _preview(planned)
    if not yes:
        typer.confirm("Book it?", abort=True, err=quiet)
    book_fix(desk, session, planned)


def _preview(planned: Adjustment) -> None:
    request = planned.request
    heading(planned.found.words)
    say_line(f"  {planned.words}")
    say_line(f"  on record as an adjustment by {request.operator}: {request.reason}")


def _finish(passed: Reconciliation, in_doubt: Sequence[Order], as_json: bool) -> None:
    """Show the pass; exit code 1 when it is not clean, or an order is in doubt."""
    found, is_clean = (*passed.breaks, *passed.suspected), passed.is_clean and not in_doubt
    if as_json:
        rows = [_json(one, confirmed=one in passed.breaks) for one in found]
        print_json({"account": passed.account, "session": passed.session.isoformat(), "at": passed.at.isoformat(),
                    "clean": is_clean, "breaks": rows,
                    "in_doubt": [order.client_order_id for order in in_doubt]})  # fmt: skip
    else:
        heading(f"{passed.account}, session {passed.session}, {passed.at:%Y-%m-%d %H:%M:%S} UTC")
        agreed = "the record agrees with the venue" + (", but for what is in doubt" if in_doubt else "")
        print_table(COLUMNS, [_row(one) for one in found], empty=agreed)
        _say_doubts(in_doubt)
    raise typer.Exit(0 if is_clean else 1)


def _say_doubts(in_doubt: Sequence[Order]) -> None:
    if not in_doubt:
        return
    say(f"  orders in doubt, of which nobody knows whether the venue has them: {len(in_doubt)}")
    for order in in_doubt:
        say_line(f"    {order.client_order_id}: {order.side.value} {plain(order.quantity)} {order.symbol}")
    say(
        "  A running session asks the venue again. After the alarm order_lost look at the venue's own screen; if it "
        "has no such order: trading-pipeline reconcile ORDER_ID --fix close-missing --operator NAME --reason TEXT"
    )


def _row(one: Break) -> tuple[object, ...]:
    since = f"{one.since:%H:%M:%S}" if one.since else ""
    return (one.kind.value.replace("_", " "), one.symbol, one.subject, one.ours, one.theirs, since, one.blocks)


def _json(one: Break, *, confirmed: bool) -> dict[str, object]:
    return {
        "kind": one.kind.value, "symbol": one.symbol, "subject": one.subject, "ours": one.ours, "theirs": one.theirs,
        "since": one.since.isoformat() if one.since else None, "blocks": one.blocks, "confirmed": confirmed,
    }  # fmt: skip
