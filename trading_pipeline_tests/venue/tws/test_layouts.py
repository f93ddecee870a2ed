"""Field positions against messages recorded from a gateway (server version 164; facts from wboayue/rust-ibapi, MIT).

An oracle of its own: what both client libraries read and what the door writes could agree and both be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trading_pipeline.domain.market import Timeframe
from trading_pipeline.ports import VenuePosition
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.accounts import Account
from trading_pipeline.venue.tws.contracts import Asked, Contracts, Stock
from trading_pipeline.venue.tws.history import BarRequest, historical_data
from trading_pipeline.venue.tws.order_messages import (
    Execution,
    Shown,
    commission_report,
    completed_order,
    execution,
    open_order,
    order_status,
)
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.placing import Terms, read_placing
from trading_pipeline.venue.tws.wire import Fields, Message, encoded, fields_of, text_of
from trading_pipeline_tests.venue.builders import a_bar, a_venue
from trading_pipeline_tests.venue.tapes import ListedTape

TSLA, UNSET = "76792991", "1.7976931348623157E308"
UNSET_INT = "2147483647"
MARKET = Terms(
    action="BUY", quantity=Decimal(100), order_type="MKT", limit_price=None, aux_price=None, tif="DAY", oca_group="",
    oca_type=3, account="", order_ref="", transmit=True, parent_id=0, outside_rth=False, trail_stop_price=None,
    trailing_percent=None,
)  # fmt: skip
ORDER = WireOrder(perm_id=1376327563, client_id=100, order_id=13, symbol="TSLA", exchange="SMART", terms=MARKET)
SHOWN = Shown(
    order=ORDER, account="DU1236109", status="PreSubmitted", quantity=Decimal(100), remaining=Decimal(100)
)  # fmt: skip
FILLED = replace(
    SHOWN, status="Filled", filled=Decimal(100), remaining=Decimal(0), avg_price=Decimal("196.52"),
    last_price=Decimal("196.52"), commission=Decimal("1.0"), end_text="Filled Size: 100",
    ended_at=datetime(2023, 3, 6, 20, 28, 30, tzinfo=UTC),
)  # fmt: skip
DONE = Execution(
    exec_id="00025b46.63f8f39c.01.01", order=ORDER, time=datetime(2023, 2, 24, 17, 4, 56, tzinfo=UTC),
    shares=Decimal(100), price=Decimal("196.52"), commission=Decimal("1.0"), cum_quantity=Decimal(100),
    avg_price=Decimal("196.52"),
)  # fmt: skip

STOCK_AT_1 = {1: TSLA, 2: "TSLA", 3: "STK", 5: "0", 6: "?", 8: "SMART", 9: "USD", 10: "TSLA", 11: "NMS"}
RECORDED_OPEN_ORDER = {
    0: "5", 1: "13", **{at + 1: text for at, text in STOCK_AT_1.items()}, 13: "BUY", 14: "100", 15: "MKT",
    16: "0.0", 17: "0.0", 18: "DAY", 20: "DU1236109", 22: "0", 24: "100", 25: "1376327563", 26: "0", 27: "0",
    28: "0", 30: "1376327563.0/DU1236109/100", 40: "0", 42: "-1", 43: "0", 49: UNSET_INT, 50: "0", 51: "0", 52: "0",
    54: "3", 55: "0", 56: "0", 58: "0", 59: "0", 61: "0", 62: "None", 64: "0", 68: "?", 69: "0", 70: "0", 72: "0",
    73: "0", 79: "0", 80: "0", 81: "0", 82: UNSET_INT, 83: UNSET_INT, 86: "0", 88: "IB", 89: "0", 90: "0", 92: "0",
    93: "0", 94: "PreSubmitted", **dict.fromkeys(range(95, 104), UNSET), 109: "0", 110: "0", 111: "0", 112: "None",
    **dict.fromkeys(range(113, 119), UNSET), 119: "0", 123: "0", 124: "1", 125: "0", 126: "0", 127: "0", 130: "0",
}  # fmt: skip
RECORDED_STATUS = {
    0: "3", 1: "13", 2: "PreSubmitted", 3: "0", 4: "100", 5: "0", 6: "1376327563", 7: "0", 8: "0", 9: "100", 11: "0"
}  # fmt: skip
RECORDED_EXECUTION = {
    0: "11", 1: "-1", 2: "13", 3: TSLA, 4: "TSLA", 5: "STK", 7: "0.0", 10: "ISLAND", 11: "USD", 12: "TSLA", 13: "NMS",
    14: "00025b46.63f8f39c.01.01", 16: "DU1236109", 17: "ISLAND", 18: "BOT", 19: "100", 20: "196.52",
    21: "1376327563", 22: "100", 23: "0", 24: "100", 25: "196.52", 30: "2",
}  # fmt: skip
RECORDED_COMMISSION = {0: "59", 1: "1", 2: "00025b46.63f8f39c.01.01", 4: "USD", 5: UNSET, 6: UNSET}
RECORDED_COMPLETED = {
    0: "101", **STOCK_AT_1, 12: "BUY", 13: "0", 14: "MKT", 15: "0.0", 16: "0.0", 17: "DAY", 19: "DU1236109", 21: "0",
    23: "1376327563", 24: "0", 25: "0", 26: "0", 37: "0", 39: "-1", 45: UNSET_INT, 46: "0", 47: "0", 49: "3", 50: "0",
    52: "0", 53: "None", 55: "0", 56: "0", 57: "0", 59: "0", 60: "0", 64: "0", 65: "0", 66: "0", 67: UNSET_INT,
    68: UNSET_INT, 72: "IB", 73: "0", 74: "0", 76: "0", 77: "Filled", 78: "0", 79: "0", 80: "0", 81: UNSET, 82: UNSET,
    83: "0", 84: "1", 85: "0", 87: "100", 88: UNSET_INT, 89: "0", 90: "Not an insider or substantial shareholder",
    91: "0", 92: "0", 93: "9223372036854775807", 95: "Filled Size: 100",
}  # fmt: skip
RECORDED_POSITION = {
    0: "61", 1: "3", 2: "DU1236109", 3: TSLA, 4: "TSLA", 5: "STK", 7: "0.0", 10: "NASDAQ", 11: "USD", 12: "TSLA",
    13: "NMS", 14: "500", 15: "196.77",
}  # fmt: skip
LATER_FIELDS = 5
"""Server version 170 put five more behind orders; no recording of them is known, both clients' readers are."""


