"""Channels of alerts against real servers on the loopback interface: e-mail, SMS, Slack, Discord, webhooks.

The addresses of Slack, Discord and Twilio are fixed in Apprise; here they point at the loopback server. Everything
else is what runs in production.
"""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Callable, Iterator
from email import message_from_string, policy
from pathlib import Path

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.twilio import NotifyTwilio

from trading_pipeline.adapters.apprise_channels import AppriseChannel
from trading_pipeline.adapters.logs.redaction import Redactor
from trading_pipeline.domain.alert_text import Writer
from trading_pipeline.domain.alerting import Message, OutcomeKind, deliveries_of
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import ChannelFailed, ChannelRefused, SettingsError
from trading_pipeline.services.alerting.lines import ThreadLine
from trading_pipeline_tests.listening import (
    BREAKS,
    GARBAGE,
    HANGS,
    Answer,
    Hook,
    Post,
    Request,
    certificate,
    free_port,
    server_tls,
)
from trading_pipeline_tests.services.alerting.telling import an_alert, rules_of

SECRET, LOGIN = "T0pS3cretT0ken24Charact9", "pa55-w0rd-0f-mail"
TITLE, BODY = "CRITICAL: kill SIM", "a person pulled the kill switch\n< b>Ring me</ b> @ everyone * * & amp;"
MESSAGE = Message(
    message_id="m-1", channel="hook", level=AlertLevel.CRITICAL, title=TITLE, body=BODY, alert_ids=("kill-1",)
)
PATIENCE = 0.4
HOSTILE = "<!channel> @everyone @here [all is well](http://evil.example) <b>x</b> ||s||\r\nBcc: eve"


def redactor() -> Redactor:
    made = Redactor()
    made.learn(SECRET, LOGIN)
    return made


def channel(url: str, timeout: float = 5.0) -> AppriseChannel:
    return AppriseChannel("hook", url, timeout, redactor())


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as opened:
        yield opened


# what arrives


