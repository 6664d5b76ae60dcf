// Gives the events of OpenClaw to the flight data recorder. Written by `fdr install openclaw`.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";

const HOOK = {};

// Shorter than what `before_tool_call` is given, so that the answer is ours.
const LIMIT_MS = HOOK.limit_s * 1000;
// How long the recorder may take where nobody has to be asked.
const ANSWER_MS = 3000;
// For how long a recorder that did not answer is left to `fdr-hook`.
const SILENT_MS = 60000;

// OpenClaw loads a plug-in more than once; what is known of the sessions is one.
const kept = (globalThis[Symbol.for("fdr.openclaw")] ??= {
  // Session key -> what later events of the session don't tell again.
  sessions: new Map(),
  // Session key of a sub-agent -> the session that started it, and by which call.
  parents: new Map(),
  // Session key -> its calls of `sessions_spawn` that are under way.
  spawning: new Map(),
  // Session id -> the end of what is being recorded of it: events go in the order in which they came.
  tails: new Map(),
  // Ids of the sessions that were begun here and did not end.
  begun: new Set(),
  silentUntil: 0,
  isGateway: false,
});
const { sessions, parents, spawning, tails, begun } = kept;
const MAX_KEPT = 4096;

let runtime;

function keep(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_KEPT) map.delete(map.keys().next().value);
  return value;
}

function home() {
  const state = process.env.XDG_STATE_HOME || join(homedir(), ".local", "state");
  return HOOK.home || process.env.FDR_HOME || join(state, "fdr");
}

function failsClosed() {
  try {
    return readFileSync(join(home(), "hook.fail"), "utf8").trim() === "closed";
  } catch {
    return false;
  }
}

function number(bytes, value) {
  const out = Buffer.alloc(bytes);
  out.writeUIntLE(value, 0, Math.min(bytes, 6));
  return out;
}

function text(value) {
  const bytes = Buffer.from(value ?? "", "utf8");
  return [number(4, bytes.length), bytes];
}

// The message of an event as `fdr-hook` would send it (crates/hook/src/wire.rs).
function frame(name, payload, source) {
  const body = Buffer.concat([
    number(1, 0),
    ...text("openclaw"),
    ...text(name),
    source,
    number(8, 0),
    number(8, 0),
    ...text(process.cwd()),
    ...text(homedir()),
    number(4, 0),
    ...text(payload),
  ]);
  return Buffer.concat([Buffer.from("FDR1"), number(4, body.length), body]);
}

// Gives an event to the recorder itself: to start a process out of one as large as this takes tens of
// milliseconds. Ends with nothing whatever goes wrong; `fdr-hook` then knows what to do.
function send(name, payload, source) {
  return new Promise((done) => {
    let read = Buffer.alloc(0);
    const socket = connect(join(home(), "fdr.sock"));
    let timer = setTimeout(() => {
      kept.silentUntil = Date.now() + SILENT_MS;
      end();
    }, ANSWER_MS);
    const end = (answer) => {
      clearTimeout(timer);
      socket.destroy();
      done(answer);
    };
    socket.on("error", () => end());
    socket.on("close", () => end());
    socket.on("data", (data) => {
      read = Buffer.concat([read, data]);
      try {
        while (read.length >= 8 && read.length >= 8 + read.readUInt32LE(4)) {
          if (read.toString("latin1", 0, 4) !== "FDR1") return end();
          const body = read.subarray(8, 8 + read.readUInt32LE(4));
          read = read.subarray(8 + body.length);
          const waiting = body.readUInt32LE(1);
          if (waiting > 0) {
            // A person has to decide first.
            clearTimeout(timer);
            timer = setTimeout(() => end(), (waiting + 5) * 1000);
            continue;
          }
          if (body[0] !== 1) return end();
          const out = body.toString("utf8", 22, 22 + body.readUInt32LE(18)).trim();
          return end(out ? JSON.parse(out) : {});
        }
      } catch {
        return end();
      }
    });
    socket.write(frame(name, payload, source));
  });
}

async function call(name, payload) {
  // The beginning of a session is told by a process, which starts the recorder and knows where it runs.
  const source = randomBytes(16);
  const byProcess = name === "session_start" || Date.now() < kept.silentUntil;
  const answer = byProcess ? undefined : await send(name, payload, source);
  return answer ?? run(name, payload, source);
}