def written(message: Message) -> dict[int, str]:
    """Position to text, of the fields that are not empty."""
    return {at: text for at, field in enumerate(message) if (text := text_of(field))}


def recorded(expected: Mapping[int, str]) -> dict[int, str]:
    """With the contract id this venue gives the symbol: a real one is the broker's to give."""
    return {at: str(Stock("TSLA").con_id) if text == TSLA else text for at, text in expected.items()}


def without(found: Mapping[int, str], *positions: int) -> dict[int, str]:
    return {at: text for at, text in found.items() if at not in positions}


def test_open_order_has_every_field_where_a_gateway_writes_it() -> None:
    message = open_order(SHOWN)

    assert written(message) == recorded(RECORDED_OPEN_ORDER)
    assert len(message) == 131 + LATER_FIELDS


def test_a_filled_open_order_carries_its_commission_where_a_gateway_writes_it() -> None:
    found = written(open_order(FILLED))

    assert (found[94], found[104], found[107]) == ("Filled", "1", "USD")


def test_order_status_has_every_field_where_a_gateway_writes_it() -> None:
    assert written(order_status(SHOWN)) == RECORDED_STATUS
    assert len(order_status(SHOWN)) == 12
    assert written(order_status(FILLED))[5] == written(order_status(FILLED))[8] == "196.52"


def test_an_execution_has_every_field_where_a_gateway_writes_it() -> None:
    message = execution(-1, DONE, "DU1236109")

    assert without(written(message), 15) == recorded(RECORDED_EXECUTION)
    assert message[15] == "20230224 12:04:56 US/Eastern"  # version 164 left the zone out
    assert len(message) == 31


def test_a_commission_report_has_every_field_where_a_gateway_writes_it() -> None:
    message = commission_report(DONE)

    assert without(written(message), 3) == RECORDED_COMMISSION
    assert (float(text_of(message[3])), len(message)) == (1.0, 8)


def test_a_completed_order_has_every_field_where_a_gateway_writes_it() -> None:
    message = completed_order(replace(FILLED, quantity=FILLED.remaining))

    assert without(written(message), 94) == recorded(RECORDED_COMPLETED)
    assert message[94] == "20230306 15:28:30 US/Eastern"
    assert len(message) == 96 + LATER_FIELDS


