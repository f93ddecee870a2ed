"""A seeded market that never was: the demo's default, and the tests' ground."""

from trading_pipeline.adapters.synthetic.market import (
    VOLATILITY_INDEX,
    SyntheticSession,
    corporate_actions,
    generate,
    market_sessions,
    members,
    populate,
    sectors,
    volatility_index,
)
from trading_pipeline.adapters.synthetic.spec import SyntheticMarketSpec

__all__ = [
    "VOLATILITY_INDEX",
    "SyntheticMarketSpec",
    "SyntheticSession",
    "corporate_actions",
    "generate",
    "market_sessions",
    "members",
    "populate",
    "sectors",
    "volatility_index",
]