// What `fdr-hook` answers. It has a deadline and a failure mode of its own; what is left is that it
// can't run, or is killed.
function run(name, payload, source) {
  return new Promise((done) => {
    const failed = (why) =>
      done(failsClosed() ? { decision: "deny", reason: `fdr (enforce): denied, because fdr-hook ${why}` } : {});
    // The same name of the message: if the recorder took it in after all, it is recorded once.
    const words = ["openclaw", name, "--source", source.toString("hex")];
    if (HOOK.home) words.push("--home", HOOK.home);
    let child;
    try {
      child = spawn(HOOK.program, words, { stdio: ["pipe", "pipe", "ignore"], windowsHide: true });
    } catch (error) {
      return failed(`can't run: ${error.message}`);
    }
    const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS - 2000);
    timer.unref();
    const out = [];
    child.stdout.on("data", (data) => out.push(data));
    child.stdin.on("error", () => {});
    child.on("error", (error) => (clearTimeout(timer), failed(`can't run: ${error.message}`)));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === null || code > 2) return failed(`ended with ${signal ?? `status ${code}`}`);
      const answer = Buffer.concat(out).toString("utf8").trim();
      if (!answer) return code === 2 ? failed("denied without a word") : done({});
      try {
        done(JSON.parse(answer));
      } catch {
        failed("answered what can't be read");
      }
    });
    child.stdin.end(payload);
  });
}

function modelOf(ctx) {
  return ctx.modelId ? [ctx.modelProviderId, ctx.modelId].filter(Boolean).join("/") : undefined;
}

function transcriptOf(agentId, sessionId) {
  try {
    const folder = runtime.agent.resolveAgentDir(runtime.config.current(), agentId);
    return `${join(folder, "openclaw-agent.sqlite")}#${sessionId}`;
  } catch {
    return undefined;
  }
}

function workspaceOf(agentId) {
  try {
    return runtime.agent.resolveAgentWorkspaceDir(runtime.config.current(), agentId);
  } catch {
    return undefined;
  }
}

// What is known of the session that an event belongs to.
function sessionOf(event, ctx) {
  const key = ctx.sessionKey ?? event.sessionKey ?? ctx.sessionId ?? event.sessionId ?? "openclaw";
  const known = sessions.get(key) ?? {};
  const id = ctx.sessionId ?? event.sessionId ?? known.id ?? key;
  const agent = ctx.agentId ?? known.agent ?? "main";
  return keep(sessions, key, {
    key,
    id,
    agent,
    cwd: ctx.workspaceDir ?? known.cwd ?? workspaceOf(agent),
    model: modelOf(ctx) ?? known.model,
    trigger: ctx.trigger ?? known.trigger,
    provenance: ctx.runId && ctx.trigger ? ctx.inputProvenance?.kind : known.provenance,
    transcript: known.id === id ? known.transcript : transcriptOf(agent, id),
    parent: parents.get(key),
    prompted: known.prompted,
  });
}

function payloadOf(session, event, ctx) {
  return JSON.stringify({
    session_id: session.id,
    session_key: session.key,
    agent_id: session.agent,
    run_id: event.runId ?? ctx.runId,
    version: runtime?.version,
    cwd: session.cwd,
    model: session.model,
    trigger: session.trigger,
    provenance: session.provenance,
    requester: ctx.requester,
    transcript: session.transcript,
    parent: session.parent,
    event,
  });
}

// Behind everything of the session that is under way; the returned promise ends when it is recorded.
function tell(session, name, event, ctx) {
  const payload = payloadOf(session, event, ctx);
  const tail = (tails.get(session.id) ?? Promise.resolve()).then(() => call(name, payload));
  return keep(tails, session.id, tail);
}

function begin(session, event, ctx) {
  if (begun.has(session.id)) return;
  begun.add(session.id);
  tell(session, "session_start", event, ctx);
}

const BARE = {};

