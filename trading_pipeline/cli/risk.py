"""risk show | what-if | rearm"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from math import isnan
from typing import Annotated, Any

import typer

from trading_pipeline.analytics.value_at_risk import ValueAtRisk
from trading_pipeline.cli.context import JsonOption, workspace_of
from trading_pipeline.cli.output import heading, print_json, print_records, print_table, say
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.risk import Finding, RiskBook
from trading_pipeline.domain.risk_usage import Usage, usages
from trading_pipeline.services.book import values_by_symbol
from trading_pipeline.services.entries import rearm as rearm_symbol
from trading_pipeline.services.modes.terms import terms_in_force, under_terms
from trading_pipeline.services.risk_view import WhatIf, newest_record, present_book
from trading_pipeline.services.risk_view import what_if as judge
from trading_pipeline.wiring import Workspace

app = typer.Typer(
    help="Limits with their usage, what an entry would be told, and re-arming a symbol.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
CENT = Decimal("0.01")
MOST_SHARES = 1_000_000_000


@app.command()
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every limit with what is used of it, Value at Risk, sectors, correlations, blocks and counts."""
    workspace = workspace_of(context)
    record = newest_record(workspace.ledger, workspace.settings.execution.account)
    at, times = record.cursor_at or record.started_at, workspace.calendar.times(record.session)
    desk = workspace.risk_desk(at)
    book = present_book(desk, times, at)
    with workspace.ledger.read() as tx:
        terms = terms_in_force(tx, desk.account, record.session)
    used = usages(book, under_terms(desk, terms, book.equity_usd).rules.risk)
    risks = workspace.facts().value_at_risk(values_by_symbol(book), record.session)
    found = _document(workspace, book, used, risks) | {"terms": terms.words()}
    if as_json:
        print_json(found)
    else:
        _show(found)


def _document(workspace: Workspace, book: RiskBook, used: tuple[Usage, ...], risks: Any) -> dict[str, Any]:
    fullest = max(used, key=lambda one: one.fraction)
    return {
        "account": workspace.settings.execution.account,
        "as_of": book.now.isoformat(),
        "mode": book.mode.value,
        "trading_state": book.trading_state.value,
        "reconciled": book.is_reconciled,
        "equity_usd": plain(book.equity_usd),
        "buying_power_usd": plain(book.buying_power_usd),
        "settled_cash_usd": None if book.settled_cash_usd is None else plain(book.settled_cash_usd),
        "regime_score": book.regime_score,
        "fullest": " ".join(filter(None, (fullest.name, fullest.of))),
        "limits": [_usage(one) for one in used],
        "value_at_risk": [_var(one) for one in risks],
        "exposures": [_exposure(book, symbol, value) for symbol, value in values_by_symbol(book).items()],
        "blocks": [
            {"symbol": b.symbol or "(account)", "kind": b.kind.value, "since": b.since.isoformat(), "reason": b.reason}
            for b in book.blocks
        ],
    }


def _usage(one: Usage) -> dict[str, Any]:
    used, limit = (plain(amount.quantize(CENT)) for amount in (one.used, one.limit))
    return {"limit": one.name, "of": one.of, "value": limit, "used": used, "usage_percent": float(one.fraction * 100)}


def _var(one: ValueAtRisk) -> dict[str, Any]:
    usd = None if isnan(one.usd) else plain(Decimal(repr(one.usd)).quantize(CENT))
    return {"confidence": one.confidence, "usd": usd, "sessions": one.sessions, "missing": list(one.missing)}


def _exposure(book: RiskBook, symbol: str, value: Decimal) -> dict[str, Any]:
    facts = book.facts_of(symbol)
    return {
        "symbol": symbol,
        "value_usd": plain(value.quantize(CENT)),
        "sector": facts.sector or "unknown",
        "next_earnings": facts.next_earnings.isoformat() if facts.next_earnings else "unknown",
        "correlations": {name: round(rho, 2) for name, rho in sorted(facts.correlations.items())},
        "sources": [facts.sector_source, facts.earnings_source, facts.correlation_source, *facts.unusable],
    }


def _show(found: dict[str, Any]) -> None:
    say(f"account {found['account']} as of {found['as_of']}, {found['terms']}, trading state {found['trading_state']}")
    heading("Limits")
    print_records([{**one, "usage_percent": f"{one['usage_percent']:.1f}"} for one in found["limits"]])
    say(f"fullest: {found['fullest']}")
    heading("Value at Risk: historical, 1 day")
    print_table(("confidence", "USD", "sessions"), [_var_row(one) for one in found["value_at_risk"]])
    heading("Positions and working entries")
    rows = [(e["symbol"], e["value_usd"], e["sector"], e["next_earnings"], _pairs(e)) for e in found["exposures"]]
    print_table(("symbol", "USD", "sector", "earnings", "correlations"), rows)
    heading("Blocks")
    print_records(found["blocks"])


