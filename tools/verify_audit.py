"""Judge an export of the audit log, on any machine with Python 3.10 or newer and: pip install cryptography

python verify_audit.py EXPORT --key KEY --anchors FILE --anchor CHECKPOINT, or: --proof PROOF --key KEY

EXPORT, PROOF: of `trading-pipeline audit export` (JSON lines) and `audit prove`. KEY: a public key you kept, 64 hex
digits; repeat it for one that followed on a lost key. FILE: the checkpoints kept elsewhere. CHECKPOINT: the message of
an audit_checkpoint alert. Exit codes: 0 it holds; 1 damaged, the first bad entry is named; 2 it cannot be judged; 3 it
holds, but is a part, or no checkpoint of it was kept elsewhere: a cut end, a rewritten or older log would not be seen.
"""

import argparse
import base64
import hashlib
import json
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


def canonical(value):  # RFC 8785 of texts, exact integers and objects of them; raises for all else
    if type(value) is dict:
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    return str(value) if type(value) is int and abs(value) < 2**53 else encode_basestring(value)


def parsed(text):
    value = json.loads(text)
    if value["v"] != 1 or canonical(value) != text:
        raise ValueError("not canonical JSON of version 1")
    return value


def kept(line):  # log, number, entries and signature of a checkpoint: of the anchor file, or of an alert's message
    if line.startswith("{"):
        told = parsed(json.loads(line)["text"])
        return told["log_id"], told["number"], told["seq"], json.loads(line)["signature"]
    _, log_id, _, number, _, seq, *_, signature = line[line.index("audit ") :].split()
    return log_id, int(number), int(seq), base64.b64decode(signature, validate=True).hex()


