#!/usr/bin/env python3
"""Checks a log that `fdr export --tlog` wrote, or `fdr cat` printed, from its bytes alone.

  verify.py DIR KEY [--against CHECKPOINT]...
  verify.py --jsonl FILE CHECKPOINT KEY [--against CHECKPOINT]...

KEY is the log's public key as text (name+id+key), or a file with it. Have it from elsewhere: a key that
comes with the log proves nothing. CHECKPOINT given with --against is an older one, kept elsewhere.

Shares no code with fdr and needs nothing but Python 3.8. It reads C2SP tlog-tiles, tlog-checkpoint and
signed-note, and the tree of RFC 6962. Every record and every node is hashed; no stored hash is trusted.

Exit status: 0 intact, 1 damaged or it disagrees, 2 it could not be checked.
"""
import base64
import hashlib
import os
import stat
import sys

WIDTH = 256
MAX_NOTE = 128 * 1024


class Damaged(Exception):
    """What is given is not what was signed."""


class Unusable(Exception):
    """There is nothing that could be checked."""


# Ed25519 (RFC 8032 section 5.1), in affine form extended by Z and T. Only checks, so nothing here is secret.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def point(data):
    """The point that 32 bytes stand for."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        raise ValueError("no point")
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * ROOT % P
    if (x * x - x2) % P or (x == 0 and sign):
        raise ValueError("no point")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(a, b):
    """The sum of two points."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % P, k * m % P, j * k % P, i * m % P


def times(n, a):
    """The point n times."""
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, a)
        a, n = add(a, a), n >> 1
    return total


BASE = point(bytes.fromhex("58" + "66" * 31))


