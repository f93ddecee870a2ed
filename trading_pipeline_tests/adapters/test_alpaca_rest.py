"""Requests to Alpaca over a socket: none takes longer than it may, and connections are used again."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from trading_pipeline.adapters.brokers.alpaca import AlpacaKeys
from trading_pipeline.adapters.brokers.alpaca.rest import AlpacaRest
from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.errors import OutcomeUnknown

BODY = b'{"text": "' + b"0123456789" * 20_000 + b'"}'


class Answers(BaseHTTPRequestHandler):
    """By path: a body that trickles in, one that is packed, one in chunks, or one as it is."""

    protocol_version = "HTTP/1.1"
    clients: set[object]

    def do_GET(self) -> None:
        self.clients.add(self.client_address)
        self.send_response(200)
        way = self.path.rpartition("/")[2]
        body = gzip.compress(BODY) if way == "packed" else BODY
        if way == "packed":
            self.send_header("Content-Encoding", "gzip")
        if way == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if way == "trickle":
            self._trickle(body)
        elif way == "chunks":
            for start in range(0, len(body), 5000):
                part = body[start : start + 5000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)

    def _trickle(self, body: bytes) -> None:
        try:
            for place in range(100):
                self.wfile.write(body[place : place + 1])
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def log_message(self, *args: object) -> None: ...


@contextmanager
def a_rest() -> Iterator[AlpacaRest]:
    """A client that waits 0.2 s for a read."""
    Answers.clients = set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        rules = AlpacaRules(
            key_id=SecretStr("k"), secret_key=SecretStr("s"), timeout_seconds=0.2,
            trading_url=f"http://127.0.0.1:{server.server_port}",
        )  # fmt: skip
        rest = AlpacaRest(rules, AlpacaKeys.of(rules), SystemClock())
        try:
            yield rest
        finally:
            rest.close()
            server.shutdown()


def test_an_answer_that_trickles_in_is_given_up_in_time() -> None:
    with a_rest() as rest:
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="Timeout"):
            rest.document("GET", "/trickle", "read it")
        assert time.monotonic() - started < 4  # the whole would take five seconds, no read of it more than 0.2


def test_answers_of_every_make_are_whole_and_come_over_one_connection() -> None:
    with a_rest() as rest:
        for way in ("plain", "packed", "chunks", "plain"):
            assert len(rest.document("GET", f"/{way}", "read it")["text"]) == 200_000
        assert len(Answers.clients) == 1
