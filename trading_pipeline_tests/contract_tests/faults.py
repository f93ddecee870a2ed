"""What goes wrong between us and a venue: nothing is sent twice, nothing that traded is lost, and doubt is said."""

from __future__ import annotations

import logging
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise

import pytest

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, OrderType, OrdStatus, Side
from trading_pipeline.venue.faults import Fault
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, bought, held, said, status_of
from trading_pipeline_tests.contract_tests.rehearsed import (
    Call,
    Rehearsed,
    attempt,
    entries_at_venue,
    healed,
    in_the_end,
    overfill,
    require_playable,
    trades_at_venue,
    trades_told,
)
from trading_pipeline_tests.venue.builders import a_bracket, an_oco, an_order

NEW, TRADE, CANCELED, REPLACED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED, ExecType.REPLACED
NEVER_DONE = [Fault.DROP_REQUEST, Fault.RESET, Fault.HTTP_429, Fault.HTTP_500]
UNHEARD = [Fault.DROP_REPLY, Fault.HTTP_504, Fault.HTML_BODY, Fault.MALFORMED]
SPOILED_NEWS = [Fault.DUPLICATE, Fault.REORDER, Fault.OMIT, Fault.STALL]
SKEWS = [-7200, -30, 30, 7200]


class FaultsContract:
    """`hasty` is a world whose broker waits a second for an answer."""

    # sending

    @pytest.mark.parametrize("fault", NEVER_DONE)
    def test_a_request_that_was_lost_is_in_doubt_and_can_be_sent_again(self, hasty: Rehearsed, fault: Fault) -> None:
        require_playable(hasty, fault)
        hasty.play(Call.SUBMIT, fault)

        with pytest.raises(OutcomeUnknown):
            hasty.broker.submit(a_bracket())
        healed(hasty)

        assert entries_at_venue(hasty) == []
        assert hasty.broker.order("b-e") is None
        assert hasty.broker.submit(a_bracket())
        assert entries_at_venue(hasty) == ["b-e"]

    @pytest.mark.parametrize("fault", UNHEARD)
    @pytest.mark.parametrize("restarts", [False, True], ids=["same process", "next process"])
    def test_an_order_that_was_taken_unheard_is_one_order(
        self, hasty: Rehearsed, fault: Fault, *, restarts: bool
    ) -> None:
        require_playable(hasty, fault)
        hasty.play(Call.SUBMIT, fault)

        attempt(hasty, a_bracket())
        healed(hasty)
        if restarts:
            hasty.reopen()

        found = hasty.broker.order("b-e")
        assert found is not None
        assert hasty.broker.submit(a_bracket()) == found.venue_order_id
        assert [said(hasty, leg) for leg in ("b-e", "b-s", "b-t")] == [[NEW]] * 3
        hasty.trade(99)
        assert (entries_at_venue(hasty), held(hasty)) == (["b-e"], {"AAA": 100})

    @pytest.mark.parametrize("fault", UNHEARD)
    def test_an_order_that_was_taken_unheard_and_has_traded_is_found_filled(
        self, hasty: Rehearsed, fault: Fault
    ) -> None:
        require_playable(hasty, fault)
        hasty.play(Call.SUBMIT, fault)
        attempt(hasty, a_bracket())
        healed(hasty)
        hasty.trade(99)
        hasty.reopen()

        assert status_of(hasty, "b-e") is OrdStatus.FILLED
        assert trades_told(hasty) == trades_at_venue(hasty)
        assert hasty.broker.submit(a_bracket())
        hasty.trade(99)
        assert (entries_at_venue(hasty), held(hasty)) == (["b-e"], {"AAA": 100})

    @pytest.mark.parametrize("fault", UNHEARD)
    def test_an_oco_that_was_taken_unheard_sells_no_share_twice(self, hasty: Rehearsed, fault: Fault) -> None:
        require_playable(hasty, fault)
        bought(hasty)
        hasty.play(Call.SUBMIT, fault)

        attempt(hasty, an_oco())
        healed(hasty)
        hasty.reopen()
        assert hasty.broker.submit(an_oco())

        assert sorted(order.client_order_id for order in hasty.broker.open_orders()) == ["o-s", "o-t"]
        assert len(hasty.venue.open_orders()) == 2

    def test_an_answer_later_than_anybody_waits_is_doubt_and_one_order(self, hasty: Rehearsed) -> None:
        hasty.play(Call.SUBMIT, Fault.DELAY, seconds=1.5)

        attempt(hasty, a_bracket())
        healed(hasty)
        again = attempt(hasty, a_bracket()) or attempt(hasty, a_bracket())

        assert again
        assert (entries_at_venue(hasty), len(hasty.venue.open_orders())) == (["b-e"], 3)

    def test_a_refusal_is_no_doubt_and_leaves_nothing(self, hasty: Rehearsed) -> None:
        hasty.play(Call.SUBMIT, Fault.REJECT, client_order_id="*")

        with pytest.raises(OrderRefused):
            hasty.broker.submit(a_bracket())

        assert (entries_at_venue(hasty), list(hasty.venue.open_orders())) == ([], [])

    def test_an_order_rejected_after_it_was_taken_is_a_report(self, hasty: Rehearsed) -> None:
        require_playable(hasty, Fault.REJECT_LATER)
        hasty.play(Call.SUBMIT, Fault.REJECT_LATER, client_order_id="x")
        try:
            hasty.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=100))
        except OrderRefused:  # it was rejected before it was taken, as far as anybody heard
            assert said(hasty, "x") == []
        else:
            assert said(hasty, "x") == [NEW, ExecType.REJECTED]
            assert status_of(hasty, "x") is OrdStatus.REJECTED

        hasty.trade(99)

        assert (list(hasty.broker.open_orders()), held(hasty)) == ([], {})

    # changing

    @pytest.mark.parametrize("fault", [*NEVER_DONE, *UNHEARD])
    def test_a_replacement_in_doubt_is_asked_again_and_holds(self, hasty: Rehearsed, fault: Fault) -> None:
        require_playable(hasty, fault)
        hasty.broker.submit(a_bracket())
        hasty.trade(99)
        hasty.play(Call.REPLACE, fault)

        try:
            hasty.broker.replace("b-s", stop_price=Decimal(98))
        except OutcomeUnknown:
            healed(hasty)
            hasty.broker.replace("b-s", stop_price=Decimal(98))
        healed(hasty)

        stop = hasty.broker.order("b-s")
        assert stop is not None
        assert stop.stop_price == 98
        assert list(dict.fromkeys(said(hasty, "b-s"))) == [NEW, REPLACED]  # asked again, it may be told again
        hasty.trade(97)
        assert held(hasty) == {}

    @pytest.mark.parametrize("fault", [*NEVER_DONE, *UNHEARD])
    def test_a_cancel_in_doubt_is_asked_again_and_cancels_once(self, hasty: Rehearsed, fault: Fault) -> None:
        require_playable(hasty, fault)
        hasty.broker.submit(a_bracket())
        hasty.play(Call.CANCEL, fault)

        try:
            hasty.broker.cancel("b-e")
        except OutcomeUnknown:
            healed(hasty)
            hasty.broker.cancel("b-e")
        healed(hasty)

        assert [said(hasty, leg) for leg in ("b-e", "b-s", "b-t")] == [[NEW, CANCELED]] * 3

    # looking

    @pytest.mark.parametrize("fault", [*NEVER_DONE, Fault.HTTP_504, Fault.HTML_BODY, Fault.MALFORMED])
    def test_a_look_that_fails_is_unknown_or_right_and_the_next_one_tells_all(
        self, hasty: Rehearsed, fault: Fault
    ) -> None:
        require_playable(hasty, fault)
        hasty.broker.submit(a_bracket())
        hasty.trade(99)
        hasty.play(Call.LOOK, fault)

        for ask in (hasty.broker.open_orders, hasty.broker.positions):
            with suppress(OutcomeUnknown):
                assert ask()
        healed(hasty)

        assert in_the_end(lambda: trades_told(hasty)) == trades_at_venue(hasty)
        assert held(hasty) == {"AAA": 100}

    @pytest.mark.parametrize("fault", SPOILED_NEWS)
    def test_each_fill_is_told_once_whatever_becomes_of_the_news(self, hasty: Rehearsed, fault: Fault) -> None:
        require_playable(hasty, fault)
        hasty.listen()
        hasty.play(Call.NEWS, fault, times=4)
        hasty.broker.submit(a_bracket())
        for price in (99, 94):
            hasty.trade(price)
            hasty.broker.execution_reports(LONG_AGO)
        healed(hasty)

        assert trades_told(hasty) == trades_at_venue(hasty)
        assert (status_of(hasty, "b-s"), status_of(hasty, "b-t")) == (OrdStatus.FILLED, OrdStatus.CANCELED)
        told = list(hasty.broker.execution_reports(LONG_AGO))
        assert len({report.exec_id for report in told}) == len(told)
        assert all(before.occurred_at <= after.occurred_at for before, after in pairwise(told))

    def test_a_fill_while_the_news_were_away_is_told_once_after_they_are_back(self, hasty: Rehearsed) -> None:
        hasty.listen()
        hasty.broker.submit(a_bracket())
        hasty.cut_news()

        hasty.trade(99)
        hasty.await_connection(2)
        hasty.broker.execution_reports(LONG_AGO)
        healed(hasty)

        assert trades_told(hasty) == trades_at_venue(hasty)
        assert said(hasty, "b-e") == [NEW, TRADE]
        assert held(hasty) == {"AAA": 100}

    def test_a_word_nobody_has_heard_of_is_doubt_and_an_alarm_and_never_an_error(
        self, hasty: Rehearsed, caplog: pytest.LogCaptureFixture
    ) -> None:
        require_playable(hasty, Fault.UNKNOWN_VALUE)
        hasty.broker.submit(a_bracket())
        hasty.play(Call.LOOK, Fault.UNKNOWN_VALUE, times=0)

        assert status_of(hasty, "b-e") is OrdStatus.IN_DOUBT
        hasty.broker.execution_reports(LONG_AGO)
        assert {order.client_order_id for order in hasty.broker.open_orders()} >= {"b-e"}
        loud = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert any("unheard" in record.getMessage().lower() for record in loud)

        healed(hasty)
        hasty.trade(99)
        assert status_of(hasty, "b-e") is OrdStatus.FILLED
        assert trades_told(hasty) == trades_at_venue(hasty)

    def test_fields_nobody_has_heard_of_are_passed_over(self, hasty: Rehearsed) -> None:
        require_playable(hasty, Fault.EXTRA_FIELD)
        hasty.listen()
        hasty.play(Call.ANY, Fault.EXTRA_FIELD, times=0)

        hasty.broker.submit(a_bracket())
        hasty.trade(99)

        assert said(hasty, "b-e") == [NEW, TRADE]
        assert (held(hasty), len(hasty.broker.open_orders())) == ({"AAA": 100}, 2)
        assert hasty.broker.account().cash_usd > 0

    @pytest.mark.parametrize("seconds", SKEWS)
    def test_a_venue_whose_clock_is_off_loses_and_doubles_nothing(self, hasty: Rehearsed, seconds: int) -> None:
        require_playable(hasty, Fault.CLOCK_SKEW)
        hasty.play(Call.ANY, Fault.CLOCK_SKEW, times=0, seconds=seconds)
        hasty.broker.submit(a_bracket())
        told: dict[str, Decimal] = {}
        hasty.broker.execution_reports(LONG_AGO)  # as every process does when it begins
        since = hasty.clock.now()
        for price in (99, 111):
            hasty.trade(price)
            for report in hasty.broker.execution_reports(since):
                told[report.exec_id] = report.last_qty
            since = hasty.clock.now()

        assert sorted(shares for shares in told.values() if shares) == [100, 100]
        assert (status_of(hasty, "b-t"), held(hasty)) == (OrdStatus.FILLED, {})

    # what others do, and what cannot be

    def test_an_order_of_somebody_else_is_seen_and_told_and_disturbs_nothing(self, hasty: Rehearsed) -> None:
        hasty.broker.submit(a_bracket())
        hasty.stranger().submit(an_order("theirs", Side.BUY, OrderType.LIMIT, limit=100, quantity=7))
        assert len(hasty.broker.open_orders()) == 4

        hasty.trade(99)

        assert trades_told(hasty) == trades_at_venue(hasty)
        assert held(hasty) == {"AAA": 107}
        assert said(hasty, "b-e") == [NEW, TRADE]

    def test_more_shares_than_were_ordered_are_told_as_they_are(self, hasty: Rehearsed) -> None:
        hasty.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=100))
        hasty.trade(99)
        overfill(hasty, "x", 7)
        hasty.trade(99)

        assert trades_told(hasty) == trades_at_venue(hasty)
        assert [shares for shares, _ in trades_told(hasty)] == [7, 100]
