"""What the core asks of the world. Adapters implement these; services know nothing else."""

from __future__ import annotations

from trading_pipeline.ports.data import (
    BarFeed,
    BarStore,
    Clock,
    MarketFacts,
    ResearchStore,
    SignalProvider,
    TradingCalendar,
    WriteResult,
)
from trading_pipeline.ports.latch import LatchFile
from trading_pipeline.ports.ledger import (
    Decidable,
    Ledger,
    LedgerTransaction,
)
from trading_pipeline.ports.market_data import (
    BarDelivery,
    FetchLog,
    LiveBars,
    MarketDataSource,
    RequestSize,
    StreamHealth,
)
from trading_pipeline.ports.modes import ModeRecords, PasswordHasher
from trading_pipeline.ports.venue import (
    Broker,
    ClientIdScope,
    NewsBell,
    SimulatedMarket,
    VenueAccount,
    VenueCapabilities,
    VenueOrder,
    VenuePosition,
)

__all__ = [
    "BarDelivery",
    "BarFeed",
    "BarStore",
    "Broker",
    "ClientIdScope",
    "Clock",
    "Decidable",
    "FetchLog",
    "LatchFile",
    "Ledger",
    "LedgerTransaction",
    "LiveBars",
    "MarketDataSource",
    "MarketFacts",
    "ModeRecords",
    "NewsBell",
    "PasswordHasher",
    "RequestSize",
    "ResearchStore",
    "SignalProvider",
    "SimulatedMarket",
    "StreamHealth",
    "TradingCalendar",
    "VenueAccount",
    "VenueCapabilities",
    "VenueOrder",
    "VenuePosition",
    "WriteResult",
]
