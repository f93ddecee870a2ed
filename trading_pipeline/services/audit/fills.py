"""Whether the ledger's fills still are what the audit log says of them: symbol, side, quantity and price."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from trading_pipeline.domain.audit import LoggedEntry
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Fill
from trading_pipeline.ports.audit import AuditTransaction
from trading_pipeline.services.audit.differences import Difference

FILL = "fill"
TOLD = ("symbol", "side", "quantity", "price", "broker")
MOST_WAITING = 100_000
Said = tuple[str, str, str, str]
Key = tuple[str, str]


@dataclass(slots=True)
class FillWatch:
    """Remembers what entries say of fills, to be compared once all of them were read."""

    _said: dict[str, dict[Key, tuple[int, Said]]] = field(default_factory=dict)

    def __call__(self, logged: LoggedEntry) -> None:
        """One entry that holds."""
        if logged.kind == FILL:
            data = json.loads(logged.body)["data"]
            symbol, side, quantity, price, broker = (data.get(name, "?") for name in TOLD)
            said = (symbol, side, quantity, price)
            self._said.setdefault(logged.account, {})[broker, logged.subject] = (logged.seq, said)

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
            there = " ".join(_of(fill))
            if told is None and fill.exec_id not in waiting:
                found.append(_one(account, fill.broker, fill.exec_id, seq, f"no entry tells of it, the ledger {there}"))
            elif told is not None and told != _of(fill):
                words = f"the entry says {' '.join(told)}, the ledger {there}"
                found.append(_one(account, fill.broker, fill.exec_id, seq, words))
        for (broker, exec_id), (seq, told) in said.items():
            words = f"the entry says {' '.join(told)}, the ledger has no such fill"
            found.append(_one(account, broker, exec_id, seq, words))
        return found


def _one(account: str, broker: str, exec_id: str, seq: int | None, words: str) -> Difference:
    return Difference(subject=f"fill {exec_id}", words=words, state=f"{account} {broker}", seq=seq)


def _of(fill: Fill) -> Said:
    return fill.symbol, fill.side.value, plain(fill.quantity), plain(fill.price)
