#!/usr/bin/env python3
"""Judge an export of the audit log, on any machine with Python 3.10 or newer and: pip install cryptography

    python verify_audit.py EXPORT --key KEY --anchors FILE --anchor CHECKPOINT
    python verify_audit.py --proof PROOF --key KEY

EXPORT, PROOF: of `trading-pipeline audit export` (JSON lines) and `audit prove`. KEY: a public key you kept, 64 hex
digits; repeat it for one that followed on a lost key. FILE: the checkpoints kept elsewhere. CHECKPOINT: the message of
an audit_checkpoint alert. Exit codes: 0 it holds; 1 damaged, the first bad entry is named; 2 it cannot be judged; 3 it
holds, but is a part, or no checkpoint of it was kept elsewhere: a cut end, a rewritten or older log would not be seen.
"""

import argparse
import base64
import hashlib
import json
import sys
from functools import reduce
from json.encoder import encode_basestring

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOG, CHAIN, SIGNED = (f"trading-pipeline audit {what} v1\n".encode() for what in ("log", "chain", "checkpoint"))
UNREADABLE = (AttributeError, KeyError, RecursionError, TypeError, ValueError)


class Bad(Exception):
    """Damage: its kind, and the first bad entry; where that is not known, the first and the last it is among."""


def require(holds, kind, first, last=0):
    if not holds:
        raise Bad(kind, first, max(first, last))


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def canonical(value):
    """RFC 8785 of texts, exact integers and objects of them; raises TypeError or ValueError for all else."""
    if type(value) is dict:
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    return str(value) if type(value) is int and abs(value) < 2**53 else encode_basestring(value)


def parsed(text):
    value = json.loads(text)
    if value["v"] != 1 or canonical(value) != text:
        raise ValueError("not canonical JSON of version 1")
    return value


def kept(line):
    """What a line of the anchor file, or the message of an alert, tells of a checkpoint."""
    if line.startswith("{"):
        told = parsed(json.loads(line)["text"])
        return told["log_id"], told["number"], told["seq"], json.loads(line)["signature"]
    words = line[line.index("audit ") :].split()
    words = dict(zip(words[::2], words[1::2], strict=False))
    signature = base64.b64decode(words["signature"], validate=True).hex()
    return words["audit"], int(words["checkpoint"]), int(words["entry"]), signature


