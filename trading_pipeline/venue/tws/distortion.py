"""What a fault does to messages on their way out: other words, other instants, a field more, twice, shuffled, never."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from trading_pipeline.venue.faults import Fault, FaultRule, Faults
from trading_pipeline.venue.tws.wire import Message, local_time, parsed_time

UNHEARD_OF, UNHEARD_OF_CODE = "ZzUnheardOf", 98765
TOLERANT = frozenset({3, 4, 5, 10, 101})
"""Messages behind which both client libraries let further fields pass: orders, errors, contracts."""
STATUS_AT = {3: 2, 5: 94, 101: 77}
COMMISSION, CLOCK, EXECUTION, EXECUTION_TIME_AT = 59, 49, 11, 15


def distorted(faults: Faults, rule: FaultRule | None, messages: Sequence[Message]) -> list[Message]:
    """Messages as the fault lets them through."""
    if rule is None:
        return list(messages)
    if rule.fault in {Fault.STALL, Fault.OMIT}:
        return []
    if rule.fault is Fault.DUPLICATE:
        return [twice for message in messages for twice in (message, message)]
    if rule.fault is Fault.REORDER:
        return faults.shuffled(messages)
    if rule.fault is Fault.NO_COMMISSION:
        return [message for message in messages if message[0] != COMMISSION]
    change = _CHANGES.get(rule.fault)
    return [change(message, rule) for message in messages] if change else list(messages)


def _with_unheard_of_words(message: Message, _: FaultRule) -> Message:
    if message[0] == 4:
        return (*message[:3], UNHEARD_OF_CODE, "An error nobody has heard of", *message[5:])
    at = STATUS_AT.get(int(message[0] or 0))
    return message if at is None else (*message[:at], UNHEARD_OF, *message[at + 1 :])


def _with_a_field_more(message: Message, _: FaultRule) -> Message:
    return (*message, "zz_new_field") if message[0] in TOLERANT else message


def _by_another_clock(message: Message, rule: FaultRule) -> Message:
    if message[0] == CLOCK:
        return (*message[:2], int(message[2] or 0) + round(rule.seconds))
    if message[0] != EXECUTION:
        return message
    told = parsed_time(str(message[EXECUTION_TIME_AT]))
    assert told is not None, "an execution has a time"
    moved = local_time(told + timedelta(seconds=rule.seconds))
    return (*message[:EXECUTION_TIME_AT], moved, *message[EXECUTION_TIME_AT + 1 :])


_CHANGES: Mapping[Fault, Callable[[Message, FaultRule], Message]] = {
    Fault.UNKNOWN_VALUE: _with_unheard_of_words,
    Fault.EXTRA_FIELD: _with_a_field_more,
    Fault.CLOCK_SKEW: _by_another_clock,
}