// Each says what is told of an event: nothing, or the event with what is too much left out.
const EVENTS = {
  session_start: (event, ctx, session) => begin(session, event, ctx),
  session_end(event, ctx, session) {
    // A sub-agent that could not be started has an end and nothing else.
    if (!begun.delete(session.id) && !event.messageCount) return undefined;
    return tell(session, "session_end", event, ctx);
  },
  before_agent_run(event, ctx, session) {
    begin(session, BARE, ctx);
    // Waited for: OpenClaw stores what is asked next, and the transcript shall not be heard of first.
    return tell(session, "before_agent_run", { prompt: event.prompt, senderIsOwner: event.senderIsOwner }, ctx);
  },
  llm_input(event, ctx, session) {
    // What it is told to be is the same at every turn, as a rule.
    if (!event.systemPrompt || session.prompted === event.systemPrompt) return;
    session.prompted = event.systemPrompt;
    tell(session, "llm_input", { systemPrompt: event.systemPrompt, provider: event.provider }, ctx);
  },
  after_tool_call(event, ctx, session) {
    if (event.toolName === "sessions_spawn") spawning.get(session.key)?.delete(event.toolCallId);
    tell(session, "after_tool_call", event, ctx);
  },
  agent_end({ messages, ...event }, ctx, session) {
    const last = messages?.findLast?.((message) => message.role === "assistant");
    const texts = Array.isArray(last?.content) ? last.content.map((part) => part.text ?? "") : [last?.content];
    const told = tell(session, "agent_end", { ...event, lastAssistantMessage: texts.join("") }, ctx);
    // A turn without the Gateway has no event at its end, and the process ends with it.
    if (kept.isGateway || !begun.delete(session.id)) return told;
    return tell(session, "session_end", { reason: "turn" }, ctx);
  },
  before_compaction: ({ messages, ...event }, ctx, session) => tell(session, "before_compaction", event, ctx),
  after_compaction: ({ messages, ...event }, ctx, session) => tell(session, "after_compaction", event, ctx),
  before_reset: ({ messages, ...event }, ctx, session) => tell(session, "before_reset", event, ctx),
};

function onSubagentSpawned(event, ctx) {
  const key = ctx.requesterSessionKey ?? event.requesterSessionKey;
  const id = sessions.get(key)?.id;
  if (!event.childSessionKey || !id) return;
  const calls = [...(spawning.get(key) ?? [])];
  // Of several that are under way nothing tells which one it was.
  keep(parents, event.childSessionKey, { session_id: id, call: calls.length === 1 ? calls[0] : undefined });
}

function onSubagentEnded(event, ctx) {
  const session = sessions.get(event.targetSessionKey);
  if (!session) return;
  begun.delete(session.id);
  return tell(session, "subagent_ended", event, ctx);
}

async function beforeToolCall(event, ctx) {
  const session = sessionOf(event, ctx);
  begin(session, BARE, ctx);
  if (event.toolName === "sessions_spawn") {
    const calls = spawning.get(session.key) ?? keep(spawning, session.key, new Set());
    calls.add(event.toolCallId);
  }
  // Behind what was told before, but beside other calls: one of them may wait for a person.
  await tails.get(session.id);
  const answer = await call("before_tool_call", payloadOf(session, event, ctx));
  if (answer?.decision !== "deny") return undefined;
  return { block: true, blockReason: answer.reason ?? "fdr (enforce): denied" };
}

// OpenClaw runs no tool when a hook of this kind throws; whether that is wanted is said elsewhere.
function gate(event, ctx) {
  return beforeToolCall(event, ctx).catch((error) =>
    failsClosed() ? { block: true, blockReason: `fdr (enforce): denied, because of ${error.message}` } : undefined,
  );
}

export default {
  id: "fdr",
  name: "fdr",
  description: "Flight data recorder: records every event and asks before every tool call.",
  register(api) {
    runtime = api.runtime ?? runtime;
    // First, and with the last word: a tool that another plug-in refuses is heard of all the same.
    api.on("before_tool_call", gate, { priority: 1000, timeoutMs: LIMIT_MS });
    for (const [name, handle] of Object.entries(EVENTS)) {
      const heard = (event, ctx = {}) => {
        try {
          // What is awaited has no answer that OpenClaw could read.
          return handle(event, ctx, sessionOf(event, ctx))?.then(() => undefined);
        } catch {
          return undefined;
        }
      };
      // A run is not started if this one takes too long.
      const limit = name === "before_agent_run" ? { timeoutMs: LIMIT_MS } : {};
      api.on(name, heard, { priority: 1000, ...limit });
    }
    api.on("subagent_spawned", (event, ctx) => onSubagentSpawned(event, ctx ?? {}));
    api.on("subagent_ended", (event, ctx) => onSubagentEnded(event, ctx ?? {}));
    api.on("gateway_start", () => {
      kept.isGateway = true;
    });
  },
};
