"""Secrets are taken out by value: plain, encoded, cut by line breaks; and nothing else is touched."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from trading_pipeline.adapters.logs.redaction import REDACTED, Redactor
from trading_pipeline.adapters.logs.secrets import secrets_of_environment, secrets_of_settings
from trading_pipeline.settings import Settings

CANARY = 's3cr3t/with+plus&"quotes"<é>'
ALPHABET = st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_categories=["Cs", "Cc", "Zs"])
secrets = st.text(ALPHABET, min_size=12, max_size=40)
around = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def knowing(*known: str) -> Redactor:
    redactor = Redactor()
    redactor.learn(*known)
    return redactor


FORMS = {
    "as it is": CANARY,
    "in a URL": f"https://host/path?token={quote(CANARY)}&x=1",
    "in a URL, all quoted": quote(CANARY, safe=""),
    "in a form": quote_plus(CANARY),
    "in JSON": json.dumps({"secret": CANARY}),
    "in JSON with umlauts": json.dumps({"secret": CANARY}, ensure_ascii=False),
    "in JSON in JSON": json.dumps({"body": CANARY}),
    "shown by Python": repr(CANARY),
    "in a page": html.escape(CANARY),
    "in other capitals": quote(CANARY).lower(),
    "basic authentication": "Basic " + base64.b64encode(f"user:{CANARY}".encode()).decode(),
    "basic authentication, other user": "Basic " + base64.b64encode(f"users:{CANARY}!".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(CANARY.encode()).decode(),
    "hex": CANARY.encode().hex(),
    "over two lines": f"{CANARY[:9]}\n      {CANARY[9:]}",
    "over two lines of JSON": json.dumps(f"{CANARY[:9]}\n{CANARY[9:]}"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    said = knowing(CANARY)(f"before {FORMS[form]} after")

    assert REDACTED in said
    assert said.startswith("before ")
    assert said.endswith(" after")
    assert CANARY[:9] not in said


@settings(deadline=None)
@given(secret=secrets, before=around, after=around)
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    redact = knowing(secret)

    for form in (secret, json.dumps(secret), quote(secret), repr(secret)):
        assert secret not in redact(before + form + after)


@settings(deadline=None)
@given(secret=secrets, text=st.text(st.characters(codec="ascii"), max_size=60))
def test_a_text_without_a_secret_stays_as_it_is(secret: str, text: str) -> None:
    squeezed = "".join(text.split())
    if not any(part.lower() in squeezed.lower() for part in (secret[:6], quote(secret)[:6])):
        assert knowing(secret)(text) == text


@settings(deadline=None)
@given(user=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8), secret=secrets)
def test_basic_authentication_hides_it_whatever_the_user_is_called(user: str, secret: str) -> None:
    sent = base64.b64encode(f"{user}:{secret}".encode()).decode()

    said = knowing(secret)(f"Authorization: Basic {sent}")

    left = said.removeprefix("Authorization: Basic ").split(REDACTED)
    assert len(left) == 2
    assert sum(map(len, left)) <= len(sent) - len(secret.encode())  # of the secret at most a byte at either end


def test_two_secrets_of_which_one_holds_the_other_both_go() -> None:
    redact = knowing("abcd1234", "abcd1234efgh5678")

    assert redact("x abcd1234efgh5678 y abcd1234 z") == f"x {REDACTED} y {REDACTED} z"


def test_a_secret_that_is_no_secret_shreds_no_text() -> None:
    redact = knowing("a", "", "   ", "wrong")

    assert redact("a banana is wrong") == "a banana is wrong"


def test_a_password_that_is_a_word_goes_where_it_stands_alone() -> None:
    redact = knowing("postgres")

    assert redact("postgresql://postgres:postgres@h: start PostgreSQL") == (
        f"postgresql://{REDACTED}:{REDACTED}@h: start PostgreSQL"
    )


def test_keys_swapped_while_it_runs_are_learned() -> None:
    redact = knowing("first-key-0001")
    redact.learn("second-key-0002")

    assert redact("first-key-0001 second-key-0002") == f"{REDACTED} {REDACTED}"


# which values are secret


class Deep(BaseModel):
    key: SecretStr = SecretStr("deep-secret-1")
    maybe: SecretStr | None = SecretStr("postgresql://me:p%40ssw0rd@host/db")
    none: SecretStr | None = None


class Tree(BaseModel):
    deep: Deep = Deep()
    top: SecretStr = SecretStr("top-secret-1")


def test_every_secret_of_the_settings_counts_and_of_an_address_only_its_password() -> None:
    assert set(secrets_of_settings(Tree())) == {"deep-secret-1", "p%40ssw0rd", "p@ssw0rd", "top-secret-1"}


def test_every_secret_the_settings_can_hold_is_found() -> None:
    values = {"broker": {"alpaca": {"key_id": "KEY-ID-1", "secret_key": "SECRET-1"}},
              "storage": {"database_url": "postgresql://u:hidden-1@h/d"}}  # fmt: skip

    assert set(secrets_of_settings(Settings.model_validate(values))) >= {"KEY-ID-1", "SECRET-1", "hidden-1"}


def test_the_environment_s_secrets_count_by_name_or_as_an_address() -> None:
    environ = {
        "APCA_API_SECRET_KEY": "from-env-1", "MY_TOKEN": "tokentoken", "X_URL": "amqp://u:inside@h/", "HOME": "/root",
        "USE_API_KEY": "yes", "PLAIN_URL": "https://example.test/",
    }  # fmt: skip

    assert set(secrets_of_environment(environ)) == {"from-env-1", "tokentoken", "inside"}
