"""The watchlist: rank, selection and what changed."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.watchlist import WatchlistRules, changes, select
from trading_pipeline.domain.errors import FrameContractError

AS_OF = pd.Timestamp("2025-03-03 15:00", tz="UTC")
Row = tuple[str, float, str]

rows = st.lists(
    st.tuples(
        st.text(alphabet="ABC", min_size=1, max_size=3),
        st.sampled_from([50.0, 66.0, 66.0, 76.0]),
        st.sampled_from(["A+", "A", "B", "C", ""]),
    ),
    unique_by=lambda row: row[0],
)


def scored(*setups: Row, as_of: pd.Timestamp = AS_OF) -> pd.DataFrame:
    """Setups as score_setups returns them; grade "" is a rejected one."""
    frame = pd.DataFrame(list(setups), columns=["symbol", "score", "grade"]).assign(as_of=as_of)
    frame["scored"] = frame["grade"] != ""
    frame["score"] = frame["score"].where(frame["scored"])
    return frame


def selected(*setups: Row, at_most: int = 20) -> pd.DataFrame:
    return select(scored(*setups), WatchlistRules(max_symbols=at_most))


@settings(deadline=None, max_examples=40)
@given(setups=rows, at_most=st.integers(min_value=1, max_value=5))
def test_the_watchlist_holds_the_best_graded_setups_and_no_more(setups: list[Row], at_most: int) -> None:
    found = selected(*setups, at_most=at_most)

    best = sorted((-score, symbol) for symbol, score, grade in setups if grade in {"A+", "A"})[:at_most]
    assert set(found.loc[found["selected"], "symbol"]) == {symbol for _, symbol in best}
    assert len(found) == len(setups)


@settings(deadline=None, max_examples=40)
@given(setups=rows)
def test_ranks_count_the_scored_setups_by_score_then_symbol_in_any_input_order(setups: list[Row]) -> None:
    expected = [symbol for _, symbol in sorted((-score, symbol) for symbol, score, grade in setups if grade)]

    for given_order in (setups, setups[::-1]):
        found = selected(*given_order).sort_values("rank")
        ranked = found[found["rank"] > 0]
        assert ranked["symbol"].tolist() == expected
        assert ranked["rank"].tolist() == list(range(1, len(expected) + 1))
        assert not found.loc[found["rank"] == 0, "scored"].any()


def test_every_snapshot_has_its_own_ranks_and_its_own_limit() -> None:
    later = AS_OF + pd.Timedelta(minutes=15)
    both = pd.concat([scored(("X", 70, "A"), ("Y", 80, "A+")), scored(("X", 90, "A"), ("Y", 80, "A"), as_of=later)])

    found = select(both, WatchlistRules(max_symbols=1))

    assert found["rank"].tolist() == [2, 1, 1, 2]
    assert found["selected"].tolist() == [False, True, True, False]


def test_changes_name_who_entered_left_moved_and_is_new_at_a_plus() -> None:
    previous = selected(("A", 90, "A+"), ("B", 80, "A+"), ("C", 70, "A"), ("D", 60, "B"))
    current = selected(("A", 70, "A"), ("B", 80, "A+"), ("C", 90, "A+"), ("E", 75, "A+"), ("B2", 50, "C"))

    assert changes(current, previous) == {
        "entered": ["E"],
        "left": [],
        "moved": ["A 1->4", "C 3->1"],
        "new_a_plus": ["C", "E"],
    }
    assert changes(previous, current)["left"] == ["E"]


def test_against_no_previous_snapshot_everything_entered() -> None:
    current = selected(("A", 90, "A+"), ("B", 70, "A"))

    assert changes(current, current.iloc[:0]) == {
        "entered": ["A", "B"],
        "left": [],
        "moved": [],
        "new_a_plus": ["A"],
    }


def test_changes_between_more_than_two_snapshots_are_refused() -> None:
    one = selected(("A", 90, "A+"))
    two = pd.concat([one, one.assign(as_of=AS_OF + pd.Timedelta(minutes=15))])

    with pytest.raises(FrameContractError, match="2 snapshots"):
        changes(two, one)
