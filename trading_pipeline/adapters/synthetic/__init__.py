"""A seeded market that never was: the demo's default, and the tests' ground."""

from trading_pipeline.adapters.synthetic.market import (
    VOLATILITY_INDEX,
    SyntheticSession,
    SyntheticSessions,
    corporate_actions,
    generate,
    market_sessions,
    members,
    populate,
    sectors,
    volatility_index,
)
from trading_pipeline.adapters.synthetic.spec import LONGEST_MARKET, SyntheticMarketSpec

__all__ = [
    "LONGEST_MARKET",
    "VOLATILITY_INDEX",
    "SyntheticMarketSpec",
    "SyntheticSession",
    "SyntheticSessions",
    "corporate_actions",
    "generate",
    "market_sessions",
    "members",
    "populate",
    "sectors",
    "volatility_index",
]
