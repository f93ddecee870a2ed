"""The ledger in memory keeps the laws of the record that the databases keep: their tests, a third time.

Left out is what only a database has: its own refusals, types, bounds and foreign keys, and several processes.
"""

from __future__ import annotations

import pytest

from trading_pipeline_tests.adapters import ledger_samples as samples
from trading_pipeline_tests.adapters import test_ledger, test_ledger_control
from trading_pipeline_tests.memory_ledger import MemoryLedger

OF_A_DATABASE = {
    "test_the_database_itself_refuses_to_change_what_is_recorded",
    "test_e39_a_fill_has_shares_and_a_price",
    "test_a_row_whose_cause_is_not_recorded_is_refused",
    "test_e30_every_trade_carries_its_commission_and_net",
    "test_of_many_who_claim_an_order_exactly_one_wins",
    "test_writes_of_a_stale_holder_are_refused_by_the_database",
    "test_the_fence_of_an_old_token_never_opens_again_for_the_same_holder",
    "test_the_lease_cannot_change_hands_while_its_holder_writes",
}

globals().update(
    {
        name: test
        for module in (test_ledger, test_ledger_control)
        for name, test in vars(module).items()
        if name.startswith("test_") and name not in OF_A_DATABASE
    }
)


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> MemoryLedger:
    """As the databases' tests find theirs: filled, where their module fills it."""
    made = MemoryLedger()
    if request.function.__module__ == test_ledger.__name__:
        with made.transaction() as tx:
            samples.record_trade(tx)
    return made


def test_what_a_dying_process_had_not_committed_is_gone() -> None:
    ledger = MemoryLedger()

    def die_before_the_commit() -> None:
        with ledger.transaction() as tx:
            samples.record_trade(tx)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_before_the_commit()

    assert ledger == MemoryLedger(now=ledger.now)
    with ledger.read() as tx:
        assert not any(tx.row_counts().values())
        assert tx.trading_state("A") is None
