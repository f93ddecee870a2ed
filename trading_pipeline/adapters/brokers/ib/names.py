"""Which order of ours is which at TWS: by permId, and for a first time by orderRef. Never by order id alone."""

from __future__ import annotations

from collections.abc import Container

from trading_pipeline.adapters.brokers.ib.board import Board, Seen
from trading_pipeline.adapters.brokers.venue_ids import IdKind, VenueIds

Key = tuple[int, int]


class Names:
    """Names orders, and learns the permIds of those it has named for good. client_id: ours at TWS."""

    def __init__(self, ids: VenueIds, board: Board, client_id: int) -> None:
        self._ids, self._board, self._client_id = ids, board, client_id

    def name(self, perm_id: int, order_ref: str, key: Key) -> str:
        """The client_order_id: our own, else the one somebody else gave it, else one made of the permId.

        key: who placed it, under which id.
        """
        known = self._ids.client_id(str(perm_id), IdKind.PERMANENT)
        if known is None:
            known = self._new_name(perm_id, order_ref, key, ())
            self._ids.learn(known, str(perm_id), IdKind.PERMANENT)
        return known

    def of(self, seen: Seen) -> str:
        """The name of an order on the board."""
        return self.name(seen.perm_id, seen.order.orderRef, seen.key)

    def learn(self) -> None:
        """Name every order on the board, in one step for all."""
        named: dict[str, str] = {}
        for perm_id, seen in sorted(self._board.orders.items()):
            if self._ids.client_id(str(perm_id), IdKind.PERMANENT) is None:
                named[self._new_name(perm_id, seen.order.orderRef, seen.key, named)] = str(perm_id)
        self._ids.learn_all(named.items(), IdKind.PERMANENT)

    def _new_name(self, perm_id: int, order_ref: str, key: Key, taken: Container[str]) -> str:
        """orderRef is unique to nobody: a second order under one is told apart by its permId, unless we sent it."""
        name = order_ref or f"ib-{perm_id}"
        if key == (self._client_id, int(self._ids.latest(name) or 0)):
            return name
        is_taken = name in taken or self._ids.venue_ids(name, IdKind.PERMANENT)
        return f"{name}~{perm_id}" if is_taken else name

    def parent_of(self, seen: Seen) -> str | None:
        """The name of its entry, where TWS tells it."""
        parent = self._board.at(seen.client_id, seen.parent_id) if seen.parent_id > 0 else None
        if parent is None:
            parent = self._board.orders.get(seen.parent_perm_id)
        return self.of(parent) if parent is not None else None

    def find(self, client_order_id: str) -> Seen | None:
        """The order on the board under that name."""
        for perm_id in reversed(self._ids.venue_ids(client_order_id, IdKind.PERMANENT)):
            seen = self._board.orders.get(int(perm_id))
            if seen is not None:
                return seen
        return next((seen for seen in self._board.orders.values() if self.of(seen) == client_order_id), None)

    def is_known(self, client_order_id: str) -> bool:
        """True for an order that TWS has shown us under that name, now or before."""
        return bool(self._ids.venue_ids(client_order_id, IdKind.PERMANENT))
