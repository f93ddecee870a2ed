"""Facts from files and stored bars: what is known, what is not, and from where; nothing of the session itself."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.market_facts import (
    GICS_SECTORS,
    StoredMarketFacts,
    read_earnings,
    read_sectors,
    write_sectors,
)
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate, sectors
from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.risk import SymbolFacts

CALENDAR = ExchangeCalendar()
SPEC = SyntheticMarketSpec(symbols=8, sessions=110, timeframe=Timeframe.MIN5)
NOW = datetime(2026, 1, 5, tzinfo=UTC)
FRIDAY = date(2025, 6, 6)


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> ParquetBarStore:
    store = ParquetBarStore(tmp_path_factory.mktemp("bars"), CALENDAR, FixedClock(NOW))
    populate(SPEC, store, CALENDAR)
    return store


def of(store: ParquetBarStore, symbol: str = "SPY", held: tuple[str, ...] = (), **files: Any) -> SymbolFacts:
    session = market_sessions(SPEC, CALENDAR)[-1]
    return StoredMarketFacts(store, CALENDAR, **files).facts([symbol], held, session, NOW)[symbol]


def written(folder: Path, text: str, name: str = "facts.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def digest_of(path: Path) -> str:
    """The first twelve hex digits of the file's SHA-256, as `sha256sum` shows them."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def test_without_files_sector_and_earnings_are_unknown_and_say_which_setting_is_missing(bars: ParquetBarStore) -> None:
    found = of(bars)

    assert (found.sector, found.next_earnings, found.sessions_to_earnings, found.unusable) == ("", None, None, ())
    assert "execution.filters.sector_file" in found.sector_source
    assert "execution.filters.earnings_file" in found.earnings_source


def test_a_sector_is_read_in_any_case_and_a_missing_row_is_told(bars: ParquetBarStore, tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffsymbol,sector,industry\nspy , health CARE,Drugs\nSPY,Health Care,\n\n")

    assert of(bars, sector_file=path).sector == "Health Care"
    assert (
        of(bars, "QQQ", sector_file=path).sector_source == f"sector map facts.csv ({digest_of(path)}): no row for QQQ"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbol,sector\nA,Tech\n", "facts.csv:2: 'Tech' is no GICS sector. Write one of: Communication Services"),
        ("symbol,sector\nA,Energy\nA,Utilities\n", "facts.csv:3: A is in Energy and in Utilities"),
        ("ticker,sector\nA,Energy\n", "lacks the column(s) symbol"),
        ("", "lacks the column(s) symbol, sector"),
        ("symbol,sector\nA\n", "facts.csv:2: a row needs both"),
    ],
)
def test_a_sector_map_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataFileError) as caught:
        read_sectors(written(tmp_path, text))
    assert words in str(caught.value)


def test_a_named_file_that_cannot_be_used_makes_every_symbol_unusable(bars: ParquetBarStore, tmp_path: Path) -> None:
    missing = of(bars, sector_file=tmp_path / "none.csv")
    broken = of(bars, earnings_file=written(tmp_path, "symbol,date\nA,soon\n"))

    assert "none.csv: No such file or directory" in missing.unusable[0]
    assert "facts.csv:2: 'soon' is not a date: write it as 2026-01-02" in broken.unusable[0]


@pytest.mark.parametrize(
    ("day", "ahead"),
    [("2025-06-06", 0), ("2025-06-07", 1), ("2025-06-09", 1), ("2025-06-10", 2), ("2025-06-05", None)],
)
def test_earnings_are_counted_in_sessions_from_the_session_on(tmp_path: Path, day: str, ahead: int | None) -> None:
    path = written(tmp_path, f"symbol,date\nA,{day}\nB,2025-12-01\n")
    facts = StoredMarketFacts(ParquetBarStore(tmp_path, CALENDAR, FixedClock(NOW)), CALENDAR, earnings_file=path)

    found = facts.facts(["A", "B"], [], FRIDAY, NOW)

    assert found["A"].sessions_to_earnings == ahead
    assert (found["B"].sessions_to_earnings or 0) > 60
    if ahead is None:
        expected = f"earnings calendar facts.csv ({digest_of(path)}), which reaches to 2025-12-01: no coming row for A"
        assert found["A"].earnings_source == expected


