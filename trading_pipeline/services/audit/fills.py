"""Whether the ledger's fills still are what the audit log says of them: symbol, side, quantity and price."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from trading_pipeline.domain.audit import LoggedEntry
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Fill
from trading_pipeline.ports.audit import AuditTransaction

FILL = "fill"
MOST_WAITING = 100_000
Said = tuple[str, str, str, str]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fill of which ledger and log say different things. seq: of its entry; None where the log has none."""

    exec_id: str
    seq: int | None
    words: str


@dataclass(slots=True)
class FillWatch:
    """Remembers what entries say of fills, to be compared once all of them were read."""

    _said: dict[str, dict[Key, tuple[int, Said]]] = field(default_factory=dict)

    def __call__(self, logged: LoggedEntry) -> None:
        """One entry that holds."""
        if logged.kind == FILL:
            data = json.loads(logged.body)["data"]
            said = (data["symbol"], data["side"], data["quantity"], data["price"])
            self._said.setdefault(logged.account, {})[data["broker"], logged.subject] = (logged.seq, said)

    def differences(self, tx: AuditTransaction, account: str) -> Sequence[Difference]:
        """What differs, is missing in the ledger, or is there without an entry; of `account` and of all with entries.

        Fills whose outbox row waits to be numbered are no difference: they are looked at once it is.
        """
        found = list[Difference]()
        for one in sorted({*self._said, account}):
            found += self._of_account(tx, one)
        return found

    def _of_account(self, tx: AuditTransaction, account: str) -> list[Difference]:
        said, found = dict(self._said.get(account, {})), list[Difference]()
        waiting = {entry.subject for _, entry in tx.unlogged(limit=MOST_WAITING) if entry.kind == FILL}
        for fill in tx.fills(account):
            seq, told = said.pop((fill.broker, fill.exec_id), (None, None))
            if told is None and fill.exec_id not in waiting:
                found.append(
                    Difference(exec_id=fill.exec_id, seq=None, words="in the ledger, and no entry tells of it")
                )
            elif told is not None and told != _of(fill):
                words = f"the entry says {' '.join(told)}, the ledger {' '.join(_of(fill))}"
                found.append(Difference(exec_id=fill.exec_id, seq=seq, words=words))
        for (_, exec_id), (seq, told) in said.items():
            words = f"the entry says {' '.join(told)}, the ledger has no such fill"
            found.append(Difference(exec_id=exec_id, seq=seq, words=words))
        return found


def _of(fill: Fill) -> Said:
    return fill.symbol, fill.side.value, plain(fill.quantity), plain(fill.price)
