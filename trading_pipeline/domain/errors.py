"""Every error this project raises, and how they are related.

TradingPipelineError                 a person can act on the message; the command line prints it and exits 1
├── InputError                       what came from outside cannot be used
│   ├── SettingsError                a setting is unknown, out of bounds or contradicts another
│   │   └── VenueAbsent              nobody answers where the settings say the venue is
│   ├── DataFileError                a file cannot be read, or lacks a column
│   ├── FrameContractError           a table lacks a column, or its rows break the stated order
│   ├── NotAPriceError               NaN, infinite, zero or negative where a price is needed
│   ├── NaiveDatetimeError           an instant without a time zone
│   ├── UnknownSymbolError           no bars under that name
│   └── NotASessionError             a holiday, a weekend, or outside the calendar
├── MissingBarsError                 the bars a step needs are not stored
├── MissingResultError               an earlier step has not run for that session
├── HomeInUseError                   another process works in the same home folder
├── MarketDataError                  a vendor of bars and quotes refuses, or does not answer
├── TradingError
│   ├── IllegalTransition            an order cannot go from this state by that report
│   ├── Overfill                     more shares filled than were ordered
│   ├── PositionWouldCrossZero       a fill would sell what is not owned
│   ├── OrderRefused                 the venue said no, definitively
│   ├── OutcomeUnknown               the venue may or may not have the order: query, never assume
│   │   └── KeysRefused              the broker does not accept our keys: nothing was done
│   ├── LeaseHeld                    another process leads: this one may not start
│   ├── LeaseLost                    another process leads now: this one may neither send nor write
│   ├── StopRequested                this process was asked to end: it asks the venue nothing more
│   ├── NotPermitted                 an account may not be traded under this configuration
│   ├── ModeRefused                  a change of mode lacks evidence, an approval or the right person
│   ├── NotReady                     a control or a precondition of trading is not as it must be
│   └── LatchError                   the latch file cannot be read, written or removed: it blocks
├── ChannelFailed                    a channel of alerts did not take a message
│   └── ChannelRefused               nor will it, however often it is tried
├── AuditError
│   ├── AuditFormatError             a text is not of the audit log's format
│   ├── AuditMismatch                the log does not continue what was anchored: nothing is appended until accepted
│   └── AuditKeyError                the signing key is missing, unreadable, open to others, or another one
└── LedgerError
    ├── LedgerUnavailable            the database is gone, locked, full or read-only: nothing was written
    ├── LedgerConflict               a row with the same identity and other content exists
    └── ReplayDivergence             a replay decided differently from the record
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date


class TradingPipelineError(Exception):
    """Base of all errors of this project; its message says what, which, how many and what to do next."""


class InputError(TradingPipelineError):
    """What came from outside cannot be used."""


class SettingsError(InputError):
    """A setting is unknown, out of bounds or contradicts another."""


class VenueAbsent(SettingsError):
    """Nobody answers where the settings say the venue is: it is not started yet, or they are wrong."""


class DataFileError(InputError):
    """A data file cannot be read or lacks a column."""


class FrameContractError(InputError):
    """A frame lacks a column, has the wrong type, or its rows break the stated order."""


class NotAPriceError(InputError):
    """NaN, infinite, zero or negative where a price is needed."""

    def __init__(self, level: object, what: str = "price") -> None:
        self.level = level
        super().__init__(f"{level!r} is not a {what}: it must be finite and above zero. Check the bars it came from.")


class NaiveDatetimeError(InputError):
    """An instant without a time zone."""

    def __init__(self, what: str = "instant") -> None:
        super().__init__(f"a {what} without a time zone was passed: use aware UTC instants, as Clock.now() gives.")


class UnknownSymbolError(InputError):
    """No bars are stored under that name."""


class NotASessionError(InputError):
    """The date is a holiday, a weekend day, or outside the calendar."""


class MissingBarsError(TradingPipelineError):
    """The bars a step needs are not stored."""

    def __init__(self, session: date, symbols: Sequence[str], timeframe: str) -> None:
        self.session, self.symbols = session, tuple(symbols)
        which = f"{len(symbols)} symbols (first: {', '.join(symbols[:5])})" if symbols else "any symbol"
        super().__init__(
            f"no {timeframe} bars of {which} are stored for {session}. "
            f"Import them: trading-pipeline data import FILE --timeframe {timeframe}"
        )


class MissingResultError(TradingPipelineError):
    """An earlier step has not run for that session."""


class HomeInUseError(TradingPipelineError):
    """Another process works in the same home folder."""


class MarketDataError(TradingPipelineError):
    """A vendor of bars and quotes refuses, or does not answer; what was stored before stays."""


class TradingError(TradingPipelineError):
    """Base of what can go wrong with an order or a position."""


class IllegalTransition(TradingError):
    """An order cannot go from its state by that report."""


class Overfill(TradingError):
    """More shares were filled than ordered."""


class PositionWouldCrossZero(TradingError):
    """A fill would sell what is not owned."""


class OrderRefused(TradingError):
    """The venue refused the order, definitively."""


class OutcomeUnknown(TradingError):
    """The venue may or may not have taken the order: query by client_order_id, never resend blindly."""


class NotTaken(OutcomeUnknown):
    """The venue turned an order away unread (too many requests): it certainly has not got it, now or later.

    retry_after_seconds: how long it wants to be left alone; then the same id may be sent again.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class KeysRefused(OutcomeUnknown):
    """The broker does not accept our keys: nothing was done, and nothing is known until they are right.

    No refusal of the order: with the right keys it is looked up, and sent if it never arrived.
    """


