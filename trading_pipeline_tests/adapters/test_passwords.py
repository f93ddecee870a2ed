"""Passwords by Argon2id: the real library."""

from __future__ import annotations

from argon2 import PasswordHasher
from pydantic import SecretStr

from trading_pipeline.adapters.passwords import Argon2Passwords

SENTENCE = SecretStr("ein Satz über Äpfel")


def test_a_password_fits_what_was_kept_of_it_and_no_other_does() -> None:
    passwords = Argon2Passwords()
    kept = passwords.hash(SENTENCE)

    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert "Satz" not in kept
    assert kept != passwords.hash(SENTENCE)
    assert passwords.fits(kept, SENTENCE)
    assert passwords.fits(kept, SecretStr("ein Satz u\u0308ber A\u0308pfel"))  # as another keyboard writes it
    assert not passwords.fits(kept, SecretStr("ein Satz über Apfel"))
    assert not passwords.is_outdated(kept)


def test_what_is_kept_in_no_known_form_fits_nothing() -> None:
    for kept in ("", "plain", "$argon2id$v=19$m=8,t=1", "$2b$12$abc"):
        assert not Argon2Passwords().fits(kept, SENTENCE)


def test_what_was_kept_by_other_parameters_fits_and_is_outdated() -> None:
    older = Argon2Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)).hash(SENTENCE)

    assert Argon2Passwords().fits(older, SENTENCE)
    assert Argon2Passwords().is_outdated(older)
