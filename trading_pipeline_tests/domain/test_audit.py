"""The audit log's format: one text for one entry, a chain that every change breaks, the tree of RFC 9162."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.audit import (
    Checkpoint,
    Frontier,
    Why,
    body_of,
    first_head,
    inclusion_path,
    instant_of,
    instant_text,
    key_id_of,
    leaf_of,
    next_head,
    read_body,
    root_of_path,
)
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import AuditFormatError, NaiveDatetimeError

AT = datetime(2025, 3, 10, 14, 15, 0, 120, UTC)
ENTRY = AuditEntry(
    occurred_at=AT, kind="fill", account="SIM", subject="exec-1", actor="us", data={"b": "2", "a": "é\n"}
)
CHECKPOINT = Checkpoint(
    log_id="log", number=1, seq=2, head="aa", root="bb", previous="", at=AT, key_id="cc", why=Why.START
)
texts = st.text(max_size=8)
leaves = st.lists(st.binary(min_size=32, max_size=32), max_size=70)


def naive_root(nodes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if not nodes:
        return hashlib.sha256(b"").digest()
    if len(nodes) == 1:
        return nodes[0]
    split = 1
    while split * 2 < len(nodes):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(nodes[:split]) + naive_root(nodes[split:])).digest()


@given(nodes=leaves)
def test_the_tree_kept_while_it_grows_is_the_tree_of_the_standard(nodes: list[bytes]) -> None:
    grown = Frontier.of(nodes)

    assert grown.root() == naive_root(nodes)
    assert Frontier.read(len(nodes), grown.text()).root() == naive_root(nodes)


@given(nodes=leaves.filter(bool), pick=st.integers(min_value=0), data=st.data())
def test_a_path_leads_from_its_entry_to_the_root_and_from_no_other(
    nodes: list[bytes], pick: int, data: st.DataObject
) -> None:
    index = pick % len(nodes)
    path = inclusion_path(nodes, index)

    assert root_of_path(nodes[index], index, len(nodes), path) == naive_root(nodes)
    assert root_of_path(b"x" * 32, index, len(nodes), path) != naive_root(nodes)
    if path:
        broken = data.draw(st.integers(0, len(path) - 1))
        with pytest.raises(AuditFormatError):
            root_of_path(nodes[index], index, len(nodes), path[:broken] + path[broken + 1 :])


def test_a_tree_grows_without_changing_the_one_it_was_copied_from() -> None:
    first = Frontier.of([b"a" * 32] * 3)
    root, second = first.root(), first.copy()

    second.append(b"b" * 32)

    assert (first.size, first.root(), second.size) == (3, root, 4)


@pytest.mark.parametrize(("size", "text"), [(3, "aa"), (-1, ""), (1, "xy"), (0, "aa")])
def test_subtrees_that_cannot_be_those_of_so_many_entries_are_refused(size: int, text: str) -> None:
    with pytest.raises(AuditFormatError):
        Frontier.read(size, text)


def test_an_entry_is_this_text_and_these_hashes_in_every_release() -> None:
    body = body_of(7, AT + timedelta(seconds=1), ENTRY)

    assert body == (
        '{"account":"SIM","actor":"us","data":{"a":"é\\n","b":"2"},"kind":"fill",'
        '"occurred_at":"2025-03-10T14:15:00.000120Z","recorded_at":"2025-03-10T14:15:01.000120Z","seq":7,'
        '"subject":"exec-1","v":1}'
    )
    assert leaf_of(body) == hashlib.sha256(b"\x00" + body.encode()).digest()
    start = hashlib.sha256(b"trading-pipeline audit log v1\nlog-1").digest()
    assert first_head("log-1") == start
    chained = hashlib.sha256(b"trading-pipeline audit chain v1\n" + start + leaf_of(body)).digest()
    assert next_head(start, leaf_of(body)) == chained
    assert key_id_of(b"k" * 32) == hashlib.sha256(b"k" * 32).hexdigest()[:16]


@given(
    kind=texts, account=texts, subject=texts, actor=texts,
    data=st.dictionaries(texts, texts, max_size=4), seq=st.integers(1, 2**53 - 1),
)  # fmt: skip
def test_every_entry_has_a_text_that_says_it_and_is_read_back(
    kind: str, account: str, subject: str, actor: str, data: dict[str, str], seq: int
) -> None:
    entry = AuditEntry(occurred_at=AT, kind=kind, account=account, subject=subject, actor=actor, data=data)

    body = body_of(seq, AT, entry)

    said = read_body(body)
    assert (said["seq"], said["kind"], said["account"], said["subject"], said["actor"]) == (
        seq, kind, account, subject, actor,
    )  # fmt: skip
    assert said["data"] == data
    assert json.loads(body) == said


def test_what_no_encoding_can_say_is_written_as_its_escape() -> None:
    """One lone surrogate must not keep all later entries out of the log."""
    body = body_of(1, AT, replace(ENTRY, subject="x\ud800", data={"\udfff": "\ud801"}))

    assert read_body(body)["subject"] == "x\\ud800"
    assert read_body(body)["data"] == {"\\udfff": "\\ud801"}


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"v":1}', '{"seq": 1}', "\ud800"])
def test_a_text_that_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(AuditFormatError):
        read_body(text)


def test_one_instant_has_one_text_whatever_its_zone_and_a_naive_one_none() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=-5)))

    assert instant_text(elsewhere) == instant_text(AT) == "2025-03-10T14:15:00.000120Z"
    assert instant_of(instant_text(AT)) == AT
    with pytest.raises(NaiveDatetimeError):
        instant_text(datetime(2025, 3, 10))  # noqa: DTZ001  that is the point


def test_a_checkpoint_is_read_back_and_names_the_next_key_only_where_there_is_one() -> None:
    rotating = replace(CHECKPOINT, why=Why.ROTATION, next_key="dd")

    assert Checkpoint.read(CHECKPOINT.text) == CHECKPOINT
    assert Checkpoint.read(rotating.text) == rotating
    assert "next_key" not in json.loads(CHECKPOINT.text)


@pytest.mark.parametrize(
    "change", [{"v": 2}, {"why": "because"}, {"at": "yesterday"}, {"more": 1}, {"number": "1"}, {"next_key": ""}]
)
def test_a_text_that_is_no_checkpoint_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(AuditFormatError):
        Checkpoint.read(json.dumps(json.loads(CHECKPOINT.text) | change, separators=(",", ":"), sort_keys=True))


counts = st.integers(0, 2**53 - 1)
checkpoints = st.builds(
    Checkpoint, log_id=texts, number=counts, seq=counts, head=texts, root=texts, previous=texts, key_id=texts,
    at=st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)),  # noqa: DTZ001  hypothesis wants it so
    why=st.sampled_from(Why), next_key=texts,
)  # fmt: skip
PIECES = [
    '"',
    "\\",
    ",",
    "{",
    "}",
    "0",
    "-",
    "1e3",
    "é",
    "\x00",
    "\ud800",
    '"v":1',
    '"v":2',
    '"number":',
    "start",
    "Z",
    " ",
]


def read(text: str, way: Callable[[str], Checkpoint | None]) -> Checkpoint | None:
    """None where it is refused."""
    try:
        return way(text)
    except AuditFormatError:
        return None


@given(said=checkpoints, at=st.integers(0, 400), cut=st.integers(0, 3), piece=st.sampled_from(["", *PIECES]))
def test_the_quick_way_to_read_a_checkpoint_says_what_the_slow_one_says(
    said: Checkpoint, at: int, cut: int, piece: str
) -> None:
    try:
        text = said.text
    except AuditFormatError:  # a lone surrogate
        return
    changed = text[:at] + piece + text[at + cut :]

    assert read(text, Checkpoint.read) == said
    assert read(changed, Checkpoint.read) == read(changed, Checkpoint._any)


def test_a_checkpoint_as_the_log_makes_them_is_read_the_quick_way() -> None:
    made = replace(CHECKPOINT, log_id="0123456789abcdef", next_key="ab" * 32, why=Why.ROTATION)

    assert Checkpoint._plainly(made.text) == made
    assert Checkpoint._plainly(CHECKPOINT.text) == CHECKPOINT