def is_signed(key, message, signature):
    """Whether the signature of the message is by the key."""
    try:
        a, r = point(key), point(signature[:32])
    except ValueError:
        return False
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = times(s, BASE), add(r, times(h, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


def decode(text, length=None):
    """Strict base64."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text or length not in (None, len(data)):
        raise ValueError("not base64 of the right length")
    return data


class Key:
    """A C2SP verifier key: name+id+base64(0x01 || Ed25519 public key)."""

    def __init__(self, given):
        text = given
        if not ("+" in given and not os.path.exists(given)):
            text = read(given, 4096, Unusable).decode("utf-8", "replace")
        try:
            self.name, number, encoded = text.strip().split("+", 2)
            data = decode(encoded, 33)
            self.id = bytes.fromhex(number)
        except ValueError:
            raise Unusable("the key is not name+id+key") from None
        self.public = data[1:]
        if data[0] != 1 or hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4] != self.id:
            raise Unusable("the key is not an Ed25519 key of that name")


class Checkpoint:
    """A signed note over origin, size and root."""

    def __init__(self, note, key, what):
        try:
            text = note.decode("utf-8")
            body, signatures = text.split("\n\n", 1)
            body += "\n"
            origin, size, root = body.split("\n")[:3]
            if str(int(size)) != size or not 0 <= int(size) < 2**63 or not signatures.endswith("\n"):
                raise ValueError
            self.size, self.root = int(size), decode(root, 32)
        except ValueError:
            raise Damaged(what + " is malformed") from None
        if origin != key.name:
            raise Damaged("%s is of another log: %s" % (what, shown(origin)))
        for line in signatures.split("\n")[:64]:
            parts = line.split(" ")
            if len(parts) != 3 or parts[0] != "\u2014" or parts[1] != key.name:
                continue
            try:
                data = decode(parts[2])
            except ValueError:
                continue
            if data[:4] == key.id and is_signed(key.public, body.encode(), data[4:]):
                return
        raise Damaged("%s is not signed by the key" % what)


def shown(text):
    """Text from the log, without what would act on a terminal."""
    return ascii(text)[1:-1][:200]


def leaf(record):
    return hashlib.sha256(b"\0" + record).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def read(path, limit, error):
    """A whole regular file of at most `limit` bytes; no link is followed."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise error("%s is not a regular file" % shown(path))
            data = file.read(limit + 1)
    except OSError as problem:
        raise error("%s: %s" % (shown(path), problem.strerror)) from None
    if len(data) > limit:
        raise error("%s is longer than %d bytes" % (shown(path), limit))
    return data


class Tree:
    """Leaves in order; the root at each size that is asked for; full subtrees of 256**level leaves by level."""

    def __init__(self, targets):
        self.size, self.peaks, self.roots = 0, [], {}
        self.targets = set(targets)
        self.seen()

    def root(self):
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node(peak, root)
        return root

    def seen(self):
        if self.size in self.targets:
            self.roots[self.size] = self.root()

    def push(self, hash_):
        size = self.size
        while size & 1:
            hash_, size = node(self.peaks.pop(), hash_), size >> 1
        self.peaks.append(hash_)
        self.size += 1
        self.seen()


class Tiles:
    """The folder of an export."""

    def __init__(self, directory, size):
        self.directory, self.size = directory, size
        self.levels, self.tiles, self.bundles = [[]], 0, 0
        self.full = [0]

    def path(self, level, number, width):
        groups = ["%03d" % (number % 1000)]
        while number >= 1000:
            number //= 1000
            groups.insert(0, "x%03d" % (number % 1000))
        path = os.path.join(self.directory, "tile", str(level), *groups)
        return path if width == WIDTH else os.path.join(path + ".p", str(width))

    def stored(self, level, number, width, unit):
        """The bytes of a tile; where only a later, wider one is there, its beginning will do."""
        path = self.path(level, number, width)
        if width < WIDTH and not os.path.lexists(path):
            path = self.path(level, number, WIDTH)
        return read(path, unit * WIDTH, Damaged), path

    def records(self):
        """All records, bundle after bundle."""
        for number in range((self.size + WIDTH - 1) // WIDTH):
            width = min(WIDTH, self.size - number * WIDTH)
            data, path = self.stored("entries", number, width, 65537)
            bundle, at = [], 0
            while at < len(data):
                end = at + 2 + int.from_bytes(data[at:at + 2], "big")
                if at + 2 > len(data) or end > len(data):
                    raise Damaged("%s: record %d is cut off" % (shown(path), number * WIDTH + len(bundle)))
                bundle.append(data[at + 2:end])
                at = end
            wider = width < WIDTH and path == self.path("entries", number, WIDTH)
            if len(bundle) < width or (len(bundle) > width and not wider):
                raise Damaged("%s: holds %d records, not %d" % (shown(path), len(bundle), width))
            self.bundles += 1
            yield from bundle[:width]

    def push(self, hash_):
        """Takes in a leaf hash, and compares the tiles that it fills."""
        level = 0
        while True:
            if level == len(self.levels):
                self.levels.append([])
                self.full.append(0)
            row = self.levels[level]
            row.append(hash_)
            if len(row) < WIDTH:
                return
            self.compare(level, row)
            self.levels[level] = []
            self.full[level] += 1
            while len(row) > 1:
                row = [node(row[i], row[i + 1]) for i in range(0, len(row), 2)]
            hash_, level = row[0], level + 1

    def compare(self, level, row):
        data, path = self.stored(level, self.full[level], len(row), 32)
        if path.endswith(".p" + os.sep + str(len(row))) or len(row) == WIDTH:
            fits = len(data) == 32 * len(row)
        else:
            fits = len(data) == 32 * WIDTH
        if not fits:
            raise Damaged("%s has %d bytes, not %d" % (shown(path), len(data), 32 * len(row)))
        for at, hash_ in enumerate(row):
            if data[32 * at:32 * at + 32] != hash_:
                first = (self.full[level] * WIDTH + at) * WIDTH**level
                raise Damaged("%s: the hash of record %d on is not that of the records" % (shown(path), first))
        self.tiles += 1

    def finish(self):
        for level, row in enumerate(self.levels):
            if row:
                self.compare(level, row)


def lines(path):
    """The lines of a file, one record each."""
    try:
        with open(path, "rb") as file:
            while True:
                line = file.readline(65537)
                if not line:
                    return
                if not line.endswith(b"\n"):
                    raise Damaged("%s: a line is too long or has no end" % shown(path))
                yield line[:-1]
    except OSError as problem:
        raise Unusable("%s: %s" % (shown(path), problem.strerror)) from None


def check(arguments):
    against, jsonl, rest = [], None, []
    arguments = list(arguments)
    while arguments:
        argument = arguments.pop(0)
        if argument in ("--against", "--jsonl"):
            if not arguments:
                raise Unusable("%s needs a file" % argument)
            if argument == "--jsonl":
                jsonl = arguments.pop(0)
            else:
                against.append(arguments.pop(0))
        else:
            rest.append(argument)
    if len(rest) != 2 or rest[0].startswith("-"):
        raise Unusable(__doc__.strip())
    key = Key(rest[1])
    place = rest[0] if jsonl else os.path.join(rest[0], "checkpoint")
    if not jsonl and not os.path.isdir(rest[0]):
        raise Unusable("%s is not a folder" % shown(rest[0]))
    signed = Checkpoint(read(place, MAX_NOTE, Damaged), key, "the checkpoint")
    kept = [(path, Checkpoint(read(path, MAX_NOTE, Unusable), key, shown(path))) for path in against]
    tree = Tree([signed.size] + [checkpoint.size for _, checkpoint in kept])
    tiles = None if jsonl else Tiles(rest[0], signed.size)
    later = 0
    for record in lines(jsonl) if jsonl else tiles.records():
        if tree.size == signed.size:
            later += 1
            continue
        hash_ = leaf(record)
        if tiles:
            tiles.push(hash_)
        tree.push(hash_)
    if tree.size < signed.size:
        raise Damaged("there are %d records, the checkpoint is of %d: the end is missing" % (tree.size, signed.size))
    if tiles:
        tiles.finish()
    if tree.root() != signed.root:
        raise Damaged("the records give another root than the one that is signed")
    if tiles:
        print("checked       %d records, %d bundles, %d tiles: every hash recomputed" % (tree.size, tiles.bundles, tiles.tiles))
    else:
        print("checked       %d records: every hash recomputed" % tree.size)
    print("signed by     %s (ed25519 %s)" % (shown(key.name), key.id.hex()))
    disagrees = False
    for path, checkpoint in kept:
        if checkpoint.size > signed.size:
            disagrees = True
            word = "DISAGREES: the log has only %d; its end was cut off, or it is an old copy" % signed.size
        elif tree.roots[checkpoint.size] != checkpoint.root:
            disagrees = True
            word = "DISAGREES: what came before it is not what was signed then; the log was rewritten"
        else:
            word = "agrees"
        print("outside       checkpoint of %d records: %s" % (checkpoint.size, word))
    if later:
        print("not checked   %d records behind the checkpoint" % later)
    print("result        %s" % ("DAMAGED" if disagrees else "INTACT"))
    newest = max([checkpoint.size for _, checkpoint in kept] or [0])
    if newest < tree.size and not disagrees:
        print("not excluded  whoever holds the key could have rewritten or cut off records %d and on" % newest)
    return int(disagrees)


def main():
    try:
        return check(sys.argv[1:])
    except Damaged as problem:
        print("result        DAMAGED\ndamage        %s" % problem)
        return 1
    except Unusable as problem:
        print("error: %s" % problem, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