def test_earnings_dates_are_sorted_and_distinct(tmp_path: Path) -> None:
    path = written(tmp_path, "symbol,date\nA,2025-09-01\nA,2025-06-01\nA,2025-06-01\n")

    assert read_earnings(path) == {"A": [date(2025, 6, 1), date(2025, 9, 1)]}


def closes_by_hand(store: ParquetBarStore, symbol: str, count: int) -> list[float]:
    """Adjusted closes of the sessions before the last, one file at a time."""
    *_, last = days = market_sessions(SPEC, CALENDAR)
    found = []
    for day in days[-count - 1 : -1]:
        view = store.view(Timeframe.DAY1, [day], as_of=last, symbols=[symbol])
        found.append(float(view["close"].iloc[0]))
    return found


def test_correlations_are_of_sixty_returns_before_the_session_only(bars: ParquetBarStore) -> None:
    one, other = (np.array(closes_by_hand(bars, symbol, 61)) for symbol in ("SPY", "QQQ"))
    expected = np.corrcoef(one[1:] / one[:-1], other[1:] / other[:-1])[0, 1]

    found = of(bars, held=("QQQ", "SPY", "NOWHERE"))

    assert found.correlations == {"QQQ": pytest.approx(expected)}
    assert found.correlation_source.startswith("60 daily returns before ")


def test_a_later_bar_changes_no_earlier_fact(bars: ParquetBarStore) -> None:
    days = market_sessions(SPEC, CALENDAR)
    facts = StoredMarketFacts(bars, CALENDAR)
    earlier = ParquetBarStore(bars.root, CALENDAR, FixedClock(NOW))

    class Cut(ParquetBarStore):
        def _paths(self, timeframe: Timeframe, sessions: object) -> list[Path]:
            kept = [day for day in sessions if day < days[-5]]  # type: ignore[attr-defined]
            return super()._paths(timeframe, kept)

    cut = StoredMarketFacts(Cut(earlier.root, CALENDAR, FixedClock(NOW)), CALENDAR)
    asked = (["SPY"], ["QQQ"], days[-5], NOW)
    assert facts.facts(*asked) == cut.facts(*asked)


def test_too_little_history_leaves_correlation_unknown(bars: ParquetBarStore) -> None:
    early = market_sessions(SPEC, CALENDAR)[40]

    assert StoredMarketFacts(bars, CALENDAR).facts(["SPY"], ["QQQ"], early, NOW)["SPY"].correlations == {}


def test_value_at_risk_is_unknown_with_a_hundred_sessions_missing_and_nothing_for_an_empty_book(
    bars: ParquetBarStore,
) -> None:
    facts, days = StoredMarketFacts(bars, CALENDAR), market_sessions(SPEC, CALENDAR)
    closes = np.array(closes_by_hand(bars, "SPY", 109))
    losses = sorted(10_000 * (1 - closes[1:] / closes[:-1]))

    known = facts.value_at_risk_usd({"SPY": Decimal(10_000)}, days[-1])

    assert known is not None
    assert float(known) == pytest.approx(losses[math.ceil(0.95 * 108) - 1], abs=0.01)
    assert facts.value_at_risk_usd({"SPY": Decimal(10_000)}, days[50]) is None
    assert facts.value_at_risk_usd({"NOWHERE": Decimal(1)}, days[-1]) is None
    assert facts.value_at_risk_usd({}, days[-1]) == 0


def test_the_synthetic_market_has_a_sector_map_of_its_own(bars: ParquetBarStore, tmp_path: Path) -> None:
    path = tmp_path / "sectors.csv"
    write_sectors(path, sectors(SPEC))

    assert read_sectors(path) == sectors(SPEC)
    assert set(sectors(SPEC).values()) <= set(GICS_SECTORS)
    assert "SPY" not in sectors(SPEC)
    assert len(sectors(SPEC)) == SPEC.symbols
