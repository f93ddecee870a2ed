"""Alpaca: orders and account over its REST interface, news of orders over its stream."""

from trading_pipeline.adapters.brokers.alpaca.broker import AlpacaBroker
from trading_pipeline.adapters.brokers.alpaca.hosts import require_allowed
from trading_pipeline.adapters.brokers.alpaca.keys import AlpacaKeys
from trading_pipeline.adapters.brokers.alpaca.news import AlpacaOrderNews, NewsHealth

__all__ = ["AlpacaBroker", "AlpacaKeys", "AlpacaOrderNews", "NewsHealth", "require_allowed"]
