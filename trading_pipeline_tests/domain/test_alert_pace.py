"""How fast a channel is used, against a bucket of tokens counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.alert_pace import messages_left, one_less
from trading_pipeline.domain.alert_rules import ChannelRules
from trading_pipeline.domain.alerting import ChannelRecord

NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)


@given(st.integers(1, 6), st.sampled_from([1, 6, 60]), st.lists(st.integers(0, 90), max_size=40))
def test_it_is_a_bucket_of_tokens(burst: int, per_minute: int, waits: list[int]) -> None:
    rules = ChannelRules(burst_messages=burst, messages_per_minute=per_minute)
    channel, now, tokens = ChannelRecord(name="a"), NOON, Fraction(burst)
    for seconds in waits:
        now += timedelta(seconds=seconds)
        tokens = min(Fraction(burst), tokens + Fraction(seconds * per_minute, 60))

        left = messages_left(channel, rules, now)

        assert left == int(tokens)
        if left:
            channel, tokens = one_less(channel, rules, now), tokens - 1


def test_a_clock_that_was_set_back_does_not_close_the_channel() -> None:
    rules = ChannelRules(burst_messages=2, messages_per_minute=1)
    used = one_less(one_less(ChannelRecord(name="a"), rules, NOON), rules, NOON)

    assert messages_left(used, rules, NOON) == 0
    assert messages_left(used, rules, NOON - timedelta(days=1)) == 2
