"""Immutable snapshots: watchlist and regime rows written to the ledger with the identity of their inputs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from trading_pipeline.analytics import watchlist
from trading_pipeline.domain.alert_causes import of_setup
from trading_pipeline.domain.control import Alert
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot, Setup
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.research_desk import DAILY, ResearchDesk

COMPONENTS = (
    "setup_strength",
    "bottom_phase",
    "accumulation_intensity",
    "trend_momentum",
    "risk_reward",
    "volume_profile",
)
DETAILS = ("ratio", "bars_since_pivot", "drawdown_pct", "exhaustion", "quartile", "trigger")
if TYPE_CHECKING:
    History = hashlib._Hash

HASHED = ("start", "open", "high", "low", "close", "volume")


def record_watchlists(
    desk: ResearchDesk, session: date, scored: pd.DataFrame, only: Collection[pd.Timestamp] | None = None
) -> int:
    """Record one snapshot per trigger instant (or of `only` these), scored or empty; returns how many were new.

    Everything is made before the ledger is held: meanwhile the session loop could not prolong its lease.
    """
    made = list(_scans(desk, session, scored, only))
    with desk.ledger.transaction() as tx:
        return sum(_add(tx, *one) for one in made)


def _add(tx: LedgerTransaction, snapshot: ScanSnapshot, setups: Sequence[Setup], news: Sequence[Alert]) -> bool:
    is_new = tx.add_snapshot(snapshot, setups)
    for alert in news if is_new else ():
        tx.raise_alert(alert)
    return is_new


def _scans(
    desk: ResearchDesk, session: date, scored: pd.DataFrame, only: Collection[pd.Timestamp] | None
) -> Iterator[tuple[ScanSnapshot, Sequence[Setup], Sequence[Alert]]]:
    """Each snapshot with its setups, and what is told of it when it is new."""
    inputs, account = _stored_inputs(desk, session, desk.trigger_instants(session)), desk.settings.execution.account
    for before, (instant, digest) in zip([None, *inputs], inputs.items(), strict=False):
        if only is not None and instant not in only:
            continue
        rows = _ranked(scored, instant)
        snapshot = _scan(desk, session, instant, digest, rows, watchlist.changes(rows, _ranked(scored, before)))
        setups = [_setup(snapshot, row) for row in _records(rows)]
        chosen = [setup for setup in setups if setup.selected] if is_news(desk, snapshot.as_of) else []
        yield snapshot, setups, [alert for setup in chosen if (alert := of_setup(setup, account)) is not None]


def _ranked(scored: pd.DataFrame, instant: pd.Timestamp | None) -> pd.DataFrame:
    """What was scored at the instant, by rank; no rows without one."""
    return scored[(scored["as_of"] == instant) & scored["scored"].astype(bool)].sort_values("rank")


def is_news(desk: ResearchDesk, as_of: datetime) -> bool:
    """True while no later watchlist can be there: of what is made up afterwards nobody needs to hear."""
    return desk.clock.now() - as_of < desk.trigger.length


def _scan(
    desk: ResearchDesk,
    session: date,
    instant: pd.Timestamp,
    digest: str,
    rows: pd.DataFrame,
    changes: dict[str, list[str]],
) -> ScanSnapshot:
    as_of, origin = instant.to_pydatetime(), desk.provenance
    return ScanSnapshot(
        snapshot_id=_identity("scan", session, as_of, origin.code_version, origin.config_hash, digest),
        session=session, as_of=as_of, code_version=origin.code_version, config_hash=origin.config_hash,
        input_hash=digest, scored=len(rows), selected=int(rows["selected"].astype(bool).sum()),
        created_at=desk.clock.now(), run_id=origin.run_id, changes=changes,
    )  # fmt: skip


def _identity(kind: str, session: date, as_of: datetime, *parts: str) -> str:
    text = "|".join((kind, session.isoformat(), as_of.isoformat(), *parts))
    return f"{kind}-{as_of:%Y%m%dT%H%MZ}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict(orient="records")]


def _setup(snapshot: ScanSnapshot, row: dict[str, Any]) -> Setup:
    return Setup(
        setup_id=f"{snapshot.snapshot_id}-{row['symbol']}",
        snapshot_id=snapshot.snapshot_id, symbol=row["symbol"], session=snapshot.session, as_of=snapshot.as_of,
        score=float(row["score"]), grade=row["grade"], state=row["state"], phase=row["phase"],
        reward_risk=float(row["rr"]), entry=float(row["entry"]), stop=float(row["stop"]), target=float(row["target"]),
        lowest_low=float(row["lowest_low"]), lower_band=float(row["lower_band"]), atr=float(row["atr"]),
        atr_mean=float(row["atr_mean"]), rank=int(row["rank"]), selected=bool(row["selected"]),
        components={name: float(row[name]) for name in COMPONENTS},
        details={name: _plain(row[name]) for name in DETAILS},
    )  # fmt: skip


def _plain(value: Any) -> float | str | None:
    """A JSON value: text, a finite number, or null."""
    if isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def input_hashes(
    desk: ResearchDesk, session: date, instants: Sequence[pd.Timestamp], history: History | None = None
) -> dict[pd.Timestamp, str]:
    """What was known at each instant, as a SHA-256: the history before the session, then its trigger bars so far.

    The same whether the session is in progress or long over: bars that end later do not enter.
    history: the hash of the history, where it is at hand.
    """
    running = (history or history_hash(desk, session)).copy()
    bars = desk.bars.view(desk.trigger, [session], as_of=session)
    hashes, done = {}, pd.Timestamp.min.tz_localize("UTC")
    for instant in instants:
        running.update(content(bars[(bars["end"] > done) & (bars["end"] <= instant)]))
        hashes[instant], done = running.hexdigest(), instant
    return hashes


def history_hash(desk: ResearchDesk, session: date) -> History:
    """A SHA-256 of all bars before the session that decisions read."""
    running, today = hashlib.sha256(), pd.Timestamp(session)
    for timeframe in (desk.confirmation, desk.regime, DAILY, desk.trigger):
        bars = desk.view(session, timeframe)
        running.update(content(bars[bars["session"] < today]))
    return running


def store_inputs(desk: ResearchDesk, session: date, history: History | None = None) -> None:
    """Keep the hashes of what was known at every instant of the session, and who made the indicators: `inputs`."""
    hashes, origin = input_hashes(desk, session, desk.instants(session), history), desk.provenance
    instants = pd.Series(list(hashes), dtype="datetime64[ns, UTC]")
    frame = pd.DataFrame({"as_of": instants, "input_hash": list(hashes.values())})
    made_by = {"config_hash": origin.config_hash, "code_version": origin.code_version}
    desk.frames.write("inputs", session, frame.assign(**made_by))


def require_own_inputs(desk: ResearchDesk, session: date) -> None:
    """Raise MissingResultError when the session's indicators were made by other code or another configuration."""
    frame, own = desk.frames.read("inputs", session), desk.provenance
    made_by = set(zip(frame.get("config_hash", ()), frame.get("code_version", ()), strict=True))
    if len(frame) and made_by != {(own.config_hash, own.code_version)}:
        known = ", ".join(f"code {code}, configuration {config[:12]}" for config, code in sorted(made_by)) or "unknown"
        raise MissingResultError(
            f"the indicators of {session} were made by others: {known}; now code {own.code_version}, configuration "
            f"{own.config_hash[:12]}. What is made of them would claim to be of this configuration. Materialise "
            f"indicators of {session} again, and what follows."
        )


