"""A quiet round costs the same statements and venue calls however much is held: one look for all positions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.services.cycle import Cycle
from trading_pipeline.services.reconcile import Reconciler
from trading_pipeline_tests.benchmarks import rooms
from trading_pipeline_tests.services.scripted import OPENS, TIMES

MOST_CALLS = 10


@pytest.mark.parametrize("hold", ["intraday", "swing"])
def test_a_quiet_round_asks_as_much_for_twelve_positions_as_for_three(tmp_path: Path, hold: str) -> None:
    few, many = (_asked(tmp_path / str(count), count, hold) for count in (3, 12))

    assert few == many
    assert many[1] <= MOST_CALLS


def test_events_are_found_by_name_however_many_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_pipeline.adapters.ledger_accounts.MOST_NAMED", 2)
    ledger = rooms.empty_ledger(tmp_path, "named")
    with ledger.transaction() as tx:
        for name in ("a", "b", "c", "d"):
            tx.add_risk_event(
                RiskEvent(
                    event_id=name, account="A", session=TIMES.session, occurred_at=OPENS + timedelta(minutes=1),
                    kind="test", severity="INFO", message="a test",
                )
            )  # fmt: skip

    with ledger.read() as tx:
        for unknown in (1, 20):
            found = tx.risk_events_named(["a", "d", "c", *(f"x{number}" for number in range(unknown))])
            assert sorted(one.event_id for one in found) == ["a", "c", "d"]
        assert tx.risk_events_named([]) == []


def _asked(folder: Path, positions: int, hold: str) -> tuple[int, int]:
    """(statements, venue calls) of a round in which the record is compared with the venue."""
    ledger = rooms.empty_ledger(folder, "ledger")
    room = rooms.holding(ledger, "A", positions, exits={"hold": hold})
    cycle = Cycle(room.desk, TIMES, Reconciler(room.desk, TIMES.session))
    cycle.attend(room.record, rooms.quotes(room, positions))
    room.wait(room.desk.rules.reconcile.every_seconds)
    room.calls.clear()
    statements: list[str] = []
    event.listen(ledger._engine, "before_cursor_execute", lambda *sent: statements.append(sent[2]))
    cycle.attend(room.record, rooms.quotes(room, positions))
    return len(statements), room.calls.total()
