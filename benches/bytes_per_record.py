#!/usr/bin/env python3
"""Records what agents really sent, and a longer made-up day, with the real programs, and prints what it takes on disk.

  cargo build --all-features && benches/bytes_per_record.py target/debug > figures.md

Each event is given to a process of fdr-hook, as an agent does: so most groups hold one event, with its signed
checkpoint. The table is that of crates/log/examples/bytes_per_record.rs, which is run at the end.
"""
import json, os, random, subprocess, sys, tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CAPTURES = [
    ("claude-code", "crates/fdr/demo/claude-code-session.jsonl"),
    ("gemini-cli", "crates/capture/tests/data/gemini-cli-session.jsonl"),
    ("hermes", "crates/capture/tests/data/hermes-session.jsonl"),
    ("openclaw", "crates/capture/tests/data/openclaw-turn-hooks.jsonl"),
    ("codex", "crates/capture/tests/data/codex-direct-hooks.jsonl"),
    ("codex", "crates/capture/tests/data/codex-script-hooks.jsonl"),
    ("codex", "crates/capture/tests/data/codex-asked-hooks.jsonl"),
]
WORDS = """alpha beta gamma delta build test module parse token ledger index shard query retry cache error warning
commit branch merge schema record verify policy agent session resource""".split()


def captured():
    for runtime, path in CAPTURES:
        for line in open(os.path.join(ROOT, path)):
            event = json.loads(line)
            payload = event.get("payload", event)
            name = event.get("event", payload.get("hook_event_name"))
            yield runtime, name, event.get("variables", {}), json.dumps(payload)


def made_up(calls, seed=1):
    r = random.Random(seed)
    words = lambda n: " ".join(r.choice(WORDS) for _ in range(n))
    for number in range(calls):
        path = f"/srv/repo{r.randrange(9)}/src/{r.choice(WORDS)}/{r.choice(WORDS)}_{r.randrange(999)}.rs"
        tool, given, result = r.choice([
            ("Read", {"file_path": path}, {"file": {"filePath": path, "content": words(120)}}),
            ("Bash", {"command": f"cargo test -p {r.choice(WORDS)} -- {words(4)}", "description": words(8)},
             {"stdout": words(60), "stderr": "", "interrupted": False}),
            ("Edit", {"file_path": path, "old_string": words(20), "new_string": words(24)}, {"filePath": path}),
            ("Grep", {"pattern": words(2), "path": "/srv"}, {"filenames": [path], "numFiles": 1}),
        ])
        common = {"session_id": f"73ab4c72-03fd-4ef9-bbcf-{r.randrange(40):012x}", "cwd": "/srv/repo",
                  "permission_mode": "default", "tool_name": tool, "tool_input": given,
                  "tool_use_id": f"toolu_{r.getrandbits(96):024x}"}
        for event, more in (("PreToolUse", {}), ("PostToolUse", {"tool_response": result})):
            yield "claude-code", event, {}, json.dumps({**common, "hook_event_name": event, **more})


def record(programs, home, events):
    for runtime, event, variables, payload in events:
        env = {**os.environ, **variables}
        hook = [os.path.join(programs, "fdr-hook"), runtime, event, "--home", home]
        subprocess.run(hook, input=payload.encode(), env=env, stdout=subprocess.DEVNULL, check=False)
    subprocess.run([os.path.join(programs, "fdr"), "--home", home, "stop"], stdout=subprocess.DEVNULL, check=True)
    return os.path.join(home, "log")


def main():
    programs = os.path.abspath(sys.argv[1])
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    with tempfile.TemporaryDirectory() as folder:
        logs = [record(programs, os.path.join(folder, "captures"), captured()),
                record(programs, os.path.join(folder, "made-up"), made_up(calls))]
        bench = ["cargo", "run", "-q", "-p", "fdr-log", "--example", "bytes_per_record", "--", *logs]
        subprocess.run(bench, cwd=ROOT, check=True)


main()