class LeaseHeld(TradingError):
    """Another process leads: this one may not start."""


class LeaseLost(TradingError):
    """Another process leads now: this one may neither send nor write."""


class ModeRefused(TradingError):
    """A change of mode lacks evidence, an approval or the right person; nothing was changed.

    refusal: the name under which the audit log keeps it.
    """

    def __init__(self, refusal: str, message: str) -> None:
        self.refusal = refusal
        super().__init__(message)


class NotPermitted(TradingError):
    """An account may not be traded at a broker under this configuration: names every condition that is missing."""

    def __init__(self, missing: Sequence[str], message: str) -> None:
        self.missing = tuple(missing)
        super().__init__(message)


class LatchError(TradingError):
    """The latch file cannot be read, written or removed; one that cannot be read blocks."""


class StopRequested(TradingError):
    """This process was asked to end and has had its time: it asks the venue nothing more."""


class NotReady(TradingError):
    """A control or a precondition of trading is not as it must be: no entry leaves."""


class ChannelFailed(TradingPipelineError):
    """A channel of alerts did not take a message, or may not have; words for people, never its address."""

    def __init__(self, message: str, *, may_have_arrived: bool = False) -> None:
        self.may_have_arrived = may_have_arrived
        super().__init__(message)


class ChannelRefused(ChannelFailed):
    """It will not take this message however often it is tried: a wrong address, a revoked token."""


class AuditError(TradingPipelineError):
    """Base of what can go wrong with the audit log."""


class AuditFormatError(AuditError):
    """A text is not of the audit log's format."""


class AuditMismatch(AuditError):
    """The log in the database does not continue what was anchored: nothing is appended until a person accepts it."""


class AuditKeyError(AuditError):
    """The signing key is missing, unreadable, open to other users, or not the one the log was signed with."""


class LedgerError(TradingPipelineError):
    """Base of what can go wrong with the record."""


class LedgerUnavailable(LedgerError):
    """The database is gone, locked, full or read-only; nothing was written."""


class LedgerConflict(LedgerError):
    """A row with the same identity and other content is already recorded."""


class ContradictingReport(LedgerConflict):
    """A venue says something else under an exec_id it has used before."""


class ReplayDivergence(LedgerError):
    """A replay decided differently from what is on record."""
