"""The page is one harmless, self-contained file: the same report, the same bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.report_page import equity_svg, figures, render_report, trade_svg, write_report
from trading_pipeline.adapters.report_page.charts import Frame, closings_svg, padded, ticks
from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.performance import summarise_day
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.reports import (
    STAGES,
    Benchmark,
    Candidate,
    ClosingEquity,
    Funnel,
    JournalEntry,
    NetPnl,
    Origin,
    PriceBar,
    SessionReport,
    TradeChart,
    WinRates,
)
from trading_pipeline.domain.setups import RegimeSnapshot
from trading_pipeline_tests.builders import (
    AT,
    CLOSES_AT,
    OPENS_AT,
    SESSION,
    a_setup,
    a_trade,
    an_equity_point,
)

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "<script>alert(1)</script>"
PARTS = {"trend": 30.0, "volatility": 20.0, "breadth": 8.0, "correlation": 20.0}


def a_regime() -> RegimeSnapshot:
    return RegimeSnapshot(
        regime_id="regime-1", session=SESSION, as_of=AT, regime_class="BULL_LOW_VOL", score=78.0, size_multiplier=1.5,
        positions_allowed=8, only_a_plus=False, missing=("vix",), parts=PARTS,
        details={"recommendations": ["Size entries at 1.5 times the base size."]}, code_version="1",
        config_hash="c0", input_hash="i", created_at=AT,
    )  # fmt: skip


def a_chart(trade: Trade) -> TradeChart:
    starts = [OPENS_AT + timedelta(minutes=15 * number) for number in range(26)]
    bars = [
        PriceBar(start, start + timedelta(minutes=15), 50 + number / 10, 50.4 + number / 10, 49.8, 50.2)
        for number, start in enumerate(starts)
    ]
    return TradeChart(trade, tuple(bars))


def a_report(*trades: Trade) -> SessionReport:
    """A session with the given closed trades."""
    points = tuple(an_equity_point(100_000 + 10 * hour, 60 * hour) for hour in range(5))
    daily = summarise_day(
        trades, points, account="A", session=SESSION, opening_equity_usd=Decimal(100_000), computed_at=CLOSES_AT
    )
    ended = (Candidate("XYZ", "closed", "closed:target"), Candidate("ABC", "universe", "volume"))
    return SessionReport(
        account="A", session=SESSION, opens_at=OPENS_AT, closes_at=CLOSES_AT, phase="closed", daily=daily,
        net_usd=NetPnl(*[daily.net_usd] * 4), total_return_fraction=0.0004,
        win_rates=WinRates(None, 0.5, 0.5, 0.5), sharpe=1.25, max_drawdown_fraction=-0.01, profit_factor=None,
        benchmark=Benchmark("SPY", -0.002, None), equity=points,
        closing_equity=(ClosingEquity(SESSION, Decimal(100_040), 0.0004),), cash_usd=Decimal(100_040),
        positions_usd=Decimal(0), open_risk_usd=Decimal(0), regimes=(a_regime(),),
        funnel=Funnel(SESSION, {stage: 1 + (stage == "universe") for stage in STAGES}, ended),
        setups=(a_setup(components={"setup_strength": 21.0}),), charts=tuple(a_chart(trade) for trade in trades),
        journal=(JournalEntry(AT, "entry", "XYZ", "Bought 100 XYZ at 50.00.", 80.5, "BottomActive", "A+"),),
        open_positions=(), origin=Origin("1", "c0", "", "d1ce", {AT.isoformat(): "1nput"}),
    )  # fmt: skip


class Tags(HTMLParser):
    """Collects tags with their attributes and checks that they nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("trades", [(), (a_trade(250),), (a_trade(250), a_trade(-80, symbol="ABC"), a_trade(0))])
