"""What Alpaca's doors demand of who knocks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from trading_pipeline.settings import Settings


class AlpacaDoorRules(BaseModel):
    """House rules of the Alpaca doors; the account's own rules are the venue's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    live: bool = Field(default=False, description="stands for a live account: its keys begin with AK, not PK")
    key_id: str = Field(default="PKVENUE", min_length=1, description="the account's key, sent with every request")
    secret_key: str = Field(default="venue-secret", min_length=1, description="and its secret")
    requests_per_minute: int = Field(default=200, ge=1, description="trading; more is answered 429")
    data_requests_per_minute: int = Field(default=200, ge=1, description="market data, counted apart")
    account_blocked: bool = Field(default=False, description="nothing may be done")
    trading_blocked: bool = Field(default=False, description="no order is taken")
    trade_suspended_by_user: bool = Field(default=False, description="no order is taken, as the user wished")
    untradable: frozenset[str] = Field(default=frozenset(), description="assets that exist and do not trade")
    cancels_wait_for_bars: bool = Field(
        default=False, description="a cancel that was taken is carried out after the next bars, which may fill first"
    )
    triggered_stops_are_new_orders: bool = Field(
        default=False, description="a held stop that triggers is replaced by the order that executes, as users report"
    )
    recent_sip: bool = Field(default=False, description="the data plan includes the last 15 minutes of SIP")
    symbol_limit: int = Field(default=30, ge=1, description="symbols one data stream may follow")
    quote_spread_fraction: Decimal = Field(
        default=Decimal("0.0002"), ge=0, le=Decimal("0.05"), description="bid to ask around the last close, of it"
    )
    iex_volume_fraction: Decimal = Field(
        default=Decimal(1), gt=0, le=1, description="of the volume that feed iex tells; the real one: about 0.03"
    )
    auth_seconds: float = Field(
        default=10.0, gt=0, le=60, description="a data stream that has not shown its key is cut"
    )
    unread_limit: int = Field(
        default=1000, ge=1, description="arrays a data stream may leave unread before it is cut as too slow"
    )


def door_rules(settings: Settings, *, is_live: bool = False) -> AlpacaDoorRules:
    """Open to the configured client: its keys where it has some, and as many requests as it is going to send.

    is_live: to one of mode live alone, by its live keys.
    """
    client = settings.broker.alpaca.of_mode("live" if is_live else "paper")
    usual = AlpacaDoorRules(live=is_live, key_id="AKVENUE" if is_live else "PKVENUE")
    return usual.model_copy(
        update={
            "key_id": client.key_id.get_secret_value() or usual.key_id,
            "secret_key": client.secret_key.get_secret_value() or usual.secret_key,
            "requests_per_minute": max(client.requests_per_minute, usual.requests_per_minute),
            "data_requests_per_minute": max(client.data_requests_per_minute, usual.data_requests_per_minute),
        }
    )
