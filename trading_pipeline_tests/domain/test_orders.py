"""Order ids, and quotes that know their age."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import NaiveDatetimeError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.orders import Leg, OrdStatus, client_order_id
from trading_pipeline_tests.builders import AT, SESSION, an_order, dec, two_quotes

identities = st.tuples(
    st.text(min_size=1),
    st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    st.text(min_size=1),
    st.text(min_size=1, max_size=12),
    st.text(min_size=1),
    st.sampled_from(Leg),
    st.integers(1, 9),
)


@given(identity=identities)
def test_an_order_id_is_short_plain_and_the_same_for_the_same_intent(
    identity: tuple[str, date, str, str, str, Leg, int],
) -> None:
    made = client_order_id(*identity)

    assert made == client_order_id(*identity)
    assert made.isascii()
    assert len(made) <= 48


def test_every_part_of_an_intent_makes_another_order_id() -> None:
    tomorrow = SESSION + timedelta(days=1)
    made = {
        client_order_id("A", SESSION, "sabr20", "XYZ", "setup-1", Leg.ENTRY, 1),
        client_order_id("B", SESSION, "sabr20", "XYZ", "setup-1", Leg.ENTRY, 1),
        client_order_id("A", tomorrow, "sabr20", "XYZ", "setup-1", Leg.ENTRY, 1),
        client_order_id("A", SESSION, "other", "XYZ", "setup-1", Leg.ENTRY, 1),
        client_order_id("A", SESSION, "sabr20", "ABC", "setup-1", Leg.ENTRY, 1),
        client_order_id("A", SESSION, "sabr20", "XYZ", "setup-2", Leg.ENTRY, 1),
        client_order_id("A", SESSION, "sabr20", "XYZ", "setup-1", Leg.STOP, 1),
        client_order_id("A", SESSION, "sabr20", "XYZ", "setup-1", Leg.ENTRY, 2),
    }
    assert len(made) == 8


def test_only_what_the_venue_may_still_fill_is_open() -> None:
    assert an_order(cum_qty=40).leaves_qty == 60
    assert an_order(status=OrdStatus.CANCELED, cum_qty=40).leaves_qty == dec(0)
    assert an_order(status=OrdStatus.IN_DOUBT).is_open


def test_a_quote_is_never_younger_than_now_and_instants_carry_a_zone() -> None:
    quote, _ = two_quotes(50, 50)

    assert quote.age(AT + timedelta(seconds=5)) == timedelta(seconds=5)
    assert quote.age(AT - timedelta(seconds=5)) == timedelta(0)
    with pytest.raises(NaiveDatetimeError, match="without a time zone"):
        require_aware(AT.replace(tzinfo=None))
