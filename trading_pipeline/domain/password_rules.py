"""Which passwords are too weak to approve anything with."""

from __future__ import annotations

from itertools import pairwise

LEAST_LENGTH, MOST_LENGTH, LEAST_DIFFERENT = 12, 1024, 5
LEAST_NAME = 4
"""A shorter name stands in many sentences."""
COMMON = frozenset({
    "abcdefghijkl", "administrator", "baseball", "changeme", "correcthorsebatterystaple", "dragon", "football",
    "iloveyou", "letmein", "master", "monkey", "operator", "passphrase", "passwd", "password", "passwort",
    "princess", "qazwsxedc", "qwerty", "qwertyuiop", "qwertz", "secret", "shadow", "starwars", "sunshine", "superman",
    "tradingpipeline", "trustnoone", "welcome",
})  # fmt: skip
"""Letters of passwords that everybody tries first; digits and signs around them add nothing."""


def weakness(password: str, name: str) -> str:
    """What is wrong with a password for the operator of that name, in words; empty when it is strong enough."""
    letters = "".join(character for character in password.casefold() if character.isalpha())
    if len(password) < LEAST_LENGTH:
        return f"it is shorter than {LEAST_LENGTH} characters"
    if len(password) > MOST_LENGTH:
        return f"it is longer than {MOST_LENGTH} characters"
    if len(name) >= LEAST_NAME and name.casefold() in password.casefold():
        return "the operator's name is in it"
    if len(set(password)) < LEAST_DIFFERENT:
        return f"it has fewer than {LEAST_DIFFERENT} different characters"
    if _is_a_row(password):
        return "its characters stand in a row"
    if _is_common(letters) or _is_common(letters.replace(name.casefold(), "")):
        return "it is one of those that everybody tries first"
    return ""


def _is_common(letters: str) -> bool:
    return any(letters and letters == word * max(1, len(letters) // len(word)) for word in COMMON)


def _is_a_row(password: str) -> bool:
    """1234…, abcd…, and the same backwards."""
    steps = {ord(after) - ord(before) for before, after in pairwise(password)}
    return all(one in {1, -9} for one in steps) or all(one in {-1, 9} for one in steps)
