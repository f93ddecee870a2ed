"""Every status and error code of TWS that concerns orders and the connection, and what it means for us.

Sources: https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc/#api-error-codes; the tables of LEAN's
InteractiveBrokersBrokerage and of NautilusTrader's adapter; what users report.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from trading_pipeline.domain.orders import OrdStatus as S


class Meaning(Enum):
    """What an error message of TWS is about. None of them alone ends an order: TWS is asked before that is believed."""

    INFO = auto()
    """Nothing that concerns orders."""
    REMARK = auto()
    """The order or the change stands; something is said about it."""
    REFUSED = auto()
    """An order or a change was not taken."""
    ENDED = auto()
    """The order was cancelled."""
    NOT_CANCELED = auto()
    """A cancel was not taken: the order has ended or is unknown."""
    REQUEST = auto()
    """A request for data or details failed."""
    CUT_OFF = auto()
    """TWS has lost Interactive Brokers: what is sent now may be lost."""
    RESTORED_LOST = auto()
    """TWS is connected again; subscriptions are gone."""
    RESTORED = auto()
    """TWS is connected again; subscriptions stand."""
    DENIED = auto()
    """TWS will not talk with this client."""
    UNKNOWN = auto()
    """A code nobody has heard of: logged, and TWS is asked what became of the order."""


def _all(meaning: Meaning, *codes: int) -> dict[int, Meaning]:
    return dict.fromkeys(codes, meaning)


MEANINGS: Mapping[int, Meaning] = {
    **_all(Meaning.CUT_OFF, 1100, 2110),
    **_all(Meaning.RESTORED_LOST, 1101),
    **_all(Meaning.RESTORED, 1102),
    **_all(Meaning.DENIED, 326, 501, 502, 503, 504, 505, 506, 507, 1300),
    **_all(Meaning.ENDED, 202),
    **_all(Meaning.NOT_CANCELED, 161, 10147, 10148, 10149),
    **_all(Meaning.REMARK, 399, 404, 2102, 2109, 10349),
    **_all(
        Meaning.REQUEST,
        100, 101, 102, 162, 165, 166, 300, 301, 302, 309, 316, 317, 319, 322, 323, 324, 330, 354, 365, 366, 420,
        10089, 10090, 10091, 10167, 10168, 10186, 10187, 10189, 10190, 10197, 10225,
    ),
    **_all(
        Meaning.INFO, 2100, 2101, 2103, 2104, 2105, 2106, 2107, 2108, 2119, 2137, 2148, 2150, 2157, 2158, 2168, 2169,
        2170,
    ),
}  # fmt: skip
"""Codes with a meaning of their own."""
RANGES: Mapping[range, Meaning] = {
    range(
        100, 600
    ): Meaning.REFUSED,  # orders and changes: 103, 104, 105, 110, 135, 200, 201, 203, 321, 434, 435, 460 …
    range(2100, 2200): Meaning.INFO,
    range(10_000, 10_400): Meaning.REFUSED,  # 10006 missing parent, 10289, 10293 …
}
"""What IB uses a range of codes for, where a code has no meaning of its own."""


def meaning_of(code: int) -> Meaning:
    """What an error code is about."""
    of_range = (meaning for codes, meaning in RANGES.items() if code in codes)
    return MEANINGS.get(code) or next(of_range, Meaning.UNKNOWN)


STATUSES: Mapping[str, S] = {
    "ApiPending": S.PENDING_NEW,
    "PendingSubmit": S.PENDING_NEW,  # at TWS, not taken by Interactive Brokers yet
    "PreSubmitted": S.NEW,  # taken; simulated there until it triggers, or waiting for its parent
    "Submitted": S.NEW,
    "PendingCancel": S.PENDING_CANCEL,
    "ApiCancelled": S.CANCELED,
    "Cancelled": S.CANCELED,
    "Filled": S.FILLED,
    "Inactive": S.PENDING_NEW,  # rejected, or held by TWS and perhaps working later: which one, is asked
    # words of the client library, never of TWS: they say nothing
    "ApiUpdate": S.PENDING_NEW,
    "ValidationError": S.PENDING_NEW,
}
"""What a status of TWS is in FIX terms; how much is filled, executions say."""
TAKEN = frozenset({"PreSubmitted", "Submitted", "PendingCancel", "Filled"})
"""Interactive Brokers has taken the order."""
ENDS = frozenset({"ApiCancelled", "Cancelled", "Filled"})
NOT_TAKEN = frozenset({"Inactive", "Cancelled", "ApiCancelled"})
"""An order just sent that shows this was refused, or is held: TWS is asked."""
READ_ONLY = "read-only"


def status_of(word: str) -> S:
    """A status in FIX terms; one nobody has heard of is InDoubt."""
    return STATUSES.get(word, S.IN_DOUBT)


def is_read_only(code: int, text: str) -> bool:
    """True for the answer of a TWS whose Read-Only API box is ticked."""
    return code == 321 and READ_ONLY in text.lower()