def webhook(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> str:
    return f"json://{hook.place}/alerts?-token={SECRET}"


def slack(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{hook.place}/services")
    return f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}/#alerts"


def discord(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://{hook.place}/api/webhooks")
    return f"discord://417429632418316298/{SECRET}"


def twilio(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(NotifyTwilio, "notify_sms_url", f"http://{hook.place}/Accounts/{{sid}}/Messages.json")
    return f"twilio://AC{'0' * 32}:{SECRET}@15555550100/15555550101"


def text_of_webhook(request: Request) -> str:
    assert request.path.startswith("/alerts")
    return f"{request.json['title']}|{request.json['message']}"


def text_of_slack(request: Request) -> str:
    assert request.path == f"/services/T1JJ3T3L2/A1BRTD4JD/{SECRET}"
    (part,) = request.json["attachments"]
    assert (request.json["channel"], request.json.get("mrkdwn")) == ("#alerts", False)
    assert "<" not in part["text"]  # Slack acts on <!channel>, and shows &lt; as a bracket
    return html.unescape(f"{part['title']}|{part['text']}")


def text_of_discord(request: Request) -> str:
    assert request.path.startswith(f"/api/webhooks/417429632418316298/{SECRET}")
    return str(request.json["content"]).replace("\r\n", "|", 1)


def text_of_twilio(request: Request) -> str:
    assert request.headers["Authorization"].startswith("Basic ")
    assert (request.form["From"], request.form["To"]) == ("+15555550100", "+15555550101")
    return request.form["Body"].replace("\r\n", "|", 1)


Prepare = Callable[[Hook, pytest.MonkeyPatch], str]
SERVICES = [(webhook, text_of_webhook), (slack, text_of_slack), (discord, text_of_discord), (twilio, text_of_twilio)]


@pytest.mark.parametrize(("prepare", "text_of"), SERVICES, ids=lambda one: one.__name__)
def test_title_and_body_arrive_once_and_as_they_are(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, text_of: Callable[[Request], str]
) -> None:
    channel(prepare(hook, monkeypatch)).send(MESSAGE)

    (request,) = hook.requests
    assert text_of(request) == f"{TITLE}|{BODY}"


@pytest.mark.parametrize(("prepare", "text_of"), SERVICES, ids=lambda one: one.__name__)
def test_no_service_gets_a_text_from_outside_that_it_would_act_on(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, text_of: Callable[[Request], str]
) -> None:
    rules = rules_of("hook")
    raised = an_alert(
        message="<!channel> @everyone @here [all is well](http://evil.example) <b>x</b> ||s||\r\nBcc: eve"
    )
    writer = Writer(zone=rules.zone, redact=str, max_characters=1500)

    parts = deliveries_of(1, raised, rules, raised.occurred_at)
    channel(prepare(hook, monkeypatch)).send(writer.write("m-2", parts, {raised.alert_id: raised}).message)

    (request,) = hook.requests
    shown = text_of(request)
    assert "all is well" in shown
    for word in ("<!channel>", "@everyone", "@here", "](http", "http://", "<b>", "||s", "\nBcc"):
        assert word not in shown, word
        assert word not in request.body


# what does not arrive


@pytest.mark.parametrize(
    ("answer", "error", "may_have_arrived"),
    [
        (Answer(429, headers={"Retry-After": "30"}), ChannelFailed, False),
        (Answer(500, "<html>oops</html>"), ChannelFailed, False),
        (Answer(503), ChannelFailed, False),
        (Answer(301, headers={"Location": "http://127.0.0.1:9/elsewhere"}), ChannelFailed, False),
        (Answer(401), ChannelRefused, False),
        (Answer(403), ChannelRefused, False),
        (Answer(404), ChannelRefused, False),
        (BREAKS, ChannelFailed, True),
        (GARBAGE, ChannelFailed, True),
        (HANGS, ChannelFailed, True),
    ],
    ids=lambda one: str(one.status) if isinstance(one, Answer) else str(one),
)  # fmt: skip
@pytest.mark.parametrize("prepare", [webhook, slack, discord, twilio], ids=lambda one: one.__name__)
def test_what_a_service_says_decides_whether_it_is_tried_again_and_no_word_holds_the_secret(
    monkeypatch: pytest.MonkeyPatch, prepare: Prepare, answer: Answer, error: type[ChannelFailed],
    may_have_arrived: bool,
) -> None:  # fmt: skip
    if (prepare, answer.status) == (discord, 429):
        pytest.skip("Apprise tries Discord once more: see the next test")
    with Hook(answer) as hook:
        began = time.monotonic()
        with pytest.raises(ChannelFailed) as failed:
            channel(prepare(hook, monkeypatch), PATIENCE).send(MESSAGE)

    assert type(failed.value) is error
    assert failed.value.may_have_arrived is may_have_arrived
    assert time.monotonic() - began < 5 * PATIENCE
    assert len(hook.requests) == 1  # nobody but the deliverer tries again
    assert SECRET not in f"{failed.value!r} {failed.value}"


def test_discord_is_tried_once_more_by_apprise_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hook(Answer(429)) as hook:
        channel(discord(hook, monkeypatch)).send(MESSAGE)

        assert len(hook.requests) == 2


def test_nobody_listening_and_an_unknown_name_are_certain_failures() -> None:
    for host, words in ((f"127.0.0.1:{free_port()}", "nobody listens there"), ("no-such-host.invalid", "not known")):
        with pytest.raises(ChannelFailed, match=words) as failed:
            channel(f"json://{host}/{SECRET}", 2.0).send(MESSAGE)
        assert not failed.value.may_have_arrived
        assert SECRET not in str(failed.value)


def test_a_certificate_that_nobody_vouches_for_gets_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path)
    with Hook(tls=server_tls(pem)) as hook:
        with pytest.raises(ChannelFailed, match="certificate is not trusted") as failed:
            channel(f"jsons://{hook.place}/{SECRET}").send(MESSAGE)
        assert (hook.requests, failed.value.may_have_arrived) == ([], False)

        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        channel(f"jsons://{hook.place}/{SECRET}").send(MESSAGE)
        assert [request.json["title"] for request in hook.requests] == [TITLE]


def test_a_server_that_hangs_or_drips_holds_a_line_no_longer_than_its_time_out() -> None:
    with Hook(otherwise=HANGS) as hook:
        line = ThreadLine(channel(f"json://{hook.place}/x", 60.0), PATIENCE)
        began = time.monotonic()
        line.hand(MESSAGE)
        assert time.monotonic() - began < PATIENCE / 4
        while (outcome := line.outcome()) is None:
            time.sleep(0.005)

        assert outcome.kind is OutcomeKind.UNKNOWN
        assert PATIENCE <= time.monotonic() - began < 2 * PATIENCE
        assert line.is_free


@pytest.mark.parametrize("url", ["nothing://at.all/x", "slack://", "json://", "mailto://", f"discord://only/{' '}"])
def test_an_address_nobody_understands_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"alerts\.channels\.hook\.url.*docs/alerts\.md") as refused:
        channel(url)
    assert url not in str(refused.value)


# e-mail


def mail_to(post: Post, *, password: str = LOGIN, to: str = "kim@example.com", mode: str = "starttls") -> str:
    return f"mailto://kim:{password}@127.0.0.1:{post.port}?mode={mode}&from=tp@example.com&to={to}"


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """A server that asks for STARTTLS and a login, with a certificate that this machine trusts."""
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with Post(tls=server_tls(pem), password=LOGIN).open() as opened:
        yield opened


def test_a_mail_goes_out_over_starttls_after_a_login_as_plain_text(post: Post) -> None:
    channel(mail_to(post)).send(MESSAGE)

    (raw,) = post.mails
    mail = message_from_string(raw, policy=policy.default)
    assert (mail["Subject"], mail["From"], mail["To"]) == (TITLE, "tp@example.com", "kim@example.com")
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == BODY.splitlines()


def test_a_line_break_in_a_title_makes_no_header(post: Post) -> None:
    forged = Message(
        message_id="m", channel="hook", level=AlertLevel.INFO, title="INFO: x\r\nBcc: eve@example.com", body="b",
        alert_ids=(),
    )  # fmt: skip
    channel(mail_to(post)).send(forged)

    mail = message_from_string(post.mails[0], policy=policy.default)
    assert (mail["Bcc"], "eve" in str(mail["To"])) == (None, False)


def test_a_wrong_password_and_an_unknown_recipient_are_told_by_the_servers_number(post: Post) -> None:
    with pytest.raises(ChannelRefused, match="the mail server answered 535"):
        channel(mail_to(post, password=LOGIN[::-1])).send(MESSAGE)

    post.refuses = frozenset({"gone@example.com"})
    with pytest.raises(ChannelRefused, match="550"):
        channel(mail_to(post, to="gone@example.com")).send(MESSAGE)
    assert post.mails == []


def test_a_server_without_tls_or_with_a_strange_certificate_never_hears_the_password(
    tmp_path: Path, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Post().open() as plain, pytest.raises(ChannelFailed, match="speaks no TLS"):
        channel(mail_to(plain)).send(MESSAGE)

    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ChannelFailed, match="certificate is not trusted") as failed:
        channel(mail_to(post)).send(MESSAGE)

    assert (plain.seen, post.seen, plain.mails, post.mails) == ([], [], [], [])
    assert not failed.value.may_have_arrived


def test_a_dead_mail_server_is_a_certain_failure_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ChannelFailed, match="nobody listens there") as failed:
        channel(mail_to(Post())).send(MESSAGE)

    assert not failed.value.may_have_arrived
    assert LOGIN not in f"{failed.value!r} {caplog.text}"
