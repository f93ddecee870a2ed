"""trading-pipeline reconcile on a traded home: what it shows, what it books, and what it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import OrdStatus
from trading_pipeline.venue.state import Holding, Mark
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.venues import OwnVenue
from trading_pipeline_tests.builders import an_order, dec
from trading_pipeline_tests.cli.test_commands import on, refused
from trading_pipeline_tests.traded_home import TradedHome

WHO = ("--operator", "Ann", "--reason", "bought by hand at the venue")


@pytest.fixture
def made(traded_home: TradedHome, tmp_path: Path) -> TradedHome:
    return traded_home.copied_to(tmp_path)


def buy_by_hand(made: TradedHome, shares: int, cost: int) -> None:
    """Somebody bought EXT at the venue's own screen; the venue reports nothing of it."""
    room = made.open().room()
    assert isinstance(room.access, OwnVenue)
    with room.access.venue._change() as book:
        book.holdings["EXT"] = Holding("EXT", dec(shares), dec(cost))
        book.marks["EXT"] = Mark("EXT", dec(cost) / shares, max(mark.end_at for mark in book.marks.values()))
        book.cash_usd -= cost
    room.close()


def test_a_home_that_was_only_replayed_agrees_with_its_venue_in_every_pass(made: TradedHome) -> None:
    with made.open().ledger.read() as tx:
        assert tx.row_counts()["reconciliations"] > 10

    said = on(made, "reconcile", "--json")

    assert said.code == 0, said
    assert said.json()["clean"] is True
    assert said.json()["breaks"] == []
    assert broken_passes(made.open()) == []


def broken_passes(workspace: Workspace) -> list[str]:
    """What the session loop's own passes left on record besides clean comparisons."""
    with workspace.ledger.read() as tx:
        days = workspace.frames.sessions("sabr20_watchlist")
        events = [event for day in days for event in tx.risk_events("SIM", day) if event.kind == "reconcile_break"]
        return [*(event.message for event in events), *(block.reason for block in tx.blocks("SIM"))]


def test_a_break_is_shown_and_ends_with_one_until_it_is_booked(made: TradedHome) -> None:
    buy_by_hand(made, 5, 150)

    broken = on(made, "reconcile")
    booked = on(made, "reconcile", "EXT", "--fix", "adopt", *WHO, "--yes")
    last = on(made, "reconcile", "--last", "--json")

    assert broken.code == 1
    assert "unknown position" in broken.out
    assert "cash differs" in broken.out
    assert booked.code == 0, booked
    assert "book BUY 5 EXT at 30 as EXTERNAL" in booked.out
    assert "the record agrees with the venue" in booked.out
    assert (last.code, last.json()["clean"]) == (0, True)
    with made.open().ledger.read() as tx:
        (entry,) = [entry for _, entry in tx.audit_entries(limit=100_000) if entry.kind == "reconcile_fix"]
        assert (entry.actor, entry.subject) == ("Ann", "EXT")
        assert [plain(p.quantity) for p in tx.positions("SIM") if p.symbol == "EXT"] == ["5"]


def test_an_order_in_doubt_is_named_and_ends_with_one_until_a_person_closes_it(made: TradedHome) -> None:
    workspace = made.open()
    with workspace.ledger.transaction() as tx:
        known = tx.fills("SIM")[-1]
        order = tx.order(known.client_order_id)
        assert order is not None
        lost = an_order(
            client_order_id="lost", intent_id=order.intent_id, account="SIM", session=order.session,
            status=OrdStatus.IN_DOUBT,
        )  # fmt: skip
        tx.add_order(lost)

    doubtful, last = on(made, "reconcile"), on(made, "reconcile", "--last", "--json")
    closed = on(made, "reconcile", "lost", "--fix", "close-missing", *WHO, "--yes")

    assert (doubtful.code, last.code, closed.code) == (1, 1, 0), closed
    assert "agrees with the venue, but for what is in doubt" in doubtful.out
    assert "lost: BUY 100 XYZ" in doubtful.out
    assert "--fix close-missing" in doubtful.out
    assert (last.json()["clean"], last.json()["breaks"], last.json()["in_doubt"]) == (False, [], ["lost"])
    assert "the record agrees with the venue\n" in closed.out
    assert on(made, "reconcile", "--json").json()["in_doubt"] == []


def test_a_fix_is_shown_first_and_books_nothing_without_a_yes(made: TradedHome) -> None:
    buy_by_hand(made, 5, 150)

    said = on(made, "reconcile", "EXT", "--fix", "adopt", *WHO)

    assert said.code == 1
    assert "on record as an adjustment by Ann: bought by hand at the venue" in said.out
    with made.open().ledger.read() as tx:
        assert [p for p in tx.positions("SIM") if p.symbol == "EXT"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fix", "adopt", *WHO), "--fix adopt of what?"),
        (("EXT", "--fix", "adopt", "--operator", "Ann", "--yes"), "--reason is empty"),
        (("EXT", "--fix", "adopt", *WHO, "--price", "much", "--yes"), "'much' is not a number"),
        (("EXT",), "say which --fix"),
        (("EXT", "--fix", "adopt", *WHO, "--yes"), "EXT is not a break now. Subjects: none"),
    ],
)
def test_mistakes_name_their_remedy(made: TradedHome, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused("reconcile", *arguments, "--profile", made.profile, home=made.home)


def test_a_home_that_trades_is_not_disturbed(made: TradedHome) -> None:
    with made.open().exclusive("trading"):
        said = refused("reconcile", "--profile", made.profile, home=made.home)

    assert "another process is busy with trading" in said
    assert "trading-pipeline reconcile --last" in said


def test_a_home_without_sessions_has_nothing_to_compare(tmp_path: Path) -> None:
    assert "has not traded yet" in refused("reconcile", home=tmp_path)
    assert "was never compared" in refused("reconcile", "--last", home=tmp_path)
