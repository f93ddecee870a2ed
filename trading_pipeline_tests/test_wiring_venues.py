"""An account stays with the venue that executed for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trading_pipeline.domain.errors import InputError
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.venues import require_its_venue
from trading_pipeline_tests.builders import a_fill
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.traded_home import TradedHome, traded_home

__all__ = ["traded_home"]


@pytest.fixture
def made(traded_home: TradedHome, tmp_path: Path) -> TradedHome:
    return traded_home.copied_to(tmp_path)


def at_ib(workspace: Workspace, account: str = "SIM") -> Workspace:
    """The same home, whose orders would go to a TWS that is not there."""
    settings = workspace.settings
    changed: dict[str, Any] = {
        "broker": settings.broker.model_copy(update={"name": "ib"}),
        "execution": settings.execution.model_copy(update={"account": account}),
    }
    return replace(workspace, settings=settings.model_copy(update=changed))


def never_asked() -> AbstractContextManager[Any]:
    return pytest.raises(InputError, match=r"account SIM has fills .*at simulated.*, and ib would execute now.*--home")


def test_a_traded_account_is_not_continued_at_another_venue(made: TradedHome) -> None:
    workspace = at_ib(made.open())

    with never_asked():
        workspace.host(made.running)
    with never_asked():
        workspace.room()

    assert not list(made.home.glob("ib-*"))  # nothing was opened, so nobody was asked


def test_what_it_says_to_do_helps(made: TradedHome) -> None:
    at_ib(made.open(), account="IB").require_its_venue()
    Workspace(made.home / "other", at_ib(made.open()).settings).require_its_venue()


def test_a_traded_account_goes_on_at_its_own_venue(made: TradedHome) -> None:
    workspace = made.open()
    with closing(workspace.room()):
        workspace.require_its_venue("http://127.0.0.1:1")  # the simulated venue in a process of its own


def test_sessions_on_record_are_verified_whoever_executes_now(made: TradedHome) -> None:
    first, last = made.traded
    assert [one.verified for one in at_ib(made.open()).replay(first, last)] == [True, True]


@pytest.mark.parametrize(
    ("brokers", "broker", "said"),
    [
        ((), "ib", ""),
        (("ib", "adjustment"), "ib", ""),
        (("simulated",), "alpaca", "1 at simulated"),
        (("ib", "alpaca", "ib"), "simulated", "1 at alpaca, 2 at ib"),
        (("ib", "simulated"), "ib", "1 at simulated"),
    ],
)
def test_fills_are_told_by_venue(brokers: Sequence[str], broker: str, said: str) -> None:
    ledger = MemoryLedger()
    with ledger.transaction() as tx:
        for name in (*brokers, "another"):
            tx.add_fill(a_fill(broker=name, account="B" if name == "another" else "A"))

    if said:
        with pytest.raises(InputError, match=rf"account A has fills of another venue on record \({said}\)"):
            require_its_venue(ledger, "A", broker)
    else:
        require_its_venue(ledger, "A", broker)


def test_a_stored_session_is_not_traded_into_a_brokers_record(made: TradedHome) -> None:
    workspace = made.open()
    with workspace.ledger.transaction() as tx:
        (first, *_) = tx.fills("SIM")
        tx.add_fill(replace(first, broker="ib", exec_id="theirs"))

    with pytest.raises(InputError, match="1 at ib"):
        list(workspace.replay(made.running, made.running))
