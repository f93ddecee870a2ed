"""The audit log: how long it takes to verify a large one, and how much memory."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from trading_pipeline.adapters.audit_anchors import JsonLinesAnchors
from trading_pipeline.adapters.audit_keys import KeyFolder, is_signed_by
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.audit import Checkpoint, SignedCheckpoint, Why, key_id_of, signed_bytes
from trading_pipeline.services.audit.chain import Chain
from trading_pipeline.services.audit.verify import Means, verify_log
from trading_pipeline_tests.audit_logs import told
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes

EVERY = 1000
LOG_ID = "log-of-benchmarks"
AT = datetime(2025, 6, 10, 14, 0, tzinfo=UTC)


def audit_verify(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Verify so many entries on SQLite: outbox rows, columns, chain, tree, signatures, anchors."""
    home = folder / f"audit-{sizes.audit_entries}"
    if not (home / "ledger.sqlite3").exists():
        home.mkdir(parents=True)
        make_log(home, sizes.audit_entries)
    with closing(SqlLedger.open(default_url(home))) as ledger, timings.measure("verify"), ledger.read() as tx:
        verdict = verify_log(tx, means(home))
    if not verdict.is_sound or verdict.entries != sizes.audit_entries:
        raise RuntimeError(f"the log of the benchmark does not hold: {verdict}")
    timings.counts["entries"], timings.counts["checkpoints"] = verdict.entries, verdict.checkpoints


def means(home: Path) -> Means:
    """Keys and anchors of a home."""
    return Means(verify=is_signed_by, keys=KeyFolder(home / "keys"), anchors=JsonLinesAnchors(home / "anchors.jsonl"))


def make_log(home: Path, entries: int) -> None:
    """Outbox and log with all its checkpoints, as a sequencer would have left them."""
    keys, anchors = KeyFolder(home / "keys"), JsonLinesAnchors(home / "anchors.jsonl")
    public, chain, last = keys.create(), Chain.empty(LOG_ID), None
    with closing(SqlLedger.open(default_url(home))) as ledger:
        with ledger.transaction() as tx:
            tx.name_log(LOG_ID, AT)
        for start in range(0, entries, EVERY):
            with ledger.transaction() as tx:
                for number in range(start + 1, min(start + EVERY, entries) + 1):
                    tx.add_audit(told(number))
                tx.flush()
                logged, chain = chain.extended(tx.unlogged(after=start, limit=EVERY), AT)
                tx.append_logged(logged)
                last = _signed(keys, public, chain, last)
                tx.add_checkpoint(last, chain.frontier.text())
            anchors.append(last)


def _signed(keys: KeyFolder, public: bytes, chain: Chain, last: SignedCheckpoint | None) -> SignedCheckpoint:
    said = Checkpoint(
        log_id=LOG_ID, number=last.checkpoint.number + 1 if last else 1, seq=chain.seq, head=chain.head.hex(),
        root=chain.frontier.root().hex(), previous=last.digest if last else "", at=AT, key_id=key_id_of(public),
        why=Why.ENTRIES,
    )  # fmt: skip
    signature = keys.sign(signed_bytes(said.text))
    return SignedCheckpoint(text=said.text, signature=signature.hex(), public_key=public.hex())
