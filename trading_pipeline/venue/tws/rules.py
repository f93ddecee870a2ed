"""What the TWS door demands of who knocks, and how it is set up: what a user clicks in TWS or Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.errors import InputError

if TYPE_CHECKING:
    from trading_pipeline.settings import Settings


LIVE_ACCOUNT = "U0000001"


class TwsDoorRules(BaseModel):
    """House rules of the TWS door; the account's own rules are the venue's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str = Field(default="", max_length=32, description="its name on the wire; empty: the venue's own")
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="what the account is said to be kept in")
    messages_per_second: int = Field(default=50, ge=1, description="more is error 100")
    strikes: int = Field(default=3, ge=1, description="seconds over the limit before the socket is closed")
    market_data_lines: int = Field(default=100, ge=1, description="streams at a time; more is error 101")
    market_data: Literal["live", "delayed", "none"] = Field(
        default="live", description="what the account's subscriptions give; delayed: 15 minutes old, when asked for"
    )
    historical_pacing: bool = Field(default=True, description="answer 162 to what breaks the pacing of bar requests")
    historical_requests: int = Field(default=60, ge=1, description="in ten minutes")
    read_only: bool = Field(default=False, description="the API's Read-Only box is ticked: orders are error 321")
    master_client_id: int | None = Field(default=None, ge=0, description="this client hears of every client's orders")
    largest_client_count: int = Field(default=32, ge=1, le=32)
    symbols: frozenset[str] | None = Field(
        default=None, description="what has a contract; None: what the tape has, and anything where there is no tape"
    )
    cancels_wait_for_bars: bool = Field(
        default=False, description="a cancel that was taken is carried out after the next bars, which may fill first"
    )
    cancel_errors: Literal["10147/10148", "135/161"] = Field(
        default="10147/10148", description="codes for a cancel of what is unknown, or has ended; older TWS: the latter"
    )
    presets_day: bool = Field(
        default=True, description="an order without time in force becomes DAY, and error 10349 says so"
    )


def door_rules(settings: Settings, *, is_live: bool = False) -> TwsDoorRules:
    """Open to the configured client: as many messages, streams and bar requests as it is going to send.

    is_live: the account's number is a live one's (U…), unless the settings name one; raises InputError for a paper one.
    """
    client, usual = settings.broker.ib, TwsDoorRules()
    if is_live and settings.broker.account_id.startswith("D"):
        raise InputError(f"{settings.broker.account_id} is the number of a paper account, and the door is marked live")
    return usual.model_copy(
        update={
            "account": settings.broker.account_id or (LIVE_ACCOUNT if is_live else ""),
            "messages_per_second": max(2 * client.messages_per_second, usual.messages_per_second),
            "market_data_lines": max(client.market_data_lines, usual.market_data_lines),
            "historical_requests": max(client.historical_requests_per_10_minutes, usual.historical_requests),
        }
    )
