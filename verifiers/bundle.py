#!/usr/bin/env python3
"""Checks an evidence bundle that `fdr bundle` wrote, unpacked.

  verify.py DIR [KEY]

KEY is the log's public key as text (name+id+key), or a file with it. Have it from elsewhere: without it the key in the
bundle is taken, and somebody who made everything anew would have put his own there.

Shares no code with fdr and needs nothing but Python 3.8, and the file tlog.py beside it.

Exit status: 0 everything is proven, 1 not, 2 it could not be checked.
"""
import hashlib
import hmac
import json
import os
import sys

sys.dont_write_bytecode = True
try:
    import tlog
except ImportError:  # in the source tree
    import verify as tlog

LATER = {"manifest.json", "custody.jsonl", "checkpoints/log.note", "checkpoints/log.proof"}


def read(folder, name):
    """A file of the bundle, which must be a plain one."""
    path = os.path.join(folder, *name.split("/"))
    if os.path.islink(path) or not os.path.isfile(path):
        raise tlog.Unusable(f"there is no {name}, so it is not a bundle")
    with open(path, "rb") as file:
        return file.read()


def root(leaves, low, high, hashes):
    """The root of the records low..high: computed where one of them is here, else the next hash of the proof."""
    if not leaves:
        if not hashes:
            raise ValueError("the proof has too few hashes")
        return hashes.pop(0)
    if high - low == 1:
        return leaves[0][1]
    middle = low + (1 << (high - low - 1).bit_length() - 1)
    left = root([leaf for leaf in leaves if leaf[0] < middle], low, middle, hashes)
    return tlog.node(left, root([leaf for leaf in leaves if leaf[0] >= middle], middle, high, hashes))


def prove(folder, name, places, records, custody, key):
    """Whether the records lead to the root that a checkpoint states; gives its size."""
    note = read(folder, f"checkpoints/{name}.note")
    checkpoint = tlog.Checkpoint(note, key, name)
    lines = read(folder, f"checkpoints/{name}.proof").decode().splitlines()
    if lines[:1] != ["fdr-subset-proof-v1"] or lines[1:2] != [f"size {checkpoint.size}"]:
        raise ValueError("its proof is for something else")
    lines = lines[2:]
    leaves = [(place, tlog.leaf(record)) for place, record in zip(places, records)]
    if name == "log":
        if not lines or not lines[0].startswith("custody ") or len(custody) != 1:
            raise ValueError("its proof does not say where the record of the export stands")
        leaves.append((int(lines.pop(0)[8:]), tlog.leaf(custody[0])))
    order = [place for place, _ in leaves]
    if any(a >= b for a, b in zip(order, order[1:])) or order[0] < 0 or order[-1] >= checkpoint.size:
        raise ValueError("the places of the records can't be")
    hashes = [bytes.fromhex(line) for line in lines]
    if any(len(value) != 32 for value in hashes):
        raise ValueError("its proof has a line that is no hash")
    if root(leaves, 0, checkpoint.size, hashes) != checkpoint.root or hashes:
        raise ValueError("the records don't lead to its root")
    return checkpoint.size


def check(folder, given):
    """What is wrong, and how much is proven."""
    raw = read(folder, "manifest.json")
    manifest = json.loads(raw)
    if manifest["format"] != "fdr-bundle-v1":
        raise tlog.Unusable("it is of another form")
    key = tlog.Key(given or manifest["key"])
    problems = []
    if manifest["origin"] != key.name or given and manifest["key"].strip() != given.strip():
        problems.append("the manifest names another log or key")
    found = set()
    for place, _, files in os.walk(folder):
        for file in files:
            found.add(os.path.relpath(os.path.join(place, file), folder).replace(os.sep, "/"))
    for name in sorted(found - LATER):
        if manifest["files"].get(name) != hashlib.sha256(read(folder, name)).hexdigest():
            problems.append(f"{name} is not what the manifest says")
    problems += [f"{name} is missing" for name in sorted(set(manifest["files"]) - found)]
    records = read(folder, "records.jsonl").split(b"\n")[:-1]
    custody = read(folder, "custody.jsonl").split(b"\n")[:-1]
    places = manifest["places"]
    if len(records) != len(places) or manifest["records"] != len(places):
        problems.append("there are not as many records as the manifest says")
    withheld = {(each["record"], each["digest"]) for each in manifest["withheld"]}
    known = set()
    for place, line in zip(places, records):
        for content in json.loads(line).get("content", []):
            name = "contents/" + content["digest"].split(":")[-1]
            if name not in found or name + ".salt" not in found:
                if (place, content["digest"]) not in withheld:
                    problems.append(f"a content of record {place} is missing, and not said to be withheld")
                continue
            known |= {name, name + ".salt"}
            salt = bytes.fromhex(read(folder, name + ".salt").decode().strip())
            digest = hmac.new(salt, read(folder, name), "sha256").hexdigest()
            if content["digest"] != "hmac-sha256:" + digest:
                problems.append(f"a content of record {place} is not what was recorded")
    problems += [f"{name} belongs to no record" for name in sorted(found - known) if name.startswith("contents/")]
    access = json.loads(custody[0])["body"] if len(custody) == 1 else {}
    if access.get("digest") != hashlib.sha256(raw).hexdigest():
        problems.append("the manifest is not the one that the export was recorded with")
    if (access.get("filter"), access.get("records")) != (manifest["filter"], manifest["records"]):
        problems.append("what was chosen is not what the export was recorded with")
    names = sorted(name[12:-5] for name in found if name.startswith("checkpoints/") and name.endswith(".note"))
    if "log" not in names:
        problems.append("the records are not proven")
    for name in names:
        try:
            size = prove(folder, name, places, records, custody, key)
            print(f"proven        under checkpoint {tlog.shown(name)} of {size} records")
        except (ValueError, tlog.Damaged, tlog.Unusable) as error:
            problems.append(f"checkpoint {name}: {error}")
    print(f"checked       {len(records)} records and {len(known) // 2} contents of log {tlog.shown(key.name)}")
    for problem in problems:
        print(f"PROBLEM       {tlog.shown(problem)}")
    print("result        " + ("NOT PROVEN" if problems else "PROVEN"))
    if not given:
        print("not excluded  the key is the bundle's own: have it from elsewhere")
    for line in manifest["not_proven"]:
        print(f"not proven    {tlog.shown(line)}")
    return 1 if problems else 0


def main():
    """Reads the arguments."""
    sys.setrecursionlimit(10_000)
    arguments = sys.argv[1:]
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    given = arguments[1] if len(arguments) == 2 else None
    try:
        if given and "+" not in given:
            with open(given, encoding="utf-8") as file:
                given = file.read()
        return check(arguments[0], given)
    except (tlog.Unusable, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, tlog.Damaged) as error:
        print(f"PROBLEM       it can't be read: {tlog.shown(str(error))}\nresult        NOT PROVEN")
        return 1


if __name__ == "__main__":
    sys.exit(main())
