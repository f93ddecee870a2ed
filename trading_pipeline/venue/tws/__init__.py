"""The venue behind the TWS socket protocol, server version 176. Not known to it, or otherwise than at a real TWS:

- US stocks in whole shares, long only, in regular hours: a sale of shares nobody holds is error 201, where a margin
  account at IB would be short. outsideRth is kept and changes nothing. No combos, conditions, algorithms, trailing by
  percent, GTD.
- Brackets are a stop, or a stop and a target; other children (a target alone, a trailing stop) are error 201. An OCA
  group is a stop and a target that sell; every ocaType reduces the other. A child that is cancelled takes its sibling
  and what is left of its parent along.
- Prices and quantity of a working order can be changed; other terms are error 105, another type 329.
- Nothing is told of an untransmitted order until it is transmitted; lists show it as PreSubmitted. Kept over restarts.
- Order ids must rise within a client. Executions and completed orders are those since midnight in New York; refused
  orders are among the completed ones as Inactive.
- Fills are told when the engine made them, orders filled in several parts by one bar at their last state. Average cost
  of positions is without commission; realized profit and the day's are left unset.
- While TWS has no connection to the broker (1100), requests are not answered at all.
- Bars are a tape's, TRADES only, of the sizes it has, adjusted for splits as IB's are; the bar that is being formed is
  not told. WAP is the mean of high, low and close; the count of trades is -1.
- Ticks come once per delivered bar, with a bid and an ask one cent around its close; five-second bars when their base
  bar has ended, along open, low, high, close (high before low in a bar that fell). No depth, tick by tick,
  news, scanners.
- A stock's conId is made of its symbol; names, industries and security ids are placeholders.
- Times are the venue's; pacing and rates count by the machine's clock.

Nothing here was held against a live or paper account: sources are the client libraries, messages recorded from a
gateway, and what users report.
"""
