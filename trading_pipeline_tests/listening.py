"""Loopback servers that receive alerts: HTTP with a script of answers, SMTP with login and STARTTLS, certificates."""

# ruff: noqa: ARG002, N802 - names and arguments are those that the servers call

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from time import monotonic
from typing import Any, Self
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says to one request. hangs: nothing, until the server ends. breaks: it hangs up.

    raw: bytes in place of HTTP.
    """

    status: int = 200
    body: str = "ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    breaks: bool = False
    raw: bytes = b""


HANGS, BREAKS, GARBAGE = Answer(hangs=True), Answer(breaks=True), Answer(raw=b"\x00\x01 this is no HTTP\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """What was received, and when (seconds of `time.monotonic`)."""

    path: str
    headers: Mapping[str, str]
    body: str
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body).items()}


class Hook(AbstractContextManager["Hook"]):
    """An HTTP server; each request takes the next answer, and `otherwise` once there is none."""

    def __init__(self, *script: Answer, otherwise: Answer = Answer(), tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.script, self.otherwise = list(script), otherwise
        self._over, self._lock = threading.Event(), threading.Lock()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def place(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self.port}"

    def take(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            return self.script.pop(0) if self.script else self.otherwise

    def hang(self) -> None:
        self._over.wait(60)


def _handler(hook: Hook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            self._say(hook.take(Request(self.path, dict(self.headers), body, monotonic())))

        def _say(self, answer: Answer) -> None:
            self.close_connection = True
            if answer.hangs:
                hook.hang()
            elif answer.raw:
                self.wfile.write(answer.raw)
            elif not answer.breaks:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body.encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@dataclass
class Post:
    """An SMTP server that takes mail of anybody, or only after STARTTLS and a login."""

    tls: ssl.SSLContext | None = None
    password: str = ""
    refuses: frozenset[str] = frozenset()
    mails: list[str] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    """Passwords that were offered."""
    port: int = 0
    """0: one that is free."""

    def __post_init__(self) -> None:
        self.port = self.port or free_port()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuses:
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content.decode())
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.seen.append(data.password)
        return AuthResult(success=data.password == self.password.encode(), handled=False)

    @contextmanager
    def open(self) -> Iterator[Self]:
        """The server while it listens."""
        logging.getLogger("mail.log").disabled = True
        more: dict[str, Any] = {"auth_required": True, "authenticator": self.login} if self.password else {}
        controller = Controller(
            self, hostname=LOOPBACK, port=self.port, tls_context=self.tls, require_starttls=self.tls is not None, **more
        )  # fmt: skip
        controller.start()
        try:
            yield self
        finally:
            controller.stop()


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket() as probe:
        probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path) -> Path:
    """A certificate for the loopback interface that is its own authority, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now, names = datetime.now(UTC), x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "loopback.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def server_tls(pem: Path) -> ssl.SSLContext:
    """What a server speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