def test_a_position_has_every_field_where_a_gateway_writes_it() -> None:
    message = Account(Hub(a_venue()), "DU1236109").position(VenuePosition("TSLA", Decimal(500), Decimal("196.77")))

    assert written(message) == recorded(RECORDED_POSITION)
    assert len(message) == 16


def test_contract_details_have_every_field_where_a_gateway_writes_it() -> None:
    contracts = Contracts(Hub(a_venue(), tape=ListedTape([a_bar(0, 10, 10, 10, 10, symbol="TSLA")])))

    message = contracts.details(9001, Stock("TSLA"))

    expected = {0: "10", 1: "9001", 2: "TSLA", 3: "STK", 5: "0", 7: "SMART", 8: "USD", 9: "TSLA", 10: "NMS", 11: "NMS",
                12: str(Stock("TSLA").con_id), 13: "0.01", 17: "1", 18: "0", 20: "NASDAQ", 25: "US/Eastern", 30: "0",
                31: "1", 36: "COMMON", 37: "1", 38: "1", 39: "100"}  # fmt: skip
    assert {at: text for at, text in written(message).items() if at in expected} == expected
    assert len(message) == 42 - 2  # the recorded one has a security id (two fields more)
    assert set(text_of(message[34]).split(",")) == {"26"}


def test_historical_bars_have_every_field_where_a_gateway_writes_it() -> None:
    asked = BarRequest(9000, Asked(0, "TSLA", "STK", "SMART", "USD"), None, "1 min", "60 S", "TRADES", False, False)
    bar = a_bar(0, "182.94", "186.5", "180.94", "185.9", symbol="TSLA", volume=948837)

    message = historical_data(asked, [bar, bar])

    head, first, second = message[:5], message[5:13], message[13:]
    assert head == (17, 9000, "20250610 09:30:00 US/Eastern", "20250610 09:31:00 US/Eastern", 2)
    prices = [Decimal("182.94"), Decimal("186.5"), Decimal("180.94"), Decimal("185.9"), Decimal(948837)]
    assert list(first[1:6]) == prices  # open, high, low, close, volume
    assert first[0] == "20250610 09:30:00 US/Eastern"
    assert (len(first), second) == (8, first)


def test_a_day_bar_carries_its_date_alone() -> None:
    asked = BarRequest(1, Asked(0, "TSLA", "STK", "SMART", "USD"), None, "1 day", "1 D", "TRADES", True, False)

    assert asked.timeframe is Timeframe.DAY1
    assert historical_data(asked, [a_bar(0, 1, 1, 1, 1)])[5] == "20250610"


RECORDED_PLACING = {
    0: "3", 1: "13", 2: "0", 3: "TSLA", 4: "STK", 6: "0", 9: "SMART", 11: "USD", 16: "BUY", 17: "100", 18: "MKT",
    25: "0", 27: "1", **dict.fromkeys(range(28, 35), "0"), 36: "0", 44: "0", 46: "-1", 47: "0",
}  # fmt: skip
"""What a client sent, up to the field where versions begin to differ."""


@pytest.mark.parametrize(
    ("position", "text", "name", "expected"),
    [
        (19, "101.5", "limit_price", Decimal("101.5")),
        (20, "99.5", "aux_price", Decimal("99.5")),
        (21, "GTC", "tif", "GTC"),
        (22, "group", "oca_group", "group"),
        (23, "DU1", "account", "DU1"),
        (26, "mine", "order_ref", "mine"),
        (27, "0", "transmit", False),
        (28, "12", "parent_id", 12),
        (33, "1", "outside_rth", True),
        (47, "2", "oca_type", 2),
        (69, "97.5", "trail_stop_price", Decimal("97.5")),
    ],
)
def test_a_placed_order_is_read_from_where_clients_write_it(
    position: int, text: str, name: str, expected: object
) -> None:
    sent = {**RECORDED_PLACING, position: text}

    placing = read_placing(Fields([sent.get(at, "") for at in range(110)]))

    assert getattr(placing.terms, name) == expected
    assert (placing.order_id, placing.contract.symbol, placing.terms.quantity) == (13, "TSLA", Decimal(100))
    assert placing.is_plain
    assert not placing.what_if


def test_a_frame_is_its_length_and_nul_ended_fields() -> None:
    frame = encoded((4, 2, -1, True, None, Decimal("1E+2")))

    assert frame[:4] == (len(frame) - 4).to_bytes(4, "big")
    assert fields_of(frame[4:]) == ["4", "2", "-1", "1", "", "100"]
