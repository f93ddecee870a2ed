"""The venue behind Alpaca's protocol. Not known to it, or otherwise than at the real Alpaca:

- US equities in whole shares, long only, in regular hours: no notional or fractional orders, no extended hours, no
  options or crypto, trail_percent, or oto with a take_profit alone.
- Replies come when the engine has done it: `pending_new` is seen in the answer and the news only, `pending_replace`
  never, `pending_cancel` where the rules make cancels wait. No `order_replace_rejected` after a 200.
- Changes nobody asked for (a split, a family's quantity) restate an order under its own id.
- A replacement carries the shares filled before it; time in force and trail cannot be replaced.
- A buy stop is not turned into a stop-limit order; a market buy reserves what the venue's rules say.
- Commission is a FEE activity with each fill; Alpaca itself books regulatory fees after the close.
- Of the day before nothing is known: last_equity, lastday_price and intraday figures are today's.
- Market data is a tape's: bars of regular hours. Trades (four a bar) and quotes (one a bar, a spread around its close)
  are made of them, as are vwap and the count of trades; sizes, exchanges, conditions and cusips are placeholders.
- Bars finer than the tape's do not exist, and a stream tells bars as the market delivers them: of five minutes where
  the tape has such. Running days on a stream begin with the door.
- No auctions, screeners, trade corrections or LULD bands. Feeds iex, sip and delayed sip are one tape (a rule gives iex
  a part of the volume). Only USD. `asof` changes nothing, for no symbol was ever renamed.
- Corporate actions are splits and cash dividends, told from their ex-date on, which is their process date too.
- Adjusted prices have four decimals. A date without a time is its beginning in New York.
- Rate limits count by the machine's clock, their reset is told in the venue's own time.

Nothing here was held against a live or paper account: sources are the OpenAPI documents, the client library, and what
users report.
"""
