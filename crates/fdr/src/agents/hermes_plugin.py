"""Gives every event of Hermes Agent to fdr-hook, and does not let a tool run that fdr denies.

Written by `fdr install hermes`, taken away by `fdr uninstall hermes`. Only the standard library is
needed. Hermes runs a tool whose hook raised an error, so nothing here may: where fdr-hook can't
answer, the file hook.fail in the recorder's folder says whether the tool runs.
"""

import atexit
import json
import logging
import os
import subprocess
import threading
import time
from collections import OrderedDict

FDR_HOOK = "fdr-hook"
FDR_HOME = None

GATE = "pre_tool_call"
EVENTS = (
    "on_session_start",
    "pre_llm_call",
    "pre_api_request",
    "post_api_request",
    "api_request_error",
    GATE,
    "post_tool_call",
    "pre_approval_request",
    "post_approval_response",
    "subagent_start",
    "subagent_stop",
    "on_session_end",
    "on_session_finalize",
    "on_session_reset",
)
# fdr-hook ends by itself before these are over; they are for one that is stopped from outside.
GATE_LIMIT_S = 330
LIMIT_S = 30
# How long the next event waits for the ones before.
PATIENCE_S = 2
# The longest text that is passed on of an image or another file inside a message, in characters.
MAX_DATA_URL = 4096
# Told anew with every request, or of no use to the trail.
LEFT_OUT = {
    "conversation_history", "request", "assistant_message", "telemetry_schema_version",
    # These stand beside the rest.
    "args", "tool_name", "session_id",
}
MAX_REMEMBERED = 1024

log = logging.getLogger("fdr")
sessions = OrderedDict()  # task id -> session id
delegations = OrderedDict()  # call id of delegate_task -> (session id, goals)
prompts = OrderedDict()  # session id -> hash of the system prompt that was passed on
facts = {}
in_order = threading.Lock()  # guards under_way
under_way = []  # events that are being recorded: name, fdr-hook, since when


def register(ctx):
    """Called by Hermes once."""
    atexit.register(_settle, LIMIT_S)
    facts["version"] = _try(_version)
    facts["database"] = _try(_database)
    for event in EVENTS:
        ctx.register_hook(event, _callback(event))


def _callback(event):
    def callback(**kwargs):
        try:
            return _tell(event, kwargs)
        except Exception as error:
            return _failed(event, f"{type(error).__name__}: {error}")

    return callback


def _tell(event, kwargs):
    payload = json.dumps(_payload(event, kwargs), ensure_ascii=False, default=_other)
    payload = payload.encode("utf-8", "replace")
    command = [FDR_HOOK, "hermes", event] + (["--home", FDR_HOME] if FDR_HOME else [])
    with in_order:
        _settle(PATIENCE_S)
        if event != GATE:
            # Hermes goes on while this one is recorded; the next event waits for it.
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            under_way.append((event, child, time.monotonic()))
            with child.stdin as pipe:
                pipe.write(payload)
            return None
    done = subprocess.run(command, input=payload, capture_output=True, timeout=GATE_LIMIT_S)
    _say(done.stderr)
    if done.returncode == 2:
        return _block(done.stderr.decode("utf-8", "replace").strip() or "denied")
    if done.returncode not in (0, 1):
        return _failed(event, f"fdr-hook failed with status {done.returncode}")
    if not done.stdout.strip():
        return None
    answer = json.loads(done.stdout)
    if answer.get("decision") in ("block", "deny"):
        return _block(str(answer.get("reason") or "denied"))
    return _failed(event, "fdr-hook gave an answer that is not known")


def _settle(patience):
    """Waits for the events before: what happened later should not be recorded earlier. While no recorder
    answers, fdr-hook takes its time; then the agent goes on, and the event comes late."""
    for event, child, start in under_way[:]:
        try:
            child.stdin = None  # It is closed.
            _say(child.communicate(timeout=max(0.01, start + patience - time.monotonic()))[1])
        except subprocess.TimeoutExpired:
            if time.monotonic() < start + LIMIT_S:
                continue
            child.kill()
            log.warning("fdr: event %s may not be recorded: no answer in %s s", event, LIMIT_S)
        except Exception as error:
            log.warning("fdr: event %s may not be recorded: %s", event, error)
        under_way.remove((event, child, start))


