"""The keys of the audit log's checkpoints: Ed25519, PEM files that only their owner can read.

signing.pem    the private key that signs now
next.pem       the one that will, between its making and its first checkpoint
KEY_ID.pub.pem the public half of each key that ever signed: what others verify with
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from trading_pipeline.adapters.durable import make_durable
from trading_pipeline.domain.audit import RENEW, ROTATE, key_id_of
from trading_pipeline.domain.errors import AuditKeyError

SIGNING, NEXT, PUBLIC = "signing.pem", "next.pem", "{}.pub.pem"
FOLDER_MODE, FILE_MODE = 0o700, 0o600
OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
MOST_BYTES = 4096


class NoKey(AuditKeyError):
    """The file is there, and holds nothing that could sign."""


class KeyFolder:
    """Implements ports.audit.AuditKeys on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    def public_file(self, public_key: bytes) -> Path:
        """Where the public half of a key is."""
        return self._folder / PUBLIC.format(key_id_of(public_key))

    def present(self) -> bytes | None:
        """The raw public key of whoever signs now; None where there is no key."""
        key = self._read(SIGNING)
        return None if key is None else _raw(key)

    def is_lost(self) -> bool:
        """True when no key can be had from here: no file, or nothing that is a key. A file that is there and may not be
        used as it is (read by others, of another user) is not lost: raises AuditKeyError with what mends that."""
        try:
            return self._read(SIGNING) is None
        except NoKey:
            return True

    def create(self) -> bytes:
        """The first key; raises AuditKeyError where there is one."""
        if self._read(SIGNING) is not None:
            raise AuditKeyError(f"{self._folder / SIGNING} is there already: a new one is made by rotation or renewal.")
        return self._make(SIGNING)

    def sign(self, message: bytes) -> bytes:
        """The signature of the present key; raises AuditKeyError without one."""
        key = self._read(SIGNING)
        if key is None:
            raise self._error(SIGNING, "is missing", f"put it back, or make a new one: {RENEW}")
        return key.sign(message)

    def prepare_next(self) -> bytes:
        """The raw public key of the next key, made when there is none."""
        key = self._read(NEXT)
        return self._make(NEXT) if key is None else _raw(key)

    def promote_next(self, public_key: bytes) -> None:
        """The next key signs from now on; of the one before only the public half is kept. Twice is once."""
        prepared = self._read(NEXT)
        if prepared is not None and _raw(prepared) == public_key:
            (self._folder / NEXT).replace(self._folder / SIGNING)
            make_durable(self._folder)
        elif self.present() != public_key:
            raise self._error(NEXT, f"is not the key {key_id_of(public_key)}", "put that back, or renew the key")

    def _make(self, name: str) -> bytes:
        key = Ed25519PrivateKey.generate()
        raw = _raw(key)
        self._folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        self._require_private(self._folder, "folder")
        self._write(
            self.public_file(raw), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        self._write(self._folder / name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return raw

    def _write(self, path: Path, text: bytes) -> None:
        """Whole or not at all, on the disk when this returns."""
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(opened, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            make_durable(self._folder)
        except OSError as error:
            raise self._error(
                path.name, f"cannot be written ({error.strerror})", "see the folder and the disk"
            ) from error

    def _read(self, name: str) -> Ed25519PrivateKey | None:
        path = self._folder / name
        try:
            opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(name, f"cannot be read ({error.strerror})", "see its owner and permissions") from error
        try:
            self._require_private(self._folder, "folder")
            self._require_private(opened, name)
            return self._parsed(name, os.read(opened, MOST_BYTES))
        finally:
            os.close(opened)

    def _parsed(self, name: str, text: bytes) -> Ed25519PrivateKey:
        advice = f"put the right file back, or make a new key: {RENEW}"
        try:
            key = load_pem_private_key(text, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise NoKey(self._words(name, "is no private key in PEM", advice)) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise NoKey(self._words(name, "is no Ed25519 key", advice))
        return key

    def _require_private(self, where: Path | int, name: str) -> None:
        shown = os.stat(where)  # noqa: PTH116  of a path or of an open file
        if shown.st_mode & OF_OTHERS:
            mode = FOLDER_MODE if stat.S_ISDIR(shown.st_mode) else FILE_MODE
            target = self._folder if name == "folder" else self._folder / name
            raise AuditKeyError(
                f"{target} may be read or written by other users (mode {stat.S_IMODE(shown.st_mode):o}), so nothing is "
                f"signed with what is in it. First: chmod {mode:o} '{target}'; if somebody else may have had it, then: "
                f"{ROTATE}"
            )
        if shown.st_uid != os.geteuid():
            raise self._error(name, "belongs to another user", "make this user its owner")

    def _error(self, name: str, what: str, advice: str) -> AuditKeyError:
        return AuditKeyError(self._words(name, what, advice))

    def _words(self, name: str, what: str, advice: str) -> str:
        return f"the audit key {self._folder / name} {what}: nothing is signed. To go on, {advice}."


def is_signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """False for anything that is not a valid signature by that raw public key (ports.audit.Verifier)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
