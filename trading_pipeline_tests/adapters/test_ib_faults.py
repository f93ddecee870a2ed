"""What goes wrong between us and TWS: nothing is doubled, nothing lost, nothing believed too early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.ib import LinkState
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, OrdStatus
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import FaultRule
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.ib_worlds import HASTY, IbWorld, until
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, held, quantity_of, reports_of, said, status_of
from trading_pipeline_tests.venue.builders import a_bracket, an_oco
from trading_pipeline_tests.venue.tws.doors import a_tws_door

NEW, TRADE, CANCELED, CORRECTED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED, ExecType.TRADE_CORRECT


@pytest.fixture
def far(tmp_path: Path) -> Iterator[IbWorld]:
    venue = SimulatedVenue(None, VenueRules())
    with a_tws_door(venue) as doors:
        world = IbWorld(doors, venue, tmp_path, HASTY)
        try:
            yield world
        finally:
            world.broker.close()


def rule(fault: str, op: str = "orders.submit", **details: object) -> FaultRule:
    return FaultRule.model_validate({"fault": fault, "op": op, **details})


def trades_at_venue(world: IbWorld) -> Counter[str]:
    return Counter(r.client_order_id for r in world.venue.reports if r.exec_type is TRADE)


def trades_told(world: IbWorld) -> Counter[str]:
    reports = world.broker.execution_reports(LONG_AGO)
    return Counter(r.client_order_id for r in reports if r.exec_type is TRADE)


# an answer that does not come


@pytest.mark.parametrize("fault", ["drop_request", "reset"])
def test_what_tws_never_heard_is_unknown_and_the_same_id_can_be_sent_again(far: IbWorld, fault: str) -> None:
    far.play(rule(fault))

    with pytest.raises(OutcomeUnknown):
        far.broker.submit(a_bracket())

    assert far.broker.order("b-e") is None
    assert far.broker.submit(a_bracket())
    assert len(far.venue.open_orders()) == 3


def test_what_tws_did_unheard_is_unknown_and_the_same_id_is_the_same_order(far: IbWorld) -> None:
    far.play(rule("drop_reply", client_order_id="b-t"))

    with pytest.raises(OutcomeUnknown, match="Look it up"):
        far.broker.submit(a_bracket())

    found = far.broker.order("b-e")
    assert found is not None
    assert far.broker.submit(a_bracket()) == found.venue_order_id
    assert len(far.venue.open_orders()) == 3


def test_an_acknowledgement_that_got_lost_is_found_by_looking(far: IbWorld) -> None:
    far.play(rule("http_504", client_order_id="b-t"), rule("omit", "stream", times=0))

    assert far.broker.submit(a_bracket())

    assert said(far, "b-e") == said(far, "b-s") == [NEW]


def test_a_part_of_a_bracket_that_never_arrived_leaves_no_entry_alone(far: IbWorld) -> None:
    far.play(rule("drop_request", client_order_id="b-t"))

    with pytest.raises(OutcomeUnknown):
        far.broker.submit(a_bracket())
    far.trade(99)

    assert held(far) == {}
    assert far.venue.open_orders() == ()


# news doubled, shuffled, lost


@pytest.mark.parametrize("fault", ["duplicate", "reorder", "omit", "extra_field", "delay"])
def test_each_fill_is_told_once_whatever_becomes_of_the_news(far: IbWorld, fault: str) -> None:
    far.play(rule(fault, "stream", times=0, seconds=0.05))
    far.broker.submit(a_bracket())
    far.trade(99)
    far.trade(94)

    assert trades_told(far) == trades_at_venue(far) == {"b-e": 1, "b-s": 1}
    assert (status_of(far, "b-s"), status_of(far, "b-t")) == (OrdStatus.FILLED, OrdStatus.CANCELED)
    assert said(far, "b-t") == [NEW, CANCELED]
    told = far.broker.execution_reports(LONG_AGO)
    assert far.broker.execution_reports(LONG_AGO) == told


@pytest.mark.parametrize("fault", ["duplicate", "reorder", "extra_field"])
def test_answers_doubled_or_shuffled_say_the_same(far: IbWorld, fault: str) -> None:
    far.broker.submit(a_bracket())
    far.trade(99)
    plain = far.broker.execution_reports(LONG_AGO)
    far.play(rule(fault, "orders.*", times=0), rule(fault, "executions", times=0))

    assert far.broker.execution_reports(LONG_AGO) == plain
    assert [one.client_order_id for one in far.broker.open_orders()] == ["b-s", "b-t"]


def test_a_cut_message_ends_the_connection_and_loses_nothing(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.play(rule("malformed", "stream"))
    far.trade(99)

    assert trades_told(far) == {"b-e": 1}
    assert held(far) == {"AAA": 100}


# words nobody has heard of


def test_a_status_nobody_has_heard_of_is_in_doubt_and_said(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.play(rule("unknown_value", "orders.open", times=0))

    assert status_of(far, "b-e") is OrdStatus.IN_DOUBT
    assert any("ZzUnheardOf" in remark for remark in far.broker.health().remarks)
    assert said(far, "b-e") == [NEW]


def test_an_error_nobody_has_heard_of_ends_no_order(far: IbWorld) -> None:
    far.play(rule("unknown_value", "stream", times=0))
    far.broker.submit(a_bracket())

    assert status_of(far, "b-e") is OrdStatus.NEW
    far.broker.cancel("b-e")
    assert said(far, "b-e") == [NEW, CANCELED]


def test_an_error_that_libraries_take_for_an_orders_end_is_not_believed(far: IbWorld) -> None:
    """10349 says the time in force was set; the client library then shows the order as cancelled."""
    far.play(rule("cancel_hint", times=0))

    far.broker.submit(a_bracket())

    assert status_of(far, "b-e") is status_of(far, "b-s") is OrdStatus.NEW
    assert said(far, "b-e") == [NEW]


# refusals


def test_a_refusal_is_definite_repeated_in_the_same_words_and_leaves_nothing(far: IbWorld) -> None:
    far.play(rule("reject", client_order_id="b-e"))

    with pytest.raises(OrderRefused, match="201 Order rejected") as first:
        far.broker.submit(a_bracket())
    with pytest.raises(OrderRefused) as again:
        far.broker.submit(a_bracket())

    assert str(first.value) == str(again.value)
    assert far.venue.open_orders() == ()
    assert far.broker.execution_reports(LONG_AGO) == ()


@pytest.mark.parametrize("leg", ["o-s", "o-t"])
def test_an_oco_of_which_one_side_is_refused_is_withdrawn_whole(far: IbWorld, leg: str) -> None:
    far.broker.submit(a_bracket("b"))
    far.trade(99)
    far.broker.cancel("b-s")
    far.play(rule("reject", client_order_id=leg))

    with pytest.raises(OrderRefused):
        far.broker.submit(an_oco())

    assert far.venue.open_orders() == ()
    assert reports_of(far, "o-s") == reports_of(far, "o-t") == []


def test_a_late_rejection_is_a_report(far: IbWorld) -> None:
    far.broker.submit(a_bracket("a"))
    far.play(rule("reject_later", client_order_id="b-t"))
    try:
        far.broker.submit(a_bracket())
    except OrderRefused:
        assert reports_of(far, "b-t") == []
    else:
        assert said(far, "b-t")[-1] in {ExecType.REJECTED, CANCELED}
    assert said(far, "a-e") == [NEW]


# commissions and corrections


def test_a_commission_that_comes_late_corrects_its_trade_once(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.play(rule("no_commission", "stream", times=0), rule("no_commission", "executions", times=0))
    far.trade(99)

    first = [r for r in far.broker.execution_reports(LONG_AGO) if r.exec_type is TRADE]
    far.play()
    later = far.broker.execution_reports(LONG_AGO)

    assert [r.commission for r in first] == [0]
    (correction,) = [r for r in later if r.exec_type is CORRECTED]
    assert (correction.ref_exec_id, correction.commission) == (first[0].exec_id, Decimal(1))
    assert (correction.last_qty, correction.last_px) == (first[0].last_qty, first[0].last_px)
    assert [r for r in later if r.exec_type is TRADE] == first
    assert far.broker.execution_reports(LONG_AGO) == later


def test_a_corrected_execution_names_the_trade_it_corrects(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.trade(99)
    (trade,) = [r for r in far.broker.execution_reports(LONG_AGO) if r.exec_type is TRADE]

    far.doors.act("correct", exec_id=trade.exec_id, price="98.5")

    told = far.broker.execution_reports(LONG_AGO)
    (correction,) = [r for r in told if r.exec_type is CORRECTED]
    assert correction.exec_id == trade.exec_id.removesuffix(".01") + ".02"
    assert (correction.ref_exec_id, correction.last_px, correction.last_qty) == (
        trade.exec_id,
        Decimal("98.5"),
        Decimal(100),
    )
    far.restart()
    assert far.broker.execution_reports(LONG_AGO) == told


# the connection


def test_fills_while_the_socket_was_closed_are_told_once_after_it(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.doors.act("reset")
    far.trade(99)

    assert trades_told(far) == {"b-e": 1}
    assert far.broker.health().connections == 2
    assert trades_told(far) == {"b-e": 1}


def test_while_tws_has_lost_its_servers_nothing_leaves_and_afterwards_all_is_read_again(far: IbWorld) -> None:
    far.broker.submit(a_bracket("a"))
    far.doors.act("lose_servers")
    until(lambda: far.broker.health().state is LinkState.CUT_OFF)

    created_at = far.clock.now()
    far.broker.restore(())
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        far.broker.submit(a_bracket("b"))
    assert far.broker.never_left("b-e", created_at)
    with pytest.raises(OutcomeUnknown):
        far.broker.cancel("a-e")
    with pytest.raises(OutcomeUnknown):
        far.broker.positions()
    far.trade(99)
    far.doors.act("find_servers", with_data=False)
    until(lambda: far.broker.health().state is LinkState.READY)

    assert trades_told(far) == {"a-e": 1}
    assert far.broker.submit(a_bracket("b"))


@pytest.mark.parametrize("with_data", [True, False])
def test_after_1101_and_1102_the_connection_is_ready_again(far: IbWorld, with_data: bool) -> None:
    far.broker.account()
    far.doors.act("lose_servers")
    until(lambda: far.broker.health().state is LinkState.CUT_OFF)

    far.doors.act("find_servers", with_data=with_data)

    until(lambda: far.broker.health().state is LinkState.READY)
    assert far.broker.health().connections == 2


def test_a_mute_tws_is_unknown_and_connected_to_anew(far: IbWorld) -> None:
    far.broker.account()
    far.play(rule("stall", "positions"))

    with pytest.raises(OutcomeUnknown, match="positions: no answer"):
        far.broker.positions()

    assert far.broker.positions() == ()
    assert far.broker.health().connections == 2


def test_news_wakes_whoever_listens(far: IbWorld) -> None:
    heard: list[None] = []
    far.broker.submit(a_bracket())
    stop = far.broker.hear(lambda: heard.append(None))

    far.trade(99)

    until(lambda: bool(heard))
    stop()


# ids and memory


def test_ids_rolled_back_by_tws_are_not_used_again(far: IbWorld) -> None:
    for name in "ab":
        far.broker.submit(a_bracket(name))
    far.doors.act("roll_back", client_id=11, count=6)
    far.doors.act("reset")
    until(lambda: far.broker.health().connections == 2)

    far.broker.submit(a_bracket("c"))

    assert {one.client_order_id for one in far.broker.open_orders()} == {f"{n}-{leg}" for n in "abc" for leg in "est"}
    assert quantity_of(far, "a-e") == 100
    far.broker.cancel("a-e")
    assert [one.client_order_id for one in far.broker.open_orders()] == [
        f"{name}-{leg}" for name in "bc" for leg in "est"
    ]


def test_ids_of_orders_that_have_ended_are_not_used_again_either(far: IbWorld) -> None:
    """Nothing TWS lists at the connection says how far the ids had come: the file does."""
    far.broker.submit(a_bracket("a"))
    far.broker.cancel("a-e")
    far.doors.act("roll_back", client_id=11, count=6)
    far.restart()

    far.broker.submit(a_bracket("c"))

    first = {one.terms.order_ref: one.order_id for one in far.doors.door.desk.orders}
    assert first["c-e"] > first["a-t"]
    assert said(far, "a-e") == [NEW, CANCELED]
    assert said(far, "c-e") == [NEW]


def test_a_restarted_process_tells_the_same_in_the_same_words(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.trade(99)
    far.broker.replace("b-s", stop_price=Decimal(96))
    told = far.broker.execution_reports(LONG_AGO)

    far.restart()

    assert far.broker.execution_reports(LONG_AGO) == told
    with pytest.raises(OrderRefused):
        far.broker.submit(a_bracket(quantity=99))
    assert far.broker.submit(a_bracket())
    assert len(far.venue.open_orders()) == 2


def test_a_process_that_lost_its_files_doubles_nothing_and_loses_no_fill(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.trade(99)
    before = far.broker.execution_reports(LONG_AGO)

    far.restart(forget=True)

    assert far.broker.submit(a_bracket()) == before[0].venue_order_id
    assert far.broker.submit(a_bracket("c"))
    trades = [r for r in before if r.exec_type is TRADE]
    assert [r for r in far.broker.execution_reports(LONG_AGO) if r.exec_type is TRADE] == trades
    assert {one.client_order_id for one in far.venue.open_orders()} == {"b-s", "b-t", "c-e", "c-s", "c-t"}


def test_an_order_of_another_program_is_seen_told_and_left_alone(far: IbWorld, tmp_path: Path) -> None:
    other = IbWorld(far.doors, far.venue, tmp_path / "other", HASTY, client_id=77)
    other.broker.submit(a_bracket("x"))
    far.trade(99)

    assert {one.client_order_id for one in far.broker.open_orders()} == {"x-s", "x-t"}
    assert trades_told(far) == {"x-e": 1}
    with pytest.raises(OrderRefused, match="client 77"):
        far.broker.cancel("x-s")
    other.broker.close()
