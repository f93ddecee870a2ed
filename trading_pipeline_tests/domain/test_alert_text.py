"""What people read: short enough, complete in its counts, and nothing in it that acts."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.alert_text import Writer, cut, harmless
from trading_pipeline.domain.alerting import DIGEST, LATE, QUIET, Delivery, DeliveryState
from trading_pipeline.domain.control import Alert, AlertLevel

NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


def part_of(number: int, level: AlertLevel = AlertLevel.CRITICAL, bundle: str = "", *, maybe: bool = False) -> Delivery:
    return Delivery(
        alert_id=f"kill-{number}", channel="mail", alert_no=number, account="SIM", occurred_at=NOON, level=level,
        kind="kill", rule="all", same=f"s{number}", state=DeliveryState.PENDING, reason="", bundle=bundle, due_at=NOON,
        created_at=NOON, maybe_sent=maybe,
    )  # fmt: skip


def alert_of(part: Delivery, message: str) -> Alert:
    return Alert(
        alert_id=part.alert_id, account="SIM", session=date(2026, 11, 20), occurred_at=NOON, level=part.level,
        kind="kill", message=message, data={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone look", "@ everyone look"),
        ("ping <!channel> and <@U123>", "ping < !channel> and < @ U123>"),
        ("<script>alert(1)</script>", "< script>alert(1)< /script>"),
        ("[your bank](https://evil.example)", "[your bank] (https: //evil.example)"),
        ("Subject\r\nBcc: victim@example.com", "Subject Bcc: victim@ example.com"),
        ("**bold** ||spoiler|| ```code```", "* *bold* * | |spoiler| | '''code'''"),
        ("right\u202eto left\u200b", "right to left"),
        ("&lt;b&gt;", "& lt;b& gt;"),
        ("AAPL: 5 < 6 & P&L -3.2 %", "AAPL: 5 < 6 & P&L -3.2 %"),
    ],
)
def test_what_would_act_is_only_text(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(
    st.text() | st.lists(st.sampled_from(["@", "here", "<", "!", "](", "://", "*", "`", "\n", "&", "#x;"])).map("".join)
)
def test_no_text_acts_and_cleaning_twice_is_cleaning_once(text: str) -> None:
    shown = harmless(text)

    assert not any(unicodedata.category(one)[0] == "C" or one in "\n\r\u2028\u2029`" for one in shown)
    assert not re.search(r"@\w|<[\w!@#/]|\]\(|\w://|\*\*|~~|\|\|", shown)
    assert harmless(shown) == shown


@given(
    st.lists(st.text(max_size=400), min_size=1, max_size=12),
    st.integers(100, 2000),
    st.sampled_from(["", LATE, QUIET, DIGEST, "same"]),
    st.sampled_from(list(AlertLevel)),
    st.booleans(),
)
def test_a_message_has_its_length_and_says_how_many_it_does_not_name(
    texts: list[str], most: int, bundle: str, level: AlertLevel, maybe: bool
) -> None:
    parts = [part_of(number, level, bundle, maybe=maybe) for number in range(len(texts))]
    alerts = {part.alert_id: alert_of(part, text) for part, text in zip(parts, texts, strict=True)}

    written = Writer(zone=NEW_YORK, redact=str, max_characters=most).write("m", parts, alerts)

    message = written.message
    assert len(message.title) + len(message.body) <= most
    assert "\n" not in message.title
    assert set(message.alert_ids) == set(alerts)
    counted = re.search(r"and (\d+) more", message.body)
    missing = len(parts) - len(written.named)
    assert missing == (int(counted.group(1)) if counted and missing else 0)


def test_a_critical_message_keeps_the_way_to_act_however_long_it_is() -> None:
    part = part_of(1)

    written = Writer(zone=NEW_YORK, redact=str, max_characters=300).write(
        "m", [part], {"kill-1": alert_of(part, "x" * 900)}
    )

    assert "alerts ack kill-1" in written.message.body
    assert "xxx..." in written.message.body


def test_secrets_are_taken_out_before_the_text_is_cut() -> None:
    part = part_of(1)
    writer = Writer(zone=NEW_YORK, redact=lambda text: text.replace("hunter2", "[redacted]"), max_characters=120)

    for padding in range(120):
        text = "x" * padding + "hunter2"
        assert "hunt" not in writer.write("m", [part], {"kill-1": alert_of(part, text)}).message.body


def test_a_cut_text_ends_with_dots() -> None:
    assert (cut("abcdef", 6), cut("abcdefg", 6)) == ("abcdef", "abc...")
