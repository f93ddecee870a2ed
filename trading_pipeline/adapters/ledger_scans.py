"""The ledger's section of scans and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from sqlalchemy import bindparam, select

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.ledger_outbox import decision_entry
from trading_pipeline.adapters.ledger_records import Kind, insert_many, verify
from trading_pipeline.adapters.ledger_rows import Rows
from trading_pipeline.domain.errors import LedgerConflict
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup, TradePlan
from trading_pipeline.domain.trading_session import Intent

ACCOUNT_OF = select(kinds.PLANS.table.c.account).where(kinds.PLANS.table.c.plan_id == bindparam("identity"))

S = TypeVar("S", ScanSnapshot, RegimeSnapshot)


class ScanRows(Rows):
    """Scan snapshots, the setups scored in them, and market regimes."""

    def add_snapshot(self, snapshot: ScanSnapshot, setups: Sequence[Setup]) -> bool:
        """Record a scan and all its setups together; the second time it must be the same scan."""
        if self._add(kinds.SNAPSHOTS, snapshot):
            insert_many(self._connection, kinds.SETUPS, setups)
            return True
        self._verify_setups(snapshot.snapshot_id, setups)
        return False

    def add_regime(self, regime: RegimeSnapshot) -> bool:
        return self._add(kinds.REGIMES, regime)

    def snapshots(
        self,
        session: date,
        *,
        config_hash: str | None = None,
        code_version: str | None = None,
        source: str = "sabr20",
    ) -> Sequence[ScanSnapshot]:
        """Snapshots of the session, one per as_of (the last recorded under the given origin), ascending by as_of."""
        return self._newest_by_instant(kinds.SNAPSHOTS, session, config_hash, code_version, source=source)

    def snapshot_by_id(self, snapshot_id: str) -> ScanSnapshot | None:
        return self._one(kinds.SNAPSHOTS, snapshot_id)

    def setups(self, snapshot_id: str) -> Sequence[Setup]:
        """All scored setups of a snapshot by rank."""
        columns = kinds.SETUPS.table.c
        return self._equal(kinds.SETUPS, (columns.rank, columns.setup_id), snapshot_id=snapshot_id)

    def setup(self, setup_id: str) -> Setup | None:
        return self._one(kinds.SETUPS, setup_id)

    def regimes(
        self, session: date, *, config_hash: str | None = None, code_version: str | None = None
    ) -> Sequence[RegimeSnapshot]:
        """Regimes of the session, one per as_of (the last recorded under the given origin), ascending by as_of."""
        return self._newest_by_instant(kinds.REGIMES, session, config_hash, code_version)

    def _verify_setups(self, snapshot_id: str, setups: Sequence[Setup]) -> None:
        recorded = {setup.setup_id: setup for setup in self.setups(snapshot_id)}
        given = {setup.setup_id: setup for setup in setups}
        differing = sorted(recorded.keys() ^ given.keys())
        if differing:
            raise LedgerConflict(
                f"scan_snapshots already has snapshot_id {snapshot_id} with other setups: {len(differing)} are in only "
                f"one of the two (first: {', '.join(differing[:5])}). Make the snapshot's identity cover its input."
            )
        for setup_id, setup in given.items():
            there, here = kinds.SETUPS.values(recorded[setup_id]), kinds.SETUPS.values(setup)
            verify(kinds.SETUPS, there, here, self._connection.dialect)

    def _newest_by_instant(
        self, kind: Kind[S], session: date, config_hash: str | None, code_version: str | None, **further: str
    ) -> list[S]:
        order = kind.table.c.as_of, kind.table.c.record_no
        found = self._equal(kind, order, session=session, config_hash=config_hash, code_version=code_version, **further)
        return list({snapshot.as_of: snapshot for snapshot in found}.values())


class DecisionRows(Rows):
    """Plans, what risk said to them, and the intents that came of it."""

    def add_plan(self, plan: TradePlan) -> bool:
        is_new = self._add(kinds.PLANS, plan)
        self._plan_accounts[plan.plan_id] = plan.account
        return is_new

    def plan(self, plan_id: str) -> TradePlan | None:
        return self._one(kinds.PLANS, plan_id)

    def plans(self, account: str, session: date) -> Sequence[TradePlan]:
        return self._of_session(kinds.PLANS, account, session)

    def add_decision(self, decision: RiskDecision) -> bool:
        is_new = self._add(kinds.DECISIONS, decision)
        if is_new:
            self._tell_decision(decision)
        return is_new

    def _tell_decision(self, decision: RiskDecision) -> None:
        """Its entry names the account of its plan, mostly the one recorded just before."""
        plan_id = decision.plan_id
        if plan_id not in self._plan_accounts:
            self._plan_accounts[plan_id] = self._wire.rows(ACCOUNT_OF, {"identity": plan_id})[0][0]
        self._outbox.add(decision_entry(decision, self._plan_accounts[plan_id]))

    def decisions(self, account: str, session: date) -> Sequence[RiskDecision]:
        plans, decisions = kinds.PLANS.table, kinds.DECISIONS.table
        query = kinds.DECISIONS.select().join(plans, plans.c.plan_id == decisions.c.plan_id)
        query = query.where(plans.c.account == account, plans.c.session == session).order_by(decisions.c.record_no)
        return kinds.DECISIONS.records(self._connection, query)

    def add_intent(self, intent: Intent) -> bool:
        return self._add(kinds.INTENTS, intent)

    def intent(self, intent_id: str) -> Intent | None:
        return self._one(kinds.INTENTS, intent_id)

    def intents(self, account: str, session: date) -> Sequence[Intent]:
        return self._of_session(kinds.INTENTS, account, session)
