"""Which executions of an order hold: what was traded, less what the venue took back, as it was last corrected.

A bust or a correction may be reported before the trade it names: it waits, and takes effect when the trade is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.orders import ExecType as E
from trading_pipeline.domain.orders import ExecutionReport

LARGEST_NUMBER = Decimal(10) ** 8
"""Of shares, of USD per share, of USD: what is not below it is a broken message."""
CORRECTIONS = frozenset({E.TRADE_CANCEL, E.TRADE_CORRECT})
"""What a venue says when a trade it reported was not so."""

# At one instant: what an order does before what is done to it, and its end last.
_RANKS: Mapping[E, int] = {
    exec_type: rank
    for rank, exec_type in enumerate((
        E.IN_DOUBT, E.NEW, E.REJECTED, E.PENDING_REPLACE, E.REPLACED, E.REPLACE_REJECTED, E.TRADE, E.TRADE_CORRECT,
        E.TRADE_CANCEL, E.PENDING_CANCEL, E.CANCEL_REJECTED, E.DONE_FOR_DAY, E.CANCELED, E.EXPIRED,
    ))
}  # fmt: skip


def _key(report: ExecutionReport) -> tuple[datetime, int, int, str]:
    """When, then what, then the venue's numbering (exec-9 before exec-10)."""
    return (report.occurred_at, _RANKS[report.exec_type], len(report.exec_id), report.exec_id)


def in_order(reports: Iterable[ExecutionReport]) -> tuple[ExecutionReport, ...]:
    """Each report once (by exec_id), in the one order every permutation of them has."""
    distinct: dict[str, ExecutionReport] = {}
    for report in sorted(reports, key=_key):
        distinct.setdefault(report.exec_id, report)
    return tuple(distinct.values())


def is_recordable(report: ExecutionReport) -> bool:
    """True when its instant has a time zone and each number is finite, below the limit and of at most 8 decimals.

    No venue means anything else by a report; shares it may tell of are found when both sides are compared.
    """
    optional = (report.limit_price, report.stop_price, report.quantity)
    numbers = (report.last_qty, report.last_px, report.commission, *(one for one in optional if one is not None))
    return report.occurred_at.tzinfo is not None and all(map(_is_recordable, numbers))


def _is_recordable(number: Decimal) -> bool:
    return number.is_finite() and abs(number) < LARGEST_NUMBER and number == round(number, 8)


def is_traded(report: ExecutionReport) -> bool:
    """True when the report's shares and price are numbers above zero."""
    return all(number.is_finite() and number > 0 for number in (report.last_qty, report.last_px))


def executions(said: Sequence[ExecutionReport]) -> dict[str, ExecutionReport]:
    """By the exec_id of each Trade that holds: the report whose shares, price and commission hold for it.

    said: as from `in_order`. A busted trade has none; of several corrections the last holds, and the bust of a
    corrected trade takes all of it back. A bust that names no trade is of the first one with its shares and price.
    """
    holding = {r.exec_id: r for r in said if r.exec_type is E.TRADE and is_traded(r)}
    about = _subjects(said, holding)
    for correction in said:
        if correction.exec_type is E.TRADE_CORRECT and correction.exec_id in about and is_traded(correction):
            holding[about[correction.exec_id]] = correction
    for bust in said:
        if bust.exec_type is E.TRADE_CANCEL and bust.exec_id in about:
            holding.pop(about[bust.exec_id], None)
    return holding


def waiting_corrections(said: Sequence[ExecutionReport]) -> tuple[ExecutionReport, ...]:
    """Busts and corrections of trades that are not there yet, and corrections that are no trade."""
    traded = {r.exec_id: r for r in said if r.exec_type is E.TRADE and is_traded(r)}
    about = _subjects(said, traded)
    corrections = (report for report in said if report.exec_type in CORRECTIONS)
    return tuple(r for r in corrections if r.exec_id not in about or not _is_usable(r))


def _is_usable(correction: ExecutionReport) -> bool:
    return correction.exec_type is E.TRADE_CANCEL or is_traded(correction)


def _subjects(said: Sequence[ExecutionReport], trades: Mapping[str, ExecutionReport]) -> dict[str, str]:
    """Which trade (exec_id) each bust and correction is about; those about none that is known are left out."""
    by_id = {report.exec_id: report for report in said}
    corrections = [report for report in said if report.exec_type in CORRECTIONS]
    named = {r.exec_id: _root(r, by_id, trades) for r in corrections if r.ref_exec_id}
    about = {exec_id: root for exec_id, root in named.items() if root is not None}
    busted = {about[r.exec_id] for r in corrections if r.exec_type is E.TRADE_CANCEL and r.exec_id in about}
    for bust in corrections:
        if bust.exec_type is E.TRADE_CANCEL and not bust.ref_exec_id:
            alike = (t.exec_id for t in trades.values() if t.exec_id not in busted and _is_alike(t, bust))
            found = next(alike, None)
            if found is not None:
                about[bust.exec_id] = found
                busted.add(found)
    return about


def _is_alike(trade: ExecutionReport, bust: ExecutionReport) -> bool:
    return (trade.last_qty, trade.last_px) == (bust.last_qty, bust.last_px)


def _root(
    correction: ExecutionReport, by_id: Mapping[str, ExecutionReport], trades: Mapping[str, ExecutionReport]
) -> str | None:
    """The trade behind a reference; a correction may itself be corrected."""
    seen, reference = {correction.exec_id}, correction.ref_exec_id
    while reference not in seen and reference not in trades:
        seen.add(reference)
        named = by_id.get(reference)
        reference = named.ref_exec_id if named is not None and named.exec_type is E.TRADE_CORRECT else reference
    return reference if reference in trades else None
