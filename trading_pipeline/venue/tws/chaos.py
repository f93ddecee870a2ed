"""Scripted faults at the TWS door: what becomes of a request, and of news on its way to a client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import NOT_DONE, Fault, FaultRule, Faults
from trading_pipeline.venue.hours import Halt
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.desk import DAY_PRESET, Desk
from trading_pipeline.venue.tws.distortion import distorted
from trading_pipeline.venue.tws.order_messages import error, open_order, order_status
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.requests import Request
from trading_pipeline.venue.tws.session import Session
from trading_pipeline.venue.tws.wire import Fields, Message

OUTAGES = frozenset({Fault.OUTAGE, Fault.OUTAGE_WITH_LOSS})
NEWS, MARKET_NEWS = "stream", "data.stream"
TOO_FAST = "Max rate of messages per second has been exceeded."
Outage = Callable[[float, bool], None]


class Chaos:
    """Plays a script. `outage` begins a loss of the broker's servers: seconds, and whether subscriptions survive."""

    def __init__(self, hub: Hub, desk: Desk, faults: Faults, outage: Outage) -> None:
        self._hub, self._desk, self.faults, self._outage = hub, desk, faults, outage

    async def serve(self, session: Session, request: Request, fields: Fields, run: Callable[[], None]) -> None:
        """Do what was asked, or what the script makes of it."""
        rule = self.faults.next(request.op_of(session, fields), request.subject(session, fields))
        if rule is None:
            return run()
        if rule.fault in OUTAGES:
            return self._outage(rule.seconds, rule.fault is Fault.OUTAGE)
        if rule.fault in NOT_DONE:
            return _not_done(session, request, fields, rule)
        if rule.fault is Fault.DELAY:
            await asyncio.sleep(rule.seconds)
        self._before(session, fields, rule)
        session.change = lambda messages: distorted(self.faults, rule, messages)
        try:
            run()
        finally:
            session.change = None
        return self._after(session, fields, rule)

    def tell(self, session: Session, op: str, order_ref: str, messages: Sequence[Message]) -> None:
        """News for one client, as the script lets it through."""
        rule = self.faults.next(op, order_ref)
        if rule is None:
            return session.say(*messages)
        if rule.fault in OUTAGES:
            return self._outage(rule.seconds, rule.fault is Fault.OUTAGE)
        if rule.fault in {Fault.CLOSE, Fault.DROP_REPLY}:
            return session.close()
        if rule.fault is Fault.RESET:
            return session.abort()
        if rule.fault is Fault.MALFORMED:
            return session.break_off(messages[0])
        if rule.fault is Fault.DELAY:
            asyncio.get_running_loop().call_later(rule.seconds, lambda: session.say(*messages))
            return None
        return session.say(*distorted(self.faults, rule, messages))

    def _before(self, session: Session, fields: Fields, rule: FaultRule) -> None:
        if rule.fault in {Fault.DROP_REPLY, Fault.HTTP_504, Fault.HTML_BODY, Fault.MALFORMED, Fault.STALL}:
            session.is_muted = True
        elif rule.fault is Fault.HALT:
            now = self._hub.time.now()
            self._halt(fields[3].replace(" ", "."), now, now + timedelta(seconds=rule.seconds))

    def _after(self, session: Session, fields: Fields, rule: FaultRule) -> None:
        order = self._desk.orders.own(session.client_id, fields.to(1).whole()) if fields[0] == "3" else None
        if rule.fault in {Fault.HTTP_504, Fault.HTML_BODY, Fault.STALL}:
            session.is_muted = False
        elif rule.fault is Fault.MALFORMED:
            session.is_muted = False
            session.break_off(error(-1, 2110, "Connectivity between TWS and server is broken."))
        elif rule.fault in {Fault.DROP_REPLY, Fault.CLOSE}:
            session.abort()
        elif order is not None and rule.fault is Fault.CANCEL_HINT:
            shown = self._desk.showing.shown(order)
            session.say(error(order.order_id, 10349, DAY_PRESET), open_order(shown), order_status(shown))
        elif order is not None and rule.fault is Fault.REJECT_LATER:
            self._reject(order)

    def _reject(self, order: WireOrder) -> None:
        def work(venue: SimulatedVenue, now: datetime) -> None:
            if order.engine_id and venue.order(order.engine_id) is not None:
                venue.reject(order.engine_id, now, "rejected by script")

        self._hub.call(work)

    def _halt(self, symbol: str, begin: datetime, end: datetime) -> None:
        self._hub.call(lambda venue, _: venue.halt(Halt(symbol, begin, end)))


def _not_done(session: Session, request: Request, fields: Fields, rule: FaultRule) -> None:
    """The venue never hears of it. Without a word, unless the fault has one."""
    if rule.fault is Fault.DROP_REQUEST:
        session.close()
    elif rule.fault is Fault.RESET:
        session.abort()
    elif rule.fault is Fault.HTTP_429:
        session.say(error(-1, 100, TOO_FAST))
    elif rule.fault is Fault.REJECT:
        text = "Order rejected - reason:rejected by script"
        session.say(error(request.request_id(fields), 201, text))