def _stored_inputs(desk: ResearchDesk, session: date, instants: Sequence[pd.Timestamp]) -> dict[pd.Timestamp, str]:
    frame = desk.frames.read("inputs", session)
    known = dict(zip(frame["as_of"], frame["input_hash"], strict=True))
    return {instant: known[instant] for instant in instants if instant in known}


def content(rows: pd.DataFrame) -> bytes:
    """The rows' identity and figures as bytes; when we learned them does not enter."""
    numbers = rows[list(HASHED)].assign(start=rows["start"].astype("int64")).to_numpy("float64")
    return "|".join(rows["symbol"]).encode() + numbers.tobytes()


def record_regimes(desk: ResearchDesk, session: date, scored: pd.DataFrame) -> int:
    """Record one regime snapshot per row; returns how many were new."""
    inputs = _stored_inputs(desk, session, list(scored["as_of"]))
    rows = (row for row in _records(scored) if row["as_of"] in inputs)
    made = [_regime(desk, session, row, inputs[row["as_of"]]) for row in rows]
    with desk.ledger.transaction() as tx:
        return sum(tx.add_regime(one) for one in made)


def _regime(desk: ResearchDesk, session: date, row: dict[str, Any], digest: str) -> RegimeSnapshot:
    as_of, origin = row["as_of"].to_pydatetime(), desk.provenance
    return RegimeSnapshot(
        regime_id=_identity("regime", session, as_of, origin.code_version, origin.config_hash, digest),
        session=session, as_of=as_of, regime_class=row["regime_class"], score=float(row["score"]),
        size_multiplier=float(row["size_multiplier"]), positions_allowed=int(row["positions_allowed"]),
        only_a_plus=bool(row["only_a_plus"]), missing=tuple(row["missing"]),
        parts={name: float(row[f"{name}_points"]) for name in ("trend", "volatility", "breadth", "correlation")},
        details=row["details"], code_version=origin.code_version, config_hash=origin.config_hash,
        input_hash=digest, created_at=desk.clock.now(), run_id=origin.run_id,
    )  # fmt: skip


def flat_details(scored: pd.DataFrame) -> pd.DataFrame:
    """The regime frame with its nested columns as JSON text, for a file."""
    return scored.assign(
        missing=[json.dumps(list(value)) for value in scored["missing"]],
        details=[json.dumps(value, sort_keys=True) for value in scored["details"]],
    )