class Log:
    """The log as far as it was read: chain, Merkle tree and checkpoints; of the log itself no more than some hashes."""

    def __init__(self, keys, anchors):
        """keys: raw, hexadecimal. anchors: as `kept` tells them. Raises Bad when two of them differ."""
        self.seq = self.signed = self.anchored = self.number = 0
        self.log_id = self.key_id = self.end = None
        self.previous, self.notes, self.anchors = "", [], {}
        self.keys = {sha(bytes.fromhex(key)).hex()[:16]: key for key in keys}
        self.tree = []  # (leaves, hash) of its full subtrees, the largest first
        for anchor in anchors:
            require(self.anchors.setdefault(anchor[1], anchor) == anchor, "two anchors differ", anchor[2])

    def read(self, line):
        """Judge the next line of an export; raises Bad, and what is UNREADABLE."""
        kind, kinds = line["type"], {"header": self.header, "entry": self.entry, "checkpoint": self.checkpoint}
        require(not self.end and (kind == "header") == (not self.log_id), "the lines are not in order", self.seq + 1)
        self.end = line if kind == "end" else None
        if kind not in ("end", "key"):  # keys are there for people: those that count were passed
            kinds[kind](line)

    def header(self, line):
        self.log_id, self.first, self.last = line["log_id"], line["first"], line["last"]
        self.seq, self.head = self.first - 1, bytes.fromhex(line["before"])
        is_start = self.seq > 0 or self.head == sha(LOG, self.log_id.encode())
        require(is_start and self.seq >= 0, "it does not begin where the log begins", 1)
        require(all(anchor[0] == self.log_id for anchor in self.anchors.values()), "another log (file swap)", 1)

    def entry(self, line):
        seq, leaf = line["seq"], sha(b"\0", line["body"].encode())
        require(seq == self.seq + 1, "an entry is missing, was put in or was moved", min(seq, self.seq + 1))
        require(leaf.hex() == line["leaf"], "an entry was changed", seq)
        told = parsed(line["body"])["seq"]
        require(told == seq, "an entry was put in or was moved", min(seq, told))
        head = sha(CHAIN, self.head, leaf)
        require(head.hex() == line["head"], f"entries were changed, the chain breaks at {seq}", self.signed + 1, seq)
        self.seq, self.head = seq, head
        self.tree.append((1, leaf))
        while len(self.tree) > 1 and self.tree[-1][0] == self.tree[-2][0]:
            (size, left), (_, right) = self.tree[-2:]
            self.tree[-2:] = [(2 * size, sha(b"\1", left, right))]

    def require_signed(self, told, text, signature, first, last=0):
        name, key_id = f"checkpoint {told['number']}", told["key_id"]
        require(key_id in self.keys, f"{name} is signed by {key_id}, a key unknown or given up", first, last)
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.keys[key_id]))
        try:
            key.verify(bytes.fromhex(signature), SIGNED + text.encode())
        except InvalidSignature:
            require(False, f"the signature of {name} is false", first, last)

    def checkpoint(self, line):
        told, text, where = parsed(line["text"]), line["text"], (self.signed + 1, self.seq)
        number, name = told["number"], f"checkpoint {told['number']}"
        require(told["seq"] <= self.seq, f"entries are missing, {name} counts {told['seq']}", self.seq + 1, told["seq"])
        follows = (number, told["previous"]) == (self.number + 1, self.previous) or (self.first > 1 and not self.number)
        require(follows, f"{name} does not follow on {self.number}: one is missing or was replaced", *where)
        self.require_signed(told, text, line["signature"], *where)
        root = reduce(lambda right, left: sha(b"\1", left, right), [node for _, node in self.tree[::-1]] or [sha()])
        found = self.log_id, self.seq, self.head.hex(), told["root"] if self.first > 1 else root.hex()
        same = found == tuple(told[name] for name in ("log_id", "seq", "head", "root"))
        require(same, f"{name} is signed and says something else: entries were changed", *where)
        if number in self.anchors:
            same = self.anchors[number][2:] == (self.seq, line["signature"])
            require(same, f"rewritten, {name} is another than was kept elsewhere", self.anchored + 1, self.seq)
            self.anchored = self.seq
        if self.key_id not in (None, told["key_id"]):
            self.notes.append(f"{name}: key {told['key_id']} followed on {self.key_id} without its word: was it lost?")
            del self.keys[self.key_id]
        self.signed, self.number, self.key_id = self.seq, number, told["key_id"]
        self.previous = sha(text.encode()).hex()
        if told["why"] == "rotation":
            del self.keys[self.key_id]
            self.key_id = sha(bytes.fromhex(told["next_key"])).hex()[:16]
            self.keys[self.key_id] = told["next_key"]

    def verdict(self):
        """After the last line: exit code and words; raises Bad when more should have come."""
        require(self.end, "the export is cut, it has no end", self.seq + 1)
        ends = (self.end["count"], self.end["head"]) == (self.seq + 1 - self.first, self.head.hex())
        require(ends and self.last in (None, self.seq), "the export does not end as it says", self.seq + 1)
        if self.last is None and self.number < max(self.anchors, default=0):
            _, number, seq, _ = self.anchors[max(self.anchors)]
            lost = f"cut or rolled back to {self.seq} entries, checkpoint {number} of {seq} was kept elsewhere"
            require(False, lost, self.anchored + 1, self.seq + (seq > self.seq))
        doubt = self.first > 1 or self.last is not None or not self.anchored
        said = f"entries {self.first} to {self.seq}, signed to {self.signed}, anchored to {self.anchored}"
        words = f"{'A PART, OR NO ANCHOR' if doubt else 'OK'}: log {self.log_id}, {said}, head {self.head.hex()}"
        return 3 if doubt else 0, "\n".join([*self.notes, words])

    def proven(self, proof):
        """One entry under one signed checkpoint (RFC 9162, 2.1.3.2): exit code and words; raises Bad."""
        text, path = proof["checkpoint"]["text"], map(bytes.fromhex, proof["path"])
        seq, told, found = parsed(proof["body"])["seq"], parsed(text), sha(b"\0", proof["body"].encode())
        self.require_signed(told, text, proof["checkpoint"]["signature"], seq)
        at, last = seq - 1, told["seq"] - 1
        while last > 0:
            if at % 2 or at < last:
                other = next(path, b"")
                found = sha(b"\1", other, found) if at % 2 else sha(b"\1", found, other)
            at, last = at // 2, last // 2
        holds = 0 < seq <= told["seq"] and found.hex() == told["root"] and not list(path)
        require(holds, "the entry is not the one that the checkpoint counts", seq)
        return 0, f"OK: in log {told['log_id']}, as of checkpoint {told['number']} of {told['at']}: {proof['body']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    opened = argparse.FileType(encoding="utf-8")
    parser.add_argument("export", nargs="?", type=opened)
    for name, kind in (("--key", str), ("--anchors", opened), ("--anchor", str), ("--proof", opened)):
        parser.add_argument(name, action="append", type=kind, default=[])
    given, log = parser.parse_args(), None
    try:
        whole = [line for file in given.anchors for line in file if line.endswith(("}", "\n"))]  # a crash cuts the last
        log = Log(given.key, map(kept, [*whole, *given.anchor]))
        if given.proof:
            return log.proven(json.load(given.proof[0]))
        for line in given.export or parser.error("an EXPORT or a --proof is needed"):
            log.read(json.loads(line))
        return log.verdict()
    except Bad as bad:
        kind, first, last = bad.args
    except UNREADABLE as error:
        if log is None:
            return 2, f"CANNOT BE JUDGED: a key or an anchor cannot be read ({error!r:.99})"
        kind, first, last = f"a line cannot be read ({error!r:.99})", log.seq + 1, log.seq + 1
    return 1, f"DAMAGED: {kind}. First bad: entry {first}" + f", or one up to {last}" * (last > first)


if __name__ == "__main__":
    code, words = main()
    sys.stdout.write(words + "\n")
    sys.exit(code)