class Log:
    """The log as far as it was read: chain, Merkle tree and checkpoints; of the log itself no more than some hashes."""

    def __init__(self, keys, anchors):
        self.seq = self.signed = self.anchored = self.number = 0  # entries read, signed, anchored; checkpoints
        self.log_id = self.key_id = self.end = None
        self.previous, self.notes, self.tree = "", [], []  # tree: (leaves, hash) of its full subtrees, largest first
        known = [Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) for key in keys]
        self.keys = {sha(key.public_bytes_raw()).hex()[:16]: key for key in known}
        self.anchors = {anchor[1]: anchor for anchor in anchors}
        for _, number, seq, signature in anchors:
            require(self.anchors[number][2:] == (seq, signature), "two checkpoints kept elsewhere differ", seq)

    def read(self, line):
        """Judge the next line of an export; raises Bad, and what is UNREADABLE."""
        kind, self.end = line["type"], line if line["type"] == "end" else None if self.end is None else {}
        require(self.end != {} and (kind == "header") == (not self.log_id), "lines are not in order", self.seq + 1)
        {"header": self.header, "entry": self.entry, "checkpoint": self.checkpoint, "key": id, "end": id}[kind](line)

    def header(self, line):
        self.log_id, self.first, self.last, self.seq = line["log_id"], line["first"], line["last"], line["first"] - 1
        self.head, start = bytes.fromhex(line["before"]), sha(LOG, line["log_id"].encode())
        require(self.seq > 0 or (self.seq, self.head) == (0, start), "it does not begin where the log begins", 1)
        require(all(anchor[0] == self.log_id for anchor in self.anchors.values()), "another log (file swap)", 1)

    def entry(self, line):
        seq, leaf = line["seq"], sha(b"\0", line["body"].encode())
        require(seq == self.seq + 1, "an entry is missing, was put in or was moved", min(seq, self.seq + 1))
        require(leaf.hex() == line["leaf"], "an entry was changed", seq)
        told, head = parsed(line["body"])["seq"], sha(CHAIN, self.head, leaf)
        require(told == seq, "an entry was put in or was moved", min(seq, told))
        require(head.hex() == line["head"], f"entries were changed, the chain breaks at {seq}", self.signed + 1, seq)
        self.seq, self.head, size = seq, head, 1
        while self.tree and self.tree[-1][0] == size:
            size, leaf = 2 * size, sha(b"\1", self.tree.pop()[1], leaf)
        self.tree.append((size, leaf))

    def require_signed(self, told, text, signature, first, last=0):
        require(told["key_id"] in self.keys, f"signed by {told['key_id']}, a key unknown or given up", first, last)
        try:
            self.keys[told["key_id"]].verify(bytes.fromhex(signature), SIGNED + text.encode())
        except InvalidSignature:
            require(False, f"the signature of checkpoint {told['number']} is false", first, last)

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
        same = self.anchors.get(number, (0, 0, self.seq, line["signature"]))[2:] == (self.seq, line["signature"])
        require(same, f"rewritten, {name} is another than was kept elsewhere", self.anchored + 1, self.seq)
        if self.key_id not in (None, told["key_id"]):
            self.notes.append(f"{name}: key {told['key_id']} followed on {self.key_id} without its word: was it lost?")
            del self.keys[self.key_id]
        self.signed, self.number, self.previous = self.seq, number, sha(text.encode()).hex()
        self.anchored, self.key_id = self.seq if number in self.anchors else self.anchored, told["key_id"]
        if told["why"] == "rotation":
            del self.keys[self.key_id]
            self.key_id = sha(bytes.fromhex(told["next_key"])).hex()[:16]
            self.keys[self.key_id] = Ed25519PublicKey.from_public_bytes(bytes.fromhex(told["next_key"]))

    def verdict(self):
        """After the last line: exit code and words; raises Bad when more should have come."""
        require(self.end, "the export is cut, it has no end", self.seq + 1)
        ends = (self.end["count"], self.end["head"]) == (self.seq + 1 - self.first, self.head.hex())
        require(ends and self.last in (None, self.seq), "the export does not end as it says", self.seq + 1)
        _, number, seq, _ = self.anchors[max(self.anchors)] if self.anchors else (0, 0, 0, 0)
        lost = f"cut, rolled back or exported before checkpoint {number} of {seq}, kept elsewhere: ends with {self.seq}"
        require(self.last or number <= self.number, lost, self.anchored + 1, self.seq + (seq > self.seq))
        doubt = self.first > 1 or self.last is not None or not self.anchored
        loose = " (whoever wrote what comes after is NOT known)" * (self.signed < self.seq)
        said = f"entries {self.first} to {self.seq}, signed to {self.signed}{loose}, anchored to {self.anchored}"
        words = f"{'A PART, OR NO ANCHOR' if doubt else 'OK'}: log {self.log_id}, {said}, head {self.head.hex()}"
        return 3 if doubt else 0, "\n".join([*self.notes, words])

    def proven(self, proof):  # RFC 9162, 2.1.3.2
        text, path = proof["checkpoint"]["text"], map(bytes.fromhex, proof["path"])
        seq, told, found = parsed(proof["body"])["seq"], parsed(text), sha(b"\0", proof["body"].encode())
        self.require_signed(told, text, proof["checkpoint"]["signature"], seq)
        at, last = seq - 1, told["seq"] - 1
        while last > 0:
            if at % 2 or at < last:
                found = sha(b"\1", next(path, b""), found) if at % 2 else sha(b"\1", found, next(path, b""))
            at, last = at // 2, last // 2
        holds = 0 < seq <= told["seq"] and found.hex() == told["root"] and not list(path)
        require(holds, "the entry is not the one that the checkpoint counts", seq)
        return 0, f"OK: in log {told['log_id']}, as of checkpoint {told['number']} of {told['at']}: {proof['body']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    opened = argparse.FileType(encoding="utf-8")
    parser.add_argument("export", nargs="?", type=opened)
    for name, kind in (("--key", str), ("--anchors", opened), ("--anchor", str), ("--proof", opened)):
        parser.add_argument(name, action="append", type=kind, default=[], required=name == "--key")
    given, log = parser.parse_args(), None
    try:
        whole = [line for file in given.anchors for line in file if line.endswith(("}", "\n"))]  # a crash cuts the last
        log = Log(given.key, [kept(line) for line in [*whole, *given.anchor]])
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
    raise SystemExit(print(words) or code)  # noqa: T201
