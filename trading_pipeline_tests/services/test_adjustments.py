"""What a person books on the record: marked, audited, and clean at the next pass."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from trading_pipeline.domain.control import AuditEntry, BlockKind
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.orders import EXTERNAL, OrdStatus, Side
from trading_pipeline.services.adjustments import ADJUSTMENT, Adjustment, Fix, FixRequest, book_fix, plan_fix
from trading_pipeline.services.book import recorded_cash
from trading_pipeline.services.reconcile import started
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.services.reconciling import (
    DAY,
    Passes,
    a_scene,
    amend,
    book_what_never_was,
    fill_unreported,
    forget,
    holding,
    kinds,
    request,
    spend,
)
from trading_pipeline_tests.services.scripted import Scene, Stage


@pytest.fixture
def scene(stage: Stage) -> Scene:
    return a_scene(stage)


def asked(fix: Fix, subject: str, price: object = None, **changes: str) -> FixRequest:
    plain = FixRequest(
        fix=fix, subject=subject, operator="Ann", reason="seen at the venue",
        price=None if price is None else dec(price),
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def fixed(make_pass: Passes, wanted: FixRequest) -> Adjustment:
    planned = plan_fix(make_pass.desk(), DAY, wanted)
    book_fix(make_pass.desk(), DAY, planned)
    return planned


def audits(scene: Scene) -> list[AuditEntry]:
    with scene.ledger.read() as tx:
        return [entry for _, entry in tx.audit_entries() if entry.kind == "reconcile_fix"]


def cash(make_pass: Passes) -> Decimal:
    with make_pass.scene.ledger.read() as tx:
        return recorded_cash(tx, started(make_pass.desk(), DAY))


def held(scene: Scene) -> dict[str, Decimal]:
    with scene.ledger.read() as tx:
        return {position.symbol: position.quantity for position in tx.positions("A")}


def buy_behind_our_back(scene: Scene) -> None:
    holding(scene, "EXT", 5, 150)
    scene.venue._state.cash_usd -= 150


def sell_behind_our_back(scene: Scene) -> None:
    """All of XYZ at 51, and the stop is gone with it."""
    holding(scene, "XYZ", 0, 0)
    scene.venue._state.cash_usd += 5100
    scene.venue.cancel("stop-xyz", scene.desk(at=20).clock.now())


CASES = {
    "missing fill": (fill_unreported, asked(Fix.BOOK_FILL, "buy-abc")),
    "extra fill": (book_what_never_was, asked(Fix.BOOK_FILL, "buy-abc")),
    "missing order": (forget, asked(Fix.CLOSE_MISSING, "buy-abc")),
    "unknown position": (buy_behind_our_back, asked(Fix.ADOPT, "EXT")),
    "position gone": (sell_behind_our_back, asked(Fix.BOOK_FILL, "XYZ", 51)),
    "cash": (spend, asked(Fix.BOOK_CASH, "cash")),
}


@pytest.mark.parametrize("name", list(CASES))
def test_a_fix_is_audited_makes_the_next_pass_clean_and_conserves_cash(scene: Scene, name: str) -> None:
    tamper, wanted = CASES[name]
    make_pass = Passes(scene)
    tamper(scene)
    make_pass()
    assert not make_pass().is_clean

    planned = fixed(make_pass, wanted)
    after = make_pass()

    assert after.is_clean, after
    assert BlockKind.RECONCILE_BREAK not in [kind for _, kind in make_pass.blocks()]
    (entry,) = audits(scene)
    assert (entry.actor, entry.subject, entry.data["reason"]) == ("Ann", wanted.subject, "seen at the venue")
    assert entry.data["booked"] == planned.words
    assert cash(make_pass) == scene.venue.account().cash_usd
    assert held(scene) == {one.symbol: one.quantity for one in scene.venue.positions()}


@pytest.mark.parametrize("name", list(CASES))
def test_a_fix_booked_twice_changes_nothing_more(scene: Scene, name: str) -> None:
    tamper, wanted = CASES[name]
    make_pass = Passes(scene)
    tamper(scene)
    planned = fixed(make_pass, wanted)
    before = (cash(make_pass), held(scene), len(scene.fills()), len(scene.orders()))

    book_fix(make_pass.desk(), DAY, planned)

    assert (cash(make_pass), held(scene), len(scene.fills()), len(scene.orders())) == before


def test_a_plan_alone_writes_nothing(scene: Scene) -> None:
    make_pass = Passes(scene)
    buy_behind_our_back(scene)

    planned = plan_fix(make_pass.desk(), DAY, asked(Fix.ADOPT, "EXT"))

    assert planned.words == "book BUY 5 EXT at 30 as EXTERNAL"
    assert ("EXT" in held(scene), audits(scene)) == (False, [])


def test_booked_shares_are_marked_and_an_adopted_position_blocks_its_symbol(scene: Scene) -> None:
    make_pass = Passes(scene)
    buy_behind_our_back(scene)

    fixed(make_pass, asked(Fix.ADOPT, "EXT"))

    order = scene.order(symbol="EXT")
    assert (order.strategy, order.status, order.intent_id) == (EXTERNAL, OrdStatus.FILLED, None)
    (fill,) = [fill for fill in scene.fills() if fill.symbol == "EXT"]
    assert (fill.broker, fill.price) == (ADJUSTMENT, dec(30))
    assert make_pass.blocks() == [("EXT", BlockKind.EXTERNAL)]
    with scene.ledger.read() as tx:
        assert tx.unsent_orders("A") == []


def test_shares_sold_by_others_close_the_trade(scene: Scene) -> None:
    make_pass = Passes(scene)
    sell_behind_our_back(scene)

    fixed(make_pass, asked(Fix.BOOK_FILL, "XYZ", 51))

    with scene.ledger.read() as tx:
        (trade,) = tx.trades("A")
    assert (trade.symbol, trade.quantity, trade.exit_px) == ("XYZ", dec(100), dec(51))


def test_an_order_of_others_is_adopted_at_once(scene: Scene) -> None:
    make_pass = Passes(scene)
    scene.venue.submit(request("theirs", "EXT", Side.BUY, 7, limit=dec(20)), make_pass.now)

    fixed(make_pass, asked(Fix.ADOPT, "theirs"))

    assert make_pass().is_clean
    assert scene.order(symbol="EXT").strategy == EXTERNAL
    assert len(audits(scene)) == 1


def test_an_order_in_doubt_that_the_venue_does_not_have_is_closed_by_a_person(scene: Scene) -> None:
    make_pass = Passes(scene)
    forget(scene)
    with scene.ledger.transaction() as tx:
        order = tx.order("buy-abc")
        assert order is not None
        tx.save_order(replace(order, status=OrdStatus.IN_DOUBT))
    assert make_pass().is_clean

    fixed(make_pass, asked(Fix.CLOSE_MISSING, "buy-abc"))

    assert scene.order(symbol="ABC").status is OrdStatus.CANCELED


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (asked(Fix.ADOPT, "EXT", operator=" "), "--operator is empty"),
        (asked(Fix.ADOPT, "EXT", reason=""), "--reason is empty"),
        (asked(Fix.ADOPT, "EXT", "-1"), "not a price"),
        (asked(Fix.ADOPT, "EXT", "NaN"), "not a price"),
        (asked(Fix.ADOPT, "NOPE"), "not a break now. Subjects: EXT, cash"),
        (asked(Fix.BOOK_FILL, "EXT"), "Use --fix adopt"),
        (asked(Fix.BOOK_CASH, "cash"), "Settle those first"),
    ],
)
def test_a_fix_that_does_not_fit_says_what_does(scene: Scene, wanted: FixRequest, message: str) -> None:
    buy_behind_our_back(scene)

    with pytest.raises(InputError, match=message):
        plan_fix(Passes(scene).desk(), DAY, wanted)


def test_a_sale_needs_its_price(scene: Scene) -> None:
    sell_behind_our_back(scene)

    with pytest.raises(InputError, match="--price USD_PER_SHARE"):
        plan_fix(Passes(scene).desk(), DAY, asked(Fix.BOOK_FILL, "XYZ"))


def test_what_still_works_at_the_venue_cannot_be_closed_on_record(scene: Scene) -> None:
    ticket = scene.venue._state.tickets["stop-xyz"]
    amend(scene, "stop-xyz", terms=(replace(ticket.terms[0], stop_price=dec(40)),))

    with pytest.raises(InputError, match="at the venue: only what works on record and not at the venue"):
        plan_fix(Passes(scene).desk(), DAY, asked(Fix.CLOSE_MISSING, "stop-xyz"))


def test_a_missing_stop_is_placed_not_booked(scene: Scene) -> None:
    make_pass = Passes(scene)
    scene.venue.cancel("stop-xyz", make_pass.now)
    make_pass()
    assert kinds(make_pass()) == ["stop_missing"]

    with pytest.raises(InputError, match="Place or correct the order at the venue"):
        plan_fix(make_pass.desk(), DAY, asked(Fix.BOOK_FILL, "XYZ"))
