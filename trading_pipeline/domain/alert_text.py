"""What people read: title and body of a message, cut to the channel's length, with nothing in it that acts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from trading_pipeline.domain.alert_rules import severity
from trading_pipeline.domain.alerting import DIGEST, LATE, QUIET, REMINDER, Delivery, Message
from trading_pipeline.domain.control import Alert, AlertLevel

Redact = Callable[[str], str]

TITLE_CHARACTERS = 120
LINE_CHARACTERS = 300
REPEATED = "This may be a repetition: an earlier attempt ended without an answer."
SEE_ALL = "trading-pipeline alerts list"

ACTS = (
    (re.compile(r"@(?=\S)"), "@ "),  # mentions: @everyone, @here, @channel
    (re.compile(r"<(?=[\w!/?@#:])"), "< "),  # HTML tags, and Slack's and Discord's <!channel>, <@1>, <#1>
    (re.compile(r"&(?=#?\w+;)"), "& "),  # HTML entities
    (re.compile(r"\]\s*\("), "] ("),  # a link that shows one address and opens another
    (re.compile(r"(?<=\w):(?=//)"), ": "),  # addresses are not made clickable
    (re.compile(r"([*_~|])(?=\1)"), r"\1 "),  # bold, struck out, spoilers
    (re.compile(r"`"), "'"),
)
"""What a chat or a mail program would act on, and the harmless text it becomes. Plain ASCII: an SMS stays one."""


def harmless(text: str) -> str:
    """One line of plain text: no line breaks, no control or direction characters, no mentions, links or markup."""
    shown = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text)
    for pattern, becomes in ACTS:
        shown = pattern.sub(becomes, shown)
    return " ".join(shown.split())


def cut(text: str, characters: int) -> str:
    """At most so many characters; what was cut ends with three dots."""
    return text if len(text) <= characters else text[: max(0, characters - 3)] + "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A message, and which of its deliveries it names; the others are only counted."""

    message: Message
    named: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes messages of one channel. redact: takes secrets out of a text. zone: of the times people read."""

    zone: ZoneInfo
    redact: Redact
    max_characters: int

    def write(self, message_id: str, parts: Sequence[Delivery], alerts: Mapping[str, Alert]) -> Written:
        """parts: of one channel, at least one, the loudest first, the oldest of these first."""
        alone = len(parts) == 1 and parts[0].bundle not in {LATE, DIGEST}
        title = self._title(parts[0], alerts[parts[0].alert_id]) if alone else self._title_of_many(parts)
        if alone:
            body, named = self._body(parts[0], alerts[parts[0].alert_id], len(title)), [parts[0].alert_id]
        else:
            body, named = self._list(parts, alerts, len(title))
        message = Message(
            message_id=message_id, channel=parts[0].channel, level=parts[0].level, title=title, body=body,
            alert_ids=tuple(part.alert_id for part in parts),
        )  # fmt: skip
        return Written(message=message, named=frozenset(named))

    def _title(self, part: Delivery, alert: Alert) -> str:
        of = f" {self._safe(alert.account)}" if alert.account else ""
        return cut(f"{part.level.value}: {self._safe(alert.kind)}{of}", min(TITLE_CHARACTERS, self.max_characters // 2))

    def _body(self, part: Delivery, alert: Alert, used: int) -> str:
        is_asked = part.is_critical and part.kind != REMINDER  # which says itself what waits
        act = f"Acknowledge: trading-pipeline alerts ack {self._safe(part.alert_id)}" if is_asked else ""
        further = [
            REPEATED if part.maybe_sent else "",
            f"Told here because {self._safe(part.escalated_from)}." if part.escalated_from else "",
            f"{self._time(part.occurred_at)}, session {alert.session}",
            act,
        ]
        left = self.max_characters - used
        rest = _fitting([line for line in further if line], left // 2)
        room = left - len(rest) - (2 if rest else 1)
        return "\n".join([cut(self._safe(alert.message), room), *([rest] if rest else [])])

    def _title_of_many(self, parts: Sequence[Delivery]) -> str:
        bundle, count, lead = parts[0].bundle, len(parts), parts[0]
        words = {
            LATE: f"{count} older alert(s), not told when they were new",
            QUIET: f"{count} alert(s) of the quiet hours",
            DIGEST: f"Digest of {count} alert(s)",
        }.get(bundle, f"{count} alerts")
        alike = len({part.same for part in parts}) == 1 and not bundle.startswith((LATE, QUIET, DIGEST))
        words = f"{count} times {self._safe(lead.kind)}" if alike else words
        return cut(f"{lead.level.value}: {words}", min(TITLE_CHARACTERS, self.max_characters // 2))

    def _list(self, parts: Sequence[Delivery], alerts: Mapping[str, Alert], used: int) -> tuple[str, list[str]]:
        """Each a line, the loudest first and the newest of equal ones, as many as fit; then how many more there are."""
        room = self.max_characters - used - len(_more(len(parts), parts)) - 1
        head = [REPEATED] if any(part.maybe_sent for part in parts) and room > len(REPEATED) else []
        room -= sum(len(line) + 1 for line in head)
        ordered = sorted(parts, key=lambda part: (-severity(part.level), -part.alert_no))
        lines, named = list[str](), list[str]()
        for part in [] if _only_counted(parts) else ordered:
            line = cut(self._line(part, alerts[part.alert_id]), LINE_CHARACTERS)
            if len(line) + 1 > room:
                break
            room -= len(line) + 1
            lines.append(line)
            named.append(part.alert_id)
        left = [part for part in ordered if part.alert_id not in set(named)]
        more = [_more(len(left), left)] if left else []
        return "\n".join([*head, *lines, *more])[: self.max_characters - used], named

    def _line(self, part: Delivery, alert: Alert) -> str:
        of = f" {self._safe(alert.account)}" if alert.account else ""
        return f"{self._time(part.occurred_at)} {part.level.value} {part.kind}{of}: {self._safe(alert.message)}"

    def _time(self, at: datetime) -> str:
        return f"{at.astimezone(self.zone):%d %b %H:%M:%S %Z}"

    def _safe(self, text: str) -> str:
        return harmless(self.redact(text))


def _only_counted(parts: Sequence[Delivery]) -> bool:
    """Old news that nobody has to act on is summed up."""
    return parts[0].bundle == LATE and parts[0].level is not AlertLevel.CRITICAL


def _more(count: int, left: Sequence[Delivery]) -> str:
    """How many are not named, of which kinds, and where they are."""
    kinds = Counter(part.kind for part in left).most_common(3)
    words = ", ".join(f"{number} {kind}" for kind, number in kinds) + (", ..." if len(set(_kinds(left))) > 3 else "")
    return f"and {count} more ({words}): {SEE_ALL}"


def _kinds(parts: Sequence[Delivery]) -> list[str]:
    return [part.kind for part in parts]


def _fitting(lines: Sequence[str], characters: int) -> str:
    """The last lines are the ones to act on: of what does not fit, the first are left out."""
    kept = list(lines)
    while kept and len("\n".join(kept)) > characters:
        kept.pop(0)
    return "\n".join(kept)
