"""Interactive Brokers through the socket of a running TWS or IB Gateway."""

from trading_pipeline.adapters.brokers.ib.broker import IbBroker
from trading_pipeline.adapters.brokers.ib.health import Health, LinkState
from trading_pipeline.adapters.brokers.ib.told import ToldReports

__all__ = ["Health", "IbBroker", "LinkState", "ToldReports"]