def _say(stderr):
    if stderr:
        log.warning("%s", stderr.decode("utf-8", "replace").strip()[:2000])


def _block(reason):
    return {"action": "block", "message": reason}


def _failed(event, why):
    log.warning("fdr: event %s is not recorded: %s", event, why)
    if event == GATE and _fails_closed():
        return _block(f"fdr (enforce): denied, because it can't be recorded: {why}")
    return None


def _fails_closed():
    """The same as in fdr-hook: what can't be read beside a folder that enforces denies."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    home = FDR_HOME or os.environ.get("FDR_HOME") or os.path.join(state, "fdr")
    try:
        with open(os.path.join(home, "hook.fail"), encoding="utf-8") as file:
            return file.read().strip() == "closed"
    except OSError:
        pass
    try:
        with open(os.path.join(home, "config.toml"), encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except OSError:
        return False
    return any(("enforce" in line or "closed" in line) and not line.startswith("#") for line in lines)


def _payload(event, kwargs):
    task, session = kwargs.get("task_id") or "", kwargs.get("session_id") or ""
    if session and task:
        _remember(sessions, task, session)
    extra = {key: value for key, value in kwargs.items() if key not in LEFT_OUT}
    extra.update((key, value) for key, value in facts.items() if value and key not in extra)
    if event == "pre_llm_call":
        # Looked at once in a turn.
        facts["approval_mode"] = _try(_approval_mode)
    elif event == "pre_api_request":
        extra["request_messages"] = _new_messages(session, kwargs.get("request_messages") or [])
    elif event == GATE and kwargs.get("tool_name") == "delegate_task":
        args = kwargs.get("args") or {}
        goals = [task.get("goal") for task in args.get("tasks") or [] if isinstance(task, dict)]
        _remember(delegations, kwargs.get("tool_call_id"), (session, [args.get("goal"), *goals]))
    elif event == "subagent_start":
        extra["tool_call_id"] = _delegated_by(kwargs.get("parent_session_id"), kwargs.get("child_goal"))
    return {
        "hook_event_name": event,
        "tool_name": kwargs.get("tool_name"),
        "tool_input": kwargs.get("args"),
        # A program of execute_code calls tools by the task alone.
        "session_id": session or kwargs.get("parent_session_id") or sessions.get(task, ""),
        "cwd": _cwd(task),
        "extra": extra,
    }


def _new_messages(session, messages):
    """What the model has not said itself or been given before."""
    begin = max((at for at, one in enumerate(messages) if _role(one) == "assistant"), default=-1) + 1
    new = messages[begin:]
    system = [one for one in messages if _role(one) in ("system", "developer")]
    new = [one for one in new if one not in system]
    told = hash(json.dumps(system, default=str))
    if prompts.get(session) == told:
        system = []
    _remember(prompts, session, told)
    return [_without_files(one) for one in system + new]


def _role(message):
    return message.get("role") if isinstance(message, dict) else None


def _without_files(value):
    if isinstance(value, dict):
        return {key: _without_files(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_files(one) for one in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > MAX_DATA_URL:
        return f"{value[:64]}… ({len(value)} characters)"
    return value


def _delegated_by(session, goal):
    for call, (parent, goals) in reversed(delegations.items()):
        if parent == session and goal in goals:
            return call
    return None


def _remember(known, key, value):
    known[key] = value
    known.move_to_end(key)
    while len(known) > MAX_REMEMBERED:
        known.popitem(last=False)


def _cwd(task):
    """Where a relative path of this task counts from."""

    def of_hermes():
        from tools.file_tools import _resolve_base_dir

        return str(_resolve_base_dir(task or "default"))

    return _try(of_hermes) or _try(os.getcwd) or ""


def _version():
    from importlib.metadata import version

    return version("hermes-agent")


def _database():
    from hermes_constants import get_hermes_home

    return str(get_hermes_home() / "state.db")


def _approval_mode():
    from tools import approval

    return "yolo" if approval._YOLO_MODE_FROZEN else approval._get_approval_mode()


def _try(look):
    """What is found, or nothing: these come from inside Hermes, another version may not have them."""
    try:
        return look()
    except Exception:
        return None


def _other(value):
    return repr(value)[:300]