def _var_row(one: dict[str, Any]) -> tuple[str, str, str]:
    unknown = f"unknown: {one['sessions']} sessions are too few" + (
        f" ({', '.join(one['missing'])})" * bool(one["missing"])
    )
    return f"{one['confidence']:.0%}", one["usd"] or unknown, str(one["sessions"])


def _pairs(exposure: dict[str, Any]) -> str:
    return ", ".join(f"{name} {rho}" for name, rho in exposure["correlations"].items())


@app.command("what-if")
def what_if(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="Symbol to enter")],
    entry: Annotated[str, typer.Argument(help="Limit price, USD per share")],
    stop: Annotated[str, typer.Argument(help="Stop, USD per share, below the entry")],
    target: Annotated[str, typer.Argument(help="Target, USD per share, above the entry")],
    shares: Annotated[
        int | None, typer.Option(help="Shares to order. Default: what the risk per trade buys", min=1, max=MOST_SHARES)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What the risk checks would say to an entry, on the book as last recorded. Nothing is written."""
    workspace, name = workspace_of(context), symbol.upper()
    prices = {"entry": _price("entry", entry), "stop": _price("stop", stop), "target": _price("target", target)}
    record = newest_record(workspace.ledger, workspace.settings.execution.account)
    at, times = record.cursor_at or record.started_at, workspace.calendar.times(record.session)
    quotes = workspace.feed().quotes(times, at, [name])
    found = judge(workspace.risk_desk(at), times, at, name, prices, quotes, shares)
    if as_json:
        print_json(_judged(found))
    else:
        _show_judged(found)


def _price(name: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise InputError(f"{name} {text!r} is no price: write it as 12.34, in USD per share") from error


def _judged(found: WhatIf) -> dict[str, Any]:
    decision = found.decision
    by_check = {name: "pass" if finding is None else finding.verdict.value for name, finding in found.checks}
    return {
        "symbol": found.plan.symbol,
        "as_of": found.at.isoformat(),
        "approved": decision.approved,
        "requested_shares": plain(decision.requested_quantity),
        "shares": plain(decision.quantity),
        "reserved_risk_usd": plain(decision.reserved_risk_usd),
        "bound_by": decision.bound_by,
        "findings": [_finding(one) for one in decision.findings],
        "checks": by_check,
    }


def _finding(one: Finding) -> dict[str, str]:
    return {
        "verdict": one.verdict.value, "code": one.code.value, "measured": _number(one.measured),
        "limit": _number(one.limit), "limit_name": one.limit_name, "message": one.message,
    }  # fmt: skip


def _number(value: Decimal | str) -> str:
    """Six decimals are enough for people; what is no number stays as it is."""
    return plain(round(value, 6)) if isinstance(value, Decimal) and value.is_finite() else str(value)


def _show_judged(found: WhatIf) -> None:
    decision, plan = found.decision, found.plan
    verdict = f"approved: {plain(decision.quantity)} shares" if decision.approved else "denied"
    say(f"{plan.symbol} {plan.entry}, stop {plan.stop}, target {plan.target}, as of {found.at.isoformat()}: {verdict}")
    say(f"asked for {plain(decision.requested_quantity)} shares, bound by {decision.bound_by}")
    heading("Findings")
    print_records([_finding(one) for one in decision.findings])
    passed = [name for name, finding in found.checks if finding is None]
    heading(f"Passed: {len(passed)} of {len(found.checks)} checks")
    say(", ".join(passed))


@app.command()
def rearm(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="Symbol blocked until a person ends it")],
    reason: Annotated[str, typer.Option(help="Why it may be entered again; kept in the audit")],
    operator: Annotated[str, typer.Option(help="Who decides that; kept in the audit")],
    as_json: JsonOption = False,
) -> None:
    """Let a symbol be entered again that was blocked for repeated execution or for a split nobody announced."""
    workspace = workspace_of(context)
    record = newest_record(workspace.ledger, workspace.settings.execution.account)
    desk = workspace.risk_desk(workspace.clock.now())
    cleared = rearm_symbol(desk, symbol.upper(), record.session, reason=reason, operator=operator)
    if as_json:
        print_json({"symbol": symbol.upper(), "cleared_blocks": cleared, "operator": operator, "reason": reason})
    else:
        say(f"{symbol.upper()} may be entered again; {cleared} block(s) ended, told in the audit as {operator}")
