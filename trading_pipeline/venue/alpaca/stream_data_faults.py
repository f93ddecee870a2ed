"""What faults make of a data stream's messages. Their op is `data.stream.CHANNEL`, their subject the symbol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from trading_pipeline.venue.alpaca.data_wire import Wire
from trading_pipeline.venue.alpaca.distortion import UNHEARD_OF, distorted
from trading_pipeline.venue.alpaca.stream_data_codec import Message
from trading_pipeline.venue.faults import Fault, FaultRule, Faults

PRICES = ("o", "h", "l", "c", "vw", "p", "bp", "ap")
ABSURDLY, EARLY_VOLUME = 100, 0.9
ENDING = frozenset({Fault.STALL, Fault.CLOSE})
"""Nothing after it in the delivery is told."""


@dataclass
class Outcome:
    """A delivery as it goes out: now, later (each after so many seconds), and what happens to the sockets."""

    now: list[Message] = field(default_factory=list)
    later: list[tuple[float, Message]] = field(default_factory=list)
    ending: FaultRule | None = None


class Spoiler:
    """Plays a script on messages; what it holds back is told with the next delivery, after all else."""

    def __init__(self, faults: Faults) -> None:
        self._faults, self._held = faults, list[Message]()

    def spoiled(self, messages: Iterable[Message]) -> Outcome:
        """The delivery as the faults let it through."""
        held, self._held = self._held, []
        outcome = Outcome()
        for message in messages:
            rule = self._faults.next(f"data.stream.{message.channel}", message.symbol)
            if rule is not None and rule.fault in ENDING:
                outcome.ending = rule
                return outcome
            self._let_through(message, rule, outcome)
        outcome.now += held
        return outcome

    def _let_through(self, message: Message, rule: FaultRule | None, outcome: Outcome) -> None:
        if rule is None:
            outcome.now.append(message)
        elif rule.fault is Fault.DELAY:
            outcome.later.append((rule.seconds, message))
        elif rule.fault is Fault.REORDER:
            self._held.append(message)
        elif rule.fault is Fault.CORRECT and message.channel == "bars":
            outcome.now.append(_with(message, _early))
            self._held.append(replace(_with(message, lambda wire: wire | {"T": "u"}), channel="updatedBars"))
        else:
            outcome.now += _CHANGES.get(rule.fault, _as_it_is)(message, rule)


def _with(message: Message, change: Callable[[Wire], Wire]) -> Message:
    return Message(message.channel, message.symbol, change(message.wire))


def _early(wire: Wire) -> Wire:
    """A bar before its last trades: another close, between open and close, and less volume."""
    return wire | {"c": round((wire["o"] + wire["c"]) / 2, 4), "v": int(wire["v"] * EARLY_VOLUME)}


def _absurd(wire: Wire) -> Wire:
    return wire | {name: wire[name] * ABSURDLY for name in PRICES if name in wire}


def _as_it_is(message: Message, _: FaultRule) -> Sequence[Message]:
    return [message]


def _moved(wire: Wire, seconds: float) -> Wire:
    return wire | {"t": wire["t"] + timedelta(seconds=seconds)}


_CHANGES: dict[Fault, Callable[[Message, FaultRule], Sequence[Message]]] = {
    Fault.OMIT: lambda *_: [],
    Fault.DUPLICATE: lambda message, _: [message, message],
    Fault.MALFORMED: lambda message, _: [replace(message, is_torn=True)],
    Fault.UNKNOWN_VALUE: lambda message, _: [_with(message, lambda wire: wire | {"T": UNHEARD_OF}), message],
    Fault.EXTRA_FIELD: lambda message, rule: [_with(message, lambda wire: distorted(wire, rule))],
    Fault.CLOCK_SKEW: lambda message, rule: [_with(message, lambda wire: _moved(wire, rule.seconds))],
    Fault.ABSURD: lambda message, _: [_with(message, _absurd)],
}
"""The rest (of HTTP, of orders; a correction of what is no bar) change nothing."""
