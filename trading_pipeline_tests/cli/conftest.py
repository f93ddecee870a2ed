"""Fixtures shared by the tests of this folder."""

from trading_pipeline_tests.traded_home import replayed_home, traded_home

__all__ = ["replayed_home", "traded_home"]
