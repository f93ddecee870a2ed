"""What of the record is not what the audit log says of it, each by a name of its own, and what of that was accepted.

An acceptance is of what was found, word for word and on both sides: what differs otherwise later has another name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trading_pipeline.domain.audit import RECORD_ACCEPTED, LoggedEntry, canonical, read_body, sayable
from trading_pipeline.domain.errors import AuditFormatError

ACCEPTED_ONE = "difference "
"""What the name of an accepted difference follows on, in the data of the entry that accepts it."""
MOST_IN_AN_ENTRY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """subject: what of the record. words: how it differs. state: more of both sides than the words say. seq: of the
    entry that tells of it; None where none does.
    """

    subject: str
    words: str
    state: str = ""
    seq: int | None = None

    @property
    def name(self) -> str:
        """Of exactly this."""
        said = {"of": self.subject, "words": self.words, "state": self.state, "entry": str(self.seq)}
        text = canonical({name: sayable(value) for name, value in said.items()})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def line(self) -> str:
        """In words."""
        return f"{self.subject}{f' (entry {self.seq})' if self.seq else ''}: {self.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Differences that nobody has accepted, and those that somebody has, each with who, when and why, in words."""

    new: tuple[Difference, ...] = ()
    accepted: tuple[str, ...] = ()


@dataclass(slots=True)
class Acceptances:
    """Remembers which differences people accepted."""

    _by_name: dict[str, str] = field(default_factory=dict)

    def __call__(self, logged: LoggedEntry) -> None:
        """One entry that holds."""
        if logged.kind == RECORD_ACCEPTED:
            try:
                body = read_body(logged.body)
            except AuditFormatError:
                return
            self.hear(body["data"], f"accepted by {body['actor']} in entry {logged.seq}, {body['recorded_at']}")

    def hear(self, data: Mapping[str, str], words: str) -> None:
        """What such an entry says. words: who and when."""
        for name in data:
            if name.startswith(ACCEPTED_ONE):
                said = f"{words}: {data.get('reason', 'no reason given')}"
                self._by_name.setdefault(name.removeprefix(ACCEPTED_ONE), said)

    def judged(self, found: Sequence[Difference]) -> Judged:
        """Which of them are new."""
        return Judged(
            new=tuple(one for one in found if one.name not in self._by_name),
            accepted=tuple(f"{one.line}. {self._by_name[one.name]}" for one in found if one.name in self._by_name),
        )


def accepting(found: Sequence[Difference]) -> list[dict[str, str]]:
    """The data of the entries that accept them, with the words of each."""
    return [
        {f"{ACCEPTED_ONE}{one.name}": one.line for one in found[start : start + MOST_IN_AN_ENTRY]}
        for start in range(0, len(found), MOST_IN_AN_ENTRY)
    ]