def test_the_page_is_well_formed_and_asks_nothing_of_the_network(trades: tuple[Trade, ...]) -> None:
    page = render_report(a_report(*trades))

    tags = Tags(page).seen
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in tags}
    assert not [name for _, attributes in tags for name in attributes if name in {"src", "href"} or name[:2] == "on"]
    assert set(re.findall(r"https?://[^\"' ]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_shows_the_figures_of_the_session() -> None:
    page = render_report(a_report(a_trade(250), a_trade(-80, symbol="ABC")))

    for text in (
        "Tuesday, 10 June 2025",
        "+170.00",
        "100,040.00",
        "+1.25 R",
        "\u22120.40 R",
        "1 won, 1 lost",
        "+250.00",
    ):
        assert text in page
    for text in (
        "Bull low vol, 78 of 100",
        "trend 30",
        "vix",
        "Size entries at 1.5",
        "Bought 100 XYZ",
        "d1ce",
        "1nput",
    ):
        assert text in page


def test_what_has_to_be_said_of_its_end_stands_on_top() -> None:
    page = render_report(replace(a_report(), remarks=("closed while <the venue> was silent",)))

    assert page.index("closed while &lt;the venue&gt; was silent") < page.index("Net P&amp;L")


def test_a_session_without_trades_says_so() -> None:
    page = render_report(a_report())

    assert "No trade was closed in this session" in page
    assert "none closed" in page


def test_a_lone_small_result_does_not_fill_its_bar() -> None:
    assert "left:50.00%;width:12.50%" in render_report(a_report(a_trade(50)))  # a quarter of R, of half the track


def test_what_is_missing_leaves_a_note_and_no_hole() -> None:
    bare = replace(
        a_report(), benchmark=None, equity=(), closing_equity=(), regimes=(), setups=(), journal=(), phase="running",
        origin=Origin("1", "c0", "", "", {}),
    )  # fmt: skip

    page = render_report(bare)

    for text in ("No equity points", "No regime score", "Nothing was scored", "No entries or exits", "not closed yet"):
        assert text in page
    assert "session running" in page


def test_markup_in_the_data_comes_out_harmless() -> None:
    trade = a_trade(250, symbol=HOSTILE, state=HOSTILE, grade=HOSTILE)
    report = a_report(trade)
    hostile = replace(
        report,
        account=HOSTILE,
        funnel=Funnel(SESSION, report.funnel.counts, (Candidate(HOSTILE, "universe", HOSTILE),)),
        setups=(a_setup(symbol=HOSTILE, state=HOSTILE),),
        regimes=(replace(a_regime(), regime_class=HOSTILE, missing=(HOSTILE,)),),
        journal=(replace(report.journal[0], text=HOSTILE),),
        origin=Origin(HOSTILE, HOSTILE, HOSTILE, HOSTILE, {"now": HOSTILE}),
        benchmark=Benchmark(HOSTILE, 0.1, 0.1),
    )

    page = render_report(hostile)

    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;") >= 8
    Tags(page)


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_report(tmp_path / "a.html", a_report(a_trade(250, trade_id="t")))
    second = write_report(tmp_path / "deep" / "b.html", a_report(a_trade(250, trade_id="t")))

    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "deep"]  # nothing half-written stays


def test_a_failed_write_leaves_the_old_page_and_nothing_else(tmp_path: Path) -> None:
    path = write_report(tmp_path / "a.html", a_report())
    before = path.read_bytes()
    unknown_stage = replace(a_report(), funnel=Funnel(SESSION, {}, ()))

    with pytest.raises(KeyError):
        write_report(path, unknown_stage)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(DataFileError, match=r"cannot write .*a\.html"):
        write_report(tmp_path / "file" / "a.html", a_report())


def test_the_equity_line_has_a_titled_spot_per_point_and_stands_alone() -> None:
    points = a_report().equity

    picture = ET.fromstring(equity_svg(points))  # noqa: S314  our own markup

    titles = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == len(points)
    assert titles[0] == "10:30  100,000.00 USD"
    assert picture.find("{http://www.w3.org/2000/svg}style") is not None
    assert equity_svg(()) == ""


def test_the_sessions_so_far_are_drawn_from_the_first_opening_on() -> None:
    closings = [ClosingEquity(SESSION + timedelta(days=n), Decimal(100_000 + 50 * n), 0.0005) for n in range(1, 12)]

    picture = ET.fromstring(closings_svg(closings))  # noqa: S314  our own markup

    titles = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 12
    assert titles[-1] == "2025-06-21  100,550.00 USD (+0.05%)"
    assert closings_svg(()) == ""


@given(st.lists(st.decimals(1, 10**9, places=2), min_size=1, max_size=30))
def test_any_equity_is_drawn_inside_its_picture(values: list[Decimal]) -> None:
    points = [an_equity_point(value, 15 * number) for number, value in enumerate(values)]

    picture = ET.fromstring(equity_svg(points))  # noqa: S314  our own markup

    (line,) = picture.iter("{http://www.w3.org/2000/svg}polyline")
    spots = [tuple(map(float, spot.split(","))) for spot in line.attrib["points"].split()]
    assert all(0 <= x <= 1040 and 0 <= y <= 240 for x, y in spots)
    heights = sorted((value, -y) for value, (_, y) in zip(values, spots, strict=True))
    assert all(low[1] <= high[1] for low, high in pairwise(heights))  # more money is never drawn lower


def test_a_trade_is_marked_with_entry_exit_stop_and_target() -> None:
    trade = a_trade(250, entry_at=AT, exit_at=AT + timedelta(hours=2))

    picture = trade_svg(a_chart(trade))

    ET.fromstring(picture)  # noqa: S314  our own markup
    for text in ("entry 10:30 at 50.0000", "exit 12:30", "stop 48.00", "target 56.00"):
        assert text in picture
    assert picture.count('class="candle') == 26
    assert trade_svg(TradeChart(trade, ())) == ""


def test_a_trade_nobody_planned_has_neither_stop_nor_target_nor_score_on_its_page() -> None:
    bare = a_trade(
        250, initial_stop=None, target=None, r_multiple=None, score=None, grade="", state="", setup_id=None,
        snapshot_id=None, entry_reason="",
    )  # fmt: skip

    picture, page = trade_svg(a_chart(bare)), render_report(a_report(bare, a_trade(-50)))

    assert "stop " not in picture
    assert "target " not in picture
    assert "None" not in page
    assert "\u2013 R" not in page


def test_an_entry_of_another_session_is_not_marked() -> None:
    overnight = a_trade(250, entry_at=AT - timedelta(days=1))

    assert 'class="mark entry"' not in trade_svg(a_chart(overnight))


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
def test_ticks_are_few_round_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)

    assert len(found) <= 6
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in found)
    assert found == sorted(found)


