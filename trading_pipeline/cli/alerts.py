"""`alerts`: what was raised and whom it reached, taking notice of it, and whether the channels work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import complain, print_json, print_table, say, say_below, say_line
from trading_pipeline.domain.alert_kinds import KINDS
from trading_pipeline.domain.alert_rules import severity
from trading_pipeline.domain.control import Alert, AlertLevel, AuditEntry
from trading_pipeline.domain.errors import InputError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trading_pipeline.domain.alerting import Acknowledgement, Delivery
    from trading_pipeline.ports.alerting import AlertTransaction
    from trading_pipeline.services.alerting.trial import Trial
    from trading_pipeline.settings import Settings
    from trading_pipeline.wiring import Workspace

    Row = tuple[Alert, Acknowledgement | None]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
LOOK_BACK = 10_000
"""Newest alerts that are searched when not all are wanted."""
MOST_CHARACTERS = 300
"""Of an alert's words in a list."""
SET_UP = "Set one up: docs/alerts.md"

OperatorOption = Annotated[str, typer.Option("--operator", help="Who takes notice")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, or what is done about it")]


@app.callback()
def alerts() -> None:
    """Alerts: what was raised, whom it reached, and who took notice."""


@app.command("list")
def list_(
    context: typer.Context,
    is_open: Annotated[
        bool, typer.Option("--unacknowledged", "--open", help="Only CRITICAL ones that nobody took notice of")
    ] = False,
    since: Annotated[str, typer.Option("--since", help="From this day or instant on (YYYY-MM-DD[THH:MM], UTC)")] = "",
    level: Annotated[
        AlertLevel | None, typer.Option("--level", help="This loud or louder", case_sensitive=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LOOK_BACK, help="At most so many, the newest")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The newest alerts first, with who took notice of each."""
    after, workspace = _instant(since), workspace_of(context)
    least = severity(AlertLevel.CRITICAL if is_open else level or AlertLevel.INFO)
    is_picky = is_open or after is not None or least > 0
    with workspace.ledger.read() as tx:
        found = tx.recent_alerts(limit=LOOK_BACK if is_picky else limit)
    rows = [
        (alert, noticed) for alert, noticed in found
        if severity(alert.level) >= least and (after is None or alert.occurred_at >= after)
        and not (is_open and noticed)
    ][:limit]  # fmt: skip
    if as_json:
        print_json([_as_json(alert, noticed) for alert, noticed in rows])
        return
    if not rows:
        say("  nobody is waited for" if is_open else "  no alert")
    for one, noticed in rows:
        _print(one, noticed)


def _print(alert: Alert, noticed: Acknowledgement | None) -> None:
    """A line of what it is, and its words below; the most of a long text is left to `show`."""
    say_line(f"{_at(alert.occurred_at)} UTC  {alert.level.value:8}  {alert.kind}  {alert.alert_id}")
    message = alert.message
    if len(message) > MOST_CHARACTERS:
        message = f"{message[:MOST_CHARACTERS]}… (whole: trading-pipeline alerts show {alert.alert_id})"
    say_below(message)
    if noticed:
        say_below(f"acknowledged by {noticed.operator} at {_at(noticed.acknowledged_at)} UTC")


@app.command()
def show(
    context: typer.Context,
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="As `alerts list` shows it")],
    as_json: JsonOption = False,
) -> None:
    """One alert: its words and numbers, what became of it in each channel, and who took notice."""
    with workspace_of(context).ledger.read() as tx:
        alert, deliveries, noticed = _require(tx, alert_id), tx.deliveries(alert_id), tx.acknowledgement(alert_id)
    if as_json:
        print_json({**_as_json(alert, noticed), "deliveries": [_delivery_json(one) for one in deliveries]})
        return
    say_line(f"{alert.level.value} {alert.kind} of account {alert.account}, session {alert.session}")
    say_line(f"{_at(alert.occurred_at)} UTC: {alert.message}")
    print_table(("number", "value"), sorted(alert.data.items()), empty="no numbers")
    print_table(
        ("channel", "state", "attempts", "last sent (UTC)", "settled (UTC)", "rule", "words"),
        [
            (one.channel or "nobody", one.state.value, one.attempts, _at(one.handed_at), _at(one.settled_at), one.rule,
             _words(one))
            for one in deliveries
        ],
        empty="not queued yet: the relay does that (trading-pipeline relay run, or up)",
    )  # fmt: skip
    if noticed:
        why = f": {noticed.reason}" if noticed.reason else ""
        say_line(f"acknowledged by {noticed.operator} at {_at(noticed.acknowledged_at)} UTC{why}")
    elif alert.level is AlertLevel.CRITICAL:
        say(f"Nobody took notice yet: trading-pipeline alerts ack {alert_id} --operator NAME")


@app.command()
def ack(
    context: typer.Context,
    operator: OperatorOption,
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="As `alerts list` shows it")] = "",
    is_all: Annotated[bool, typer.Option("--all", help="Every CRITICAL alert that nobody took notice of")] = False,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take notice of an alert: nobody is told of it again. On record with your name; the first one stays."""
    from trading_pipeline.services.alerting.acknowledging import acknowledge

    if bool(alert_id) == is_all:
        raise InputError("name one alert, or say --all: trading-pipeline alerts ack ID --operator NAME")
    workspace = workspace_of(context)
    names = [alert.alert_id for alert in _open(workspace)] if is_all else [alert_id]
    given = [
        acknowledge(workspace.ledger, name, operator=operator, reason=reason, at=workspace.clock.now())
        for name in names
    ]  # fmt: skip
    if as_json:
        print_json([_ack_json(one) for one in given])
        return
    for one in given:
        say_line(f"{one.alert_id}: acknowledged by {one.operator} at {_at(one.acknowledged_at)} UTC")
    if not given:
        say("nobody is waited for")


@app.command()
def kinds(as_json: JsonOption = False) -> None:
    """Every kind of alert there is: the names that rules may use, how loud each is, and what it means."""
    if as_json:
        print_json(
            [
                {"kind": one.name, "topic": one.topic.value, "event": one.event, "meaning": one.meaning,
                 "levels": [level.value for level in one.levels]}
                for one in KINDS.values()
            ]
        )  # fmt: skip
        return
    print_table(
        ("kind", "topic", "level", "meaning"),
        [(one.name, one.topic.value, ", ".join(level.value for level in one.levels), one.meaning)
         for one in KINDS.values()],
    )  # fmt: skip


@app.command()
def channels(context: typer.Context, as_json: JsonOption = False) -> None:
    """The channels that are set up, how each has done so far, and what waits for it."""
    workspace = workspace_of(context)
    rules = workspace.settings.alerts
    with workspace.ledger.read() as tx:
        records, depths = tx.channel_records(), {one.channel: one for one in tx.queue_depths()}
    shown = []
    for name in rules.in_order():
        record, depth = records.get(name), depths.get(name)
        shown.append(
            {
                "channel": name, "from_level": rules.channels[name].min_level.value,
                "circuit": record.circuit.value if record else "unused", "delivered": record.delivered if record else 0,
                "failed": record.failed if record else 0, "waiting": depth.waiting if depth else 0,
                "last_delivered_at": _at(record.last_delivered_at if record else None),
                "last_error": record.last_error if record else "",
            }
        )  # fmt: skip
    if as_json:
        print_json(shown)
        return
    if not shown:
        say(f"no channel is set up, so that nobody is told. {SET_UP}")
        return
    print_table(tuple(shown[0]), [tuple(one.values()) for one in shown])


@app.command("test")
def try_(
    context: typer.Context,
    channel: Annotated[str, typer.Option("--channel", help="Only this one")] = "",
    as_json: JsonOption = False,
) -> None:
    """Send a message to each channel now, past the queue, and say what became of it. Exit code 1: one has failed."""
    from trading_pipeline.wiring.alerts import try_channels

    workspace = workspace_of(context)
    found = try_channels(_only(workspace.settings, channel), f"Home {workspace.home.name}.")
    _audit(workspace, found)
    if as_json:
        print_json(
            {name: {"outcome": one.outcome.kind.value, "words": one.outcome.words, "seconds": round(one.seconds, 3)}
             for name, one in found.items()}
        )  # fmt: skip
    else:
        rows = [(name, one.outcome.kind.value, f"{one.seconds:.2f}", one.outcome.words) for name, one in found.items()]
        print_table(("channel", "outcome", "seconds", "words"), rows)
    wrong = [name for name, one in found.items() if one.outcome.kind.value != "delivered"]
    if wrong:
        raise typer.Exit(complain(f"{len(wrong)} of {len(found)} channel(s) did not take the test: {', '.join(wrong)}"))


def _only(settings: Settings, channel: str) -> Settings:
    """The settings with only this channel; raises InputError when there is none, or none of that name."""
    names, channel = settings.alerts.in_order(), channel.lower()
    if not names:
        raise InputError(f"no channel of alerts is set up. {SET_UP}")
    if not channel:
        return settings
    if channel not in names:
        raise InputError(f"{channel!r} is no channel that is enabled: {', '.join(names)}. {SET_UP}")
    only = settings.alerts.model_copy(update={"channels": {channel: settings.alerts.channels[channel]}})
    return settings.model_copy(update={"alerts": only})


def _audit(workspace: Workspace, found: Mapping[str, Trial]) -> None:
    """That the channels were tried, and how it went; a test tells its outcome even where no record can be kept."""
    entry = AuditEntry(
        occurred_at=workspace.clock.now(), kind="alerts_tested", account=workspace.settings.execution.account,
        subject="alerts", actor="trading-pipeline",
        data={name: one.outcome.kind.value for name, one in found.items()},
    )  # fmt: skip
    try:
        with workspace.ledger.transaction() as tx:
            tx.add_audit(entry)
    except LedgerError as error:
        complain(f"the test is not on record: {error}")


def _open(workspace: Workspace) -> Sequence[Alert]:
    with workspace.ledger.read() as tx:
        found = tx.recent_alerts(level=AlertLevel.CRITICAL, limit=LOOK_BACK)
    return [alert for alert, noticed in reversed(found) if noticed is None]


def _require(tx: AlertTransaction, alert_id: str) -> Alert:
    alert = tx.alerts_named([alert_id]).get(alert_id)
    if alert is None:
        raise InputError(f"no alert {alert_id!r} is on record. See them: trading-pipeline alerts list")
    return alert


def _instant(text: str) -> datetime | None:
    """An aware instant; a day is its first one. Raises InputError that shows the format."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no day or instant: write --since 2025-06-10, or 2025-06-10T14:30") from error
    return found.replace(tzinfo=found.tzinfo or UTC)


def _at(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}"


def _words(one: Delivery) -> str:
    more = (
        f"next at {_at(one.due_at)}" if one.state.value == "pending" else "",
        "may have arrived" if one.maybe_sent and one.state.value != "delivered" else "",
        f"because {one.escalated_from}" if one.escalated_from else "",
    )
    return "; ".join(part for part in (one.reason, *more) if part)


def _as_json(alert: Alert, noticed: Acknowledgement | None) -> dict[str, object]:
    return {
        "id": alert.alert_id, "at": alert.occurred_at.isoformat(), "level": alert.level.value, "kind": alert.kind,
        "account": alert.account, "session": alert.session.isoformat(), "message": alert.message, "data": alert.data,
        "acknowledged": _ack_json(noticed) if noticed else None,
    }  # fmt: skip


def _ack_json(one: Acknowledgement) -> dict[str, object]:
    return {
        "id": one.alert_id, "operator": one.operator, "reason": one.reason, "at": one.acknowledged_at.isoformat()
    }  # fmt: skip


def _delivery_json(one: Delivery) -> dict[str, object]:
    return {
        "channel": one.channel or None, "state": one.state.value, "attempts": one.attempts, "rule": one.rule,
        "words": one.reason, "may_have_arrived": one.maybe_sent, "due_at": one.due_at.isoformat(),
        "handed_at": one.handed_at.isoformat() if one.handed_at else None,
        "settled_at": one.settled_at.isoformat() if one.settled_at else None,
    }  # fmt: skip
