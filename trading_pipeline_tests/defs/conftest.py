"""Fixtures shared by the tests of this folder."""

from trading_pipeline_tests.traded_home import deciding_home, replayed_home, traded_home

__all__ = ["deciding_home", "replayed_home", "traded_home"]
