"""Checkpoints kept elsewhere: as many as there are, in little memory, and none taken for another."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import InputError
from trading_pipeline.services.audit.kept import Kept, KeptElsewhere, require_agreeing

one_kept = st.builds(
    Kept, log_id=st.sampled_from(["a", "b"]), number=st.integers(1, 8), seq=st.integers(0, 3),
    signature=st.sampled_from(["00", "11"]),
)  # fmt: skip


@given(st.lists(one_kept, max_size=20))
def test_in_whatever_order_they_come_the_last_of_a_number_counts(found: list[Kept]) -> None:
    kept, last = KeptElsewhere(found), {one.number: one for one in found}

    assert {number: kept.name(number) for number in range(10)} == {
        number: last[number].name if number in last else None for number in range(10)
    }
    assert kept.newest == last.get(max(last, default=0))
    assert kept.log_ids == {one.log_id for one in found}


@given(one_kept, one_kept)
def test_only_the_same_has_the_same_name(one: Kept, other: Kept) -> None:
    assert (one.name == other.name) == (one == other)


def test_a_year_of_checkpoints_takes_no_more_than_their_names() -> None:
    kept = KeptElsewhere(Kept(log_id="log", number=number, seq=number, signature="00") for number in range(1, 10_001))

    assert sys.getsizeof(kept._names) + sys.getsizeof(kept._numbers) < 10_000 * 50
    assert kept._others == {}


def test_two_that_people_kept_and_that_differ_are_refused() -> None:
    one, other = (Kept(log_id="log", number=1, seq=seq, signature="00") for seq in (1, 2))

    assert require_agreeing([one, one]) == [one]
    with pytest.raises(InputError, match="two checkpoints 1 were kept, and they differ"):
        require_agreeing([one, other])
