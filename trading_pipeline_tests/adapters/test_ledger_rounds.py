"""What a round of sending asks and writes together equals the same one by one; on both databases and in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.control import Block, BlockKind, TradingState, TradingStateRecord
from trading_pipeline.domain.errors import LedgerConflict, LedgerError
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Leg, Order, OrdStatus, Side
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters.ledger_samples import ACCOUNT, NOW, SESSION
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.postgres import postgres

COUNTS = [1, 2, 10, 11, 101]
"""Around the sizes in which orders are asked for."""


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_file"), tmp_path / "ledger.sqlite3")
        url = default_url(tmp_path)
    else:
        url = postgres().database(request.getfixturevalue("empty_database"))
    opened = SqlLedger(url)
    yield opened
    opened.close()


def entries(tx: LedgerTransaction, count: int) -> list[Order]:
    """So many entries on record, each in a symbol of its own, with a stop and a target."""
    samples.record_causes(tx, 3)
    tx.add_intent(samples.INTENT)
    made = []
    for number in range(count):
        entry = replace(
            samples.ORDER,
            client_order_id=f"o-{number}",
            symbol=f"S{number}",
            created_at=NOW + timedelta(seconds=number),
        )
        leg = replace(entry, side=Side.SELL, parent_id=entry.client_order_id)
        target = replace(leg, client_order_id=f"o-{number}-t", leg=Leg.TARGET)
        stop = replace(leg, client_order_id=f"o-{number}-s", leg=Leg.STOP)
        assert tx.add_all([entry, target, stop]) == [True] * 3
        made.append(entry)
    return made


@pytest.mark.parametrize("count", COUNTS)
def test_orders_are_claimed_together_once_each_at_its_own_instant(ledger: Ledger, count: int) -> None:
    with ledger.transaction() as tx:
        made = entries(tx, count)
    leaving = {order.client_order_id: NOW + timedelta(milliseconds=n) for n, order in enumerate(made)}

    with ledger.transaction() as tx:
        assert tx.claim_orders({**leaving, "never added": NOW}, "loop", 1) == set(leaving)
        assert tx.claim_orders(leaving, "loop", 1) == set()
        assert not tx.claim_order("o-0", "loop", 1)
        stored = tx.orders_named(list(leaving))
    assert {name: order.submitted_at for name, order in stored.items()} == leaving
    assert [replace(order, submitted_at=None) for order in stored.values()] == made


def test_of_orders_claimed_together_only_those_that_are_free_are_ours(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        made = entries(tx, 3)
        assert tx.claim_order("o-0", "another", 9)
        tx.save_order(replace(made[1], status=OrdStatus.CANCELED))

        assert tx.claim_orders(dict.fromkeys(["o-0", "o-1", "o-2"], NOW), "loop", 1) == {"o-2"}
        assert tx.orders_named(["o-0"])["o-0"].submitted_at is None


@pytest.mark.parametrize("count", COUNTS)
def test_orders_and_children_asked_for_together_are_those_asked_for_one_by_one(ledger: Ledger, count: int) -> None:
    with ledger.transaction() as tx:
        names = [order.client_order_id for order in entries(tx, count)]
    with ledger.read() as tx:
        assert tx.orders_named([*names, "never added"]) == {name: tx.order(name) for name in names}
        children = tx.children_of(names)
        assert {name: list(legs) for name, legs in children.items()} == {n: list(tx.children(n)) for n in names}
        assert tx.orders_named([]) == {}
        assert tx.children_of([]) == {}


@pytest.mark.parametrize("count", COUNTS)
def test_reports_and_states_recorded_together_are_told_one_by_one(ledger: Ledger, count: int) -> None:
    with ledger.transaction() as tx:
        made = entries(tx, count)
    words = [_new(order.client_order_id) for order in made]
    moved = [replace(order, status=OrdStatus.NEW, venue_order_id=f"v-{order.client_order_id}") for order in made]

    with ledger.transaction() as tx:
        assert tx.add_reports("local", words) == [True] * count
        tx.save_orders([*moved[:-1], replace(moved[-1], status=OrdStatus.CANCELED)])
        assert tx.add_reports("local", words) == [False] * count
    with ledger.read() as tx:
        assert [tx.reports(order.client_order_id) for order in made] == [[word] for word in words]
        told = [entry for _, entry in tx.audit_entries(limit=10_000) if entry.kind == "order_status"]
        assert [entry.subject for entry in told] == [order.client_order_id for order in made]
        assert tx.orders_named([order.client_order_id for order in made[:-1]]) == {
            order.client_order_id: order for order in moved[:-1]
        }
        assert [o.client_order_id for o in tx.due_orders(ACCOUNT)] == []


def test_a_report_with_other_content_undoes_the_whole_round(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        made = entries(tx, 2)
        tx.add_reports("local", [_new("o-0")])
    words = [_new("o-1"), replace(_new("o-0"), venue_order_id="other")]
    with pytest.raises(LedgerConflict, match="venue_order_id"), ledger.transaction() as tx:
        tx.add_reports("local", words)
    with ledger.read() as tx:
        assert tx.order("o-1") == made[1]
        assert tx.reports("o-1") == []


def test_saving_together_refuses_what_saving_alone_refuses(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        made = entries(tx, 2)
    with pytest.raises(LedgerError, match="never added"), ledger.transaction() as tx:
        tx.save_orders([made[0], replace(made[1], client_order_id="never added")])
    with pytest.raises(LedgerConflict, match="symbol"), ledger.transaction() as tx:
        tx.save_orders([made[0], replace(made[1], symbol="OTHER")])


def test_a_symbol_is_free_for_the_next_entry_when_the_last_one_was_ended_with_others(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        made = entries(tx, 2)
        tx.save_orders([replace(order, status=OrdStatus.EXPIRED) for order in made])
        assert tx.add_order(replace(made[0], client_order_id="next"))


def test_the_last_look_is_what_three_questions_told(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        entries(tx, 2)
        assert tx.last_look("never added") is None
        look = tx.last_look("o-0")
        assert look is not None
        assert (look.status, look.state, list(look.blocks)) == (OrdStatus.PENDING_NEW, TradingState.ACTIVE, [])
        for name, symbol, since in (("late", "S0", 2), ("whole", "", 1), ("other", "S1", 0), ("over", "S0", 0)):
            tx.add_block(_block(name, symbol, since))
        tx.clear_block("over", NOW, "me")
        tx.set_trading_state(_halted(ACCOUNT))
        tx.set_trading_state(replace(_halted("elsewhere"), state=TradingState.REDUCING))

        look = tx.last_look("o-0")
        assert look is not None
        assert look.state is TradingState.HALTED
        assert [block.block_id for block in look.blocks] == ["whole", "late"]
        assert list(look.blocks) == list(tx.blocks(ACCOUNT, symbol="S0"))


def test_due_are_the_unsent_and_the_doubted_that_hang_on_nothing_oldest_first(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        made = entries(tx, 4)
        tx.save_order(replace(made[0], status=OrdStatus.IN_DOUBT))
        tx.save_order(replace(made[1], status=OrdStatus.NEW))
        assert [order.client_order_id for order in tx.due_orders(ACCOUNT)] == ["o-0", "o-2", "o-3"]
        assert tx.due_orders("other") == []


def test_entries_left_are_counted_by_symbol_and_session(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        entries(tx, 3)
        tx.claim_orders({"o-0": NOW, "o-2": NOW, "o-2-s": NOW}, "loop", 1)
        assert dict(tx.entries_left(ACCOUNT, SESSION)) == {"S0": 1, "S2": 1}
        assert dict(tx.entries_left(ACCOUNT, SESSION + timedelta(days=1))) == {}


def _new(name: str) -> ExecutionReport:
    return ExecutionReport(
        exec_id=f"{name}-New", client_order_id=name, venue_order_id=f"v-{name}", exec_type=ExecType.NEW, occurred_at=NOW
    )


def _block(name: str, symbol: str, since: int) -> Block:
    at = NOW + timedelta(seconds=since)
    return Block(block_id=name, account=ACCOUNT, symbol=symbol, kind=BlockKind.EXTERNAL, reason="test", since=at)


def _halted(account: str) -> TradingStateRecord:
    return TradingStateRecord(account=account, state=TradingState.HALTED, reason="test", set_by="me", changed_at=NOW)
