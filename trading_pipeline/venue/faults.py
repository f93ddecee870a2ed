"""Scripted faults: what goes wrong between a client and the venue, as data."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.orders import ExecutionReport

T = TypeVar("T")


class Fault(StrEnum):
    """One way a call can go wrong."""

    DROP_REQUEST = "drop_request"
    """The connection ends and the venue never heard of it."""
    RESET = "reset"
    """As drop_request, at once and by a reset."""
    DROP_REPLY = "drop_reply"
    """The venue did it; the answer is lost."""
    DELAY = "delay"
    """The venue does it `seconds` later; a client that waits less never hears."""
    HTTP_429 = "http_429"
    """Too many requests: not done; try again after `seconds`."""
    HTTP_500 = "http_500"
    """Not done."""
    HTTP_504 = "http_504"
    """Done, but the gateway did not wait for the answer."""
    DUPLICATE = "duplicate"
    """Every report comes twice."""
    REORDER = "reorder"
    """Reports come in a shuffled order."""
    STALL = "stall"
    """No report comes."""
    REJECT = "reject"
    """Refused at once; the venue knows nothing of it."""
    REJECT_LATER = "reject_later"
    """Accepted, and rejected by a report."""
    HALT = "halt"
    """The order's symbol is halted from then on for `seconds`."""

    # by a vendor's protocol only

    HTML_BODY = "html_body"
    """As http_504, and the body is a gateway's page."""
    MALFORMED = "malformed"
    """Done; the answer (or the news) breaks off in the middle."""
    UNKNOWN_VALUE = "unknown_value"
    """Statuses, classes and events are words nobody has heard of."""
    EXTRA_FIELD = "extra_field"
    """Every object carries a field more."""
    CLOCK_SKEW = "clock_skew"
    """Every instant told is off by `seconds`, which may be negative."""
    OMIT = "omit"
    """The news never comes."""
    CLOSE = "close"
    """The stream's sockets are closed; what happens meanwhile is not told."""
    NO_COMMISSION = "no_commission"
    """Fills are told and what they cost is not (TWS)."""
    CANCEL_HINT = "cancel_hint"
    """Done; an error about the order follows that client libraries take for its end, which it is not (TWS: 10349)."""
    OUTAGE = "outage"
    """TWS loses the broker's servers for `seconds` (1100, then 1102): what is sent is lost, what happens not told."""
    OUTAGE_WITH_LOSS = "outage_with_loss"
    """As outage, and every subscription is gone afterwards (1100, then 1101)."""
    ABSURD = "absurd"
    """Prices are a hundred times what they are."""
    CORRECT = "correct"
    """A bar is told before its last trades are in, and corrected with the next delivery."""


NOT_DONE = frozenset({Fault.DROP_REQUEST, Fault.RESET, Fault.HTTP_429, Fault.HTTP_500, Fault.REJECT})
UNANSWERED = frozenset({Fault.DROP_REQUEST, Fault.RESET, Fault.DROP_REPLY})


class FaultRule(BaseModel):
    """A fault for calls of `op` about orders whose id matches (both shell patterns); the first rule that fits.

    From the `nth` such call on, `times` of them (0: all that follow), each with `probability`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault
    op: str = "submit"
    client_order_id: str = "*"
    nth: int = Field(1, ge=1)
    times: int = Field(1, ge=0)
    probability: float = Field(1.0, ge=0, le=1)
    seconds: float = Field(0.0, ge=-86_400, le=86_400)

    @model_validator(mode="after")
    def _only_a_clock_goes_back(self) -> Self:
        if self.seconds < 0 and self.fault is not Fault.CLOCK_SKEW:
            raise ValueError(f"seconds must not be negative for {self.fault}")
        return self


class FaultScript(BaseModel):
    """Rules by precedence; `seed` decides what is random."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[FaultRule, ...] = ()
    seed: int = 0


class Faults:
    """A script being played: it counts the calls each rule fits. The same calls meet the same faults."""

    def __init__(self, script: FaultScript | None = None) -> None:
        self.load(script or FaultScript())

    def load(self, script: FaultScript) -> None:
        """Begin another script."""
        self.script = script
        self._random = random.Random(script.seed)  # noqa: S311 - a rehearsal must be repeatable
        self._seen = [0] * len(script.rules)
        self.played: Counter[Fault] = Counter()

    def next(self, op: str, client_order_id: str = "") -> FaultRule | None:
        """The fault this call meets, if any."""
        found = None
        for number, rule in enumerate(self.script.rules):
            if not fnmatchcase(op, rule.op) or not fnmatchcase(client_order_id, rule.client_order_id):
                continue
            self._seen[number] += 1
            late = self._seen[number] - rule.nth
            if late < 0 or (rule.times and late >= rule.times) or self._random.random() >= rule.probability:
                continue
            found = found or rule
        if found is not None:
            self.played[found.fault] += 1
        return found

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The same items in an order the seed decides."""
        changed = list(items)
        self._random.shuffle(changed)
        return changed

    def distorted(self, rule: FaultRule | None, reports: Sequence[ExecutionReport]) -> tuple[ExecutionReport, ...]:
        """Reports as the fault lets them through."""
        if rule is None or rule.fault not in {Fault.DUPLICATE, Fault.REORDER, Fault.STALL}:
            return tuple(reports)
        if rule.fault is Fault.STALL:
            return ()
        if rule.fault is Fault.REORDER:
            return tuple(self.shuffled(reports))
        return tuple(twice for report in reports for twice in (report, report))


def read_script(path: Path) -> FaultScript:
    """A script from a JSON file; raises DataFileError naming what is wrong with it."""
    try:
        return FaultScript.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror}. Check the path and its permissions.") from error
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path} is no fault script: it is not text. Write JSON in UTF-8.") from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc'])) or 'the script'}: {one['msg']}" for one in error.errors()]
        raise DataFileError(f"{path} is no fault script: {'; '.join(faults)}") from error
