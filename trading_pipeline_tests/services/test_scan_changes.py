"""What has changed since the scan before, in words."""

from __future__ import annotations

import pandas as pd

from trading_pipeline.services.scan_changes import newest, regime_changes, screen_changes, watchlist_changes

SEVEN, TEN = (pd.Timestamp(f"2025-06-10T{hour}:00Z") for hour in ("11", "14"))


def screen(at: pd.Timestamp, **handed_off: bool) -> pd.DataFrame:
    return pd.DataFrame({"as_of": at, "symbol": list(handed_off), "handed_off": list(handed_off.values())})


def regime(at: pd.Timestamp, score: float, kind: str) -> pd.DataFrame:
    return pd.DataFrame({"as_of": [at], "score": [score], "regime_class": [kind]})


def listed(at: pd.Timestamp, **ranks: int) -> pd.DataFrame:
    rows = {"as_of": at, "symbol": list(ranks), "grade": "A", "rank": list(ranks.values()), "selected": True}
    return pd.DataFrame({**rows, "scored": True})


def test_a_screen_tells_who_came_and_who_left_since_the_one_before() -> None:
    before = screen(SEVEN, AAA=True, BBB=True, CCC=False)
    frame = pd.concat([before, screen(TEN, AAA=True, BBB=False, CCC=True)])

    assert screen_changes(before, frame) == "in: CCC; out: BBB (since the scan of 11:00 UTC)"


def test_the_second_scan_before_the_open_is_compared_with_the_first_though_both_are_of_one_instant() -> None:
    assert screen_changes(screen(SEVEN, AAA=True), screen(SEVEN, AAA=False)).startswith("out: AAA")


def test_without_a_scan_before_or_without_a_change_it_says_so() -> None:
    same = screen(SEVEN, AAA=True)

    assert screen_changes(None, same) == "the first scan of the session"
    assert screen_changes(same, same).startswith("nothing has changed")
    assert regime_changes(regime(SEVEN, 75, "BULL"), regime(TEN, 75, "BULL")).startswith("nothing has changed")


def test_a_regime_tells_how_score_and_class_have_moved() -> None:
    found = regime_changes(regime(SEVEN, 75, "BULL"), regime(TEN, 42, "BEAR"))

    assert found == "score: 75 -> 42; class: BULL -> BEAR (since the scan of 11:00 UTC)"


def test_a_watchlist_tells_who_entered_left_and_moved() -> None:
    found = watchlist_changes(listed(SEVEN, AAA=1, BBB=2), listed(TEN, BBB=1, CCC=2))

    assert found == "entered: CCC; left: AAA; moved: BBB 2->1 (since the scan of 11:00 UTC)"


def test_the_newest_scan_is_the_rows_of_the_last_instant() -> None:
    frame = pd.concat([screen(SEVEN, AAA=True), screen(TEN, BBB=True)])

    assert list(newest(frame)["symbol"]) == ["BBB"]