def test_a_flat_line_still_has_room() -> None:
    low, high = padded([100.0], 10.0)

    assert (low, high) == (95.0, 105.0)
    assert Frame(100, 100, (0, 1), (low, high)).y(100.0) == pytest.approx((10 + 78) / 2)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (figures.usd(Decimal("-1204.5")), "\u22121,204.50"),
        (figures.signed_usd(Decimal(3)), "+3.00"),
        (figures.signed_usd(Decimal(0)), "0.00"),
        (figures.usd(None), "–"),
        (figures.price(Decimal("50.1")), "50.10"),
        (figures.price(Decimal("0.1234")), "0.1234"),
        (figures.percent(0.12345), "12.35%"),
        (figures.multiple(Decimal("-1.005")), "\u22121.00 R"),
        (figures.words("insufficient_history:1h:12"), "insufficient history: 1h: 12"),
        (figures.tone(Decimal(0)), ""),
    ],
)
def test_figures_read_as_people_write_them(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.floats(-50, 50), st.floats(0.01, 50))
def test_an_r_bar_grows_from_the_middle_and_stays_inside(value: float, largest: float) -> None:
    left, width = figures.r_bar(value, largest)

    assert left >= 0
    assert left + width <= 100
    assert left + width == pytest.approx(50) if value < 0 else left == 50
