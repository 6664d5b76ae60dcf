// The flight data recorder's plugin for OpenCode, written by `fdr install opencode`.
//
// Each event goes to `fdr-hook` as one JSON text. Before a tool runs its answer is waited for;
// everything else goes in order behind, so that the agent is not slowed, and is flushed at the end.
import { spawn, spawnSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { isAbsolute, join } from "node:path"

const HOOK = "/usr/local/bin/fdr-hook"
const HOME = null

// Until then a gate is asked without going through the event loop, which costs a tenth of the time;
// it stands still meanwhile, so whoever has to think (a person, a recorder that starts) is asked again.
const QUICK_MS = 250
// fdr-hook answers sooner than that whatever happens; one that does not is given up.
const LIMIT_MS = 60000
// So long an event has to be recorded before the next one, or a gate, goes on without it.
const PATIENCE_MS = 2000
// More of a text that is only passed on is cut; the database has it whole.
const MAX_TEXT = 1 << 20

const BUILT_IN = new Set(
  ("invalid question bash read glob grep edit write multiedit patch apply_patch list task webfetch websearch " +
    "codesearch todowrite todoread skill lsp batch execute plan_enter plan_exit StructuredOutput " +
    "list_mcp_resources list_mcp_resource_templates read_mcp_resource").split(" "))

const env = process.env
const folder = () => HOME ?? env.FDR_HOME ?? join(env.XDG_STATE_HOME ?? join(env.HOME ?? "/", ".local/state"), "fdr")
const failsClosed = () => {
  try { return readFileSync(join(folder(), "hook.fail"), "utf8").includes("closed") } catch { return false }
}
const words = (event, more = []) => ["opencode", event, ...(HOME ? ["--home", HOME] : []), ...more]
const digest = (text) => createHash("sha1").update(text).digest("base64")
// JSON can't hold everything that an object can; an image is not worth its size twice.
const json = (value) => JSON.stringify(value, (_, v) =>
  typeof v === "bigint" ? String(v) : typeof v === "string" && v.length > MAX_TEXT ? v.slice(0, MAX_TEXT) + "…" : v)

// Where OpenCode keeps its sessions.
const database = () => {
  const data = join(env.XDG_DATA_HOME ?? join(env.HOME ?? "/", ".local/share"), "opencode")
  const file = env.OPENCODE_DB ? (isAbsolute(env.OPENCODE_DB) ? env.OPENCODE_DB : join(data, env.OPENCODE_DB)) : join(data, "opencode.db")
  return existsSync(file) ? file : undefined
}

// Events that nobody waits for: those not yet handed over, those that are, and the end of the chain.
const waiting = new Map()
const running = new Set()
let tail = Promise.resolve()
let count = 0

const within = (promise, ms) => new Promise((done) => {
  const timer = setTimeout(done, ms)
  promise.then(() => { clearTimeout(timer); done() })
})

const run = (event, text, limit, more) => new Promise((done) => {
  const child = spawn(HOOK, words(event, more), { stdio: ["pipe", "pipe", "ignore"] })
  const timer = setTimeout(() => child.kill("SIGKILL"), limit)
  let stdout = ""
  child.stdout.on("data", (data) => (stdout += data))
  child.stdin.on("error", () => {})
  child.on("error", (error) => { clearTimeout(timer); done({ error: error.message }) })
  child.on("close", (status, signal) => { clearTimeout(timer); done({ status, signal, stdout }) })
  child.stdin.end(text)
})

const runNow = (event, text, limit, more) => {
  const { status, signal, stdout, error } = spawnSync(HOOK, words(event, more), { input: text, timeout: limit, killSignal: "SIGKILL", stdio: ["pipe", "pipe", "ignore"] })
  return { status, signal, stdout: String(stdout ?? ""), error: error?.message, late: error?.code === "ETIMEDOUT" }
}

const handOver = (key) => {
  if (!waiting.has(key)) return Promise.resolve()
  const [event, text] = waiting.get(key)
  waiting.delete(key)
  const one = run(event, text, LIMIT_MS).catch(() => {}).finally(() => running.delete(one))
  running.add(one)
  return one
}

const send = (event, payload) => {
  const key = ++count
  waiting.set(key, [event, json(payload)])
  tail = tail.then(() => within(handOver(key), PATIENCE_MS))
}

// All that was sent is recorded, or spooled, when this is done.
const flush = async () => {
  await within(tail, PATIENCE_MS)
  for (const key of [...waiting.keys()]) handOver(key)
  await Promise.all(running)
}

// Where nothing is disposed of before the process ends, what is left can't be waited for.
process.on("exit", () => {
  for (const [key, [event, text]] of waiting) { waiting.delete(key); runNow(event, text, LIMIT_MS) }
})

// Asks whether a tool may run; throws the reason if not.
const ask = async (event, payload) => {
  await within(tail, PATIENCE_MS)
  const text = json(payload)
  // By its name the recorder knows an event that comes again.
  const named = ["--source", randomBytes(16).toString("hex")]
  let answer = runNow(event, text, QUICK_MS, named)
  if (answer.late) answer = await run(event, text, LIMIT_MS, named)
  let told
  try { told = answer.stdout?.trim() ? JSON.parse(answer.stdout) : {} } catch { /* below */ }
  if (told?.decision === "deny") throw new Error(String(told.reason ?? "denied"))
  if (told && (answer.status === 0 || answer.status === 1)) return
  if (failsClosed()) {
    const how = answer.error ?? (answer.signal ? `was ended by ${answer.signal}` : told ? `ended with status ${answer.status}` : "gave no answer that can be read")
    throw new Error(`fdr (enforce): denied, because fdr-hook failed: ${how}`)
  }
}

// Set up twice (for the user and for the project), a folder's events are told once.
const taken = (globalThis[Symbol.for("fdr.opencode")] ??= new Set())

export const FlightRecorder = async ({ client, directory }) => {
  if (taken.has(directory)) return {}
  taken.add(directory)

  let servers = []
  // By session: what is known of it, and what its model was told.
  const sessions = new Map()
  // By call: what was asked for, and which text came of it.
  const calls = new Map()
  const requests = new Map()
  // Of which message of the model's a call is a part.
  const turns = new Map()
  // `opencode run` has nobody to ask.
  const headless = process.argv.slice(2).find((word) => !word.startsWith("-")) === "run"

  const tell = (event, sessionID, more) => send(event, about(sessionID, more))
  const about = (sessionID, more) => {
    const { agent, model, prompt, parent } = sessions.get(sessionID) ?? {}
    return { sessionID, directory, agent, model, promptID: prompt, parentID: parent, ...more }
  }
  const model = (of) => of && `${of.providerID ?? ""}/${of.modelID ?? of.id ?? ""}`

  // The name of an MCP tool has its server's in front; which part that is only the settings tell.
  const split = (tool) => {
    if (BUILT_IN.has(tool)) return undefined
    const server = servers.filter(({ key }) => tool.startsWith(key + "_")).sort((a, b) => b.key.length - a.key.length)[0]
    return server && { server: server.name, tool: tool.slice(server.key.length + 1) }
  }

  const begin = (event, info) => {
    const known = { seen: new Map(), agent: info.agent, model: model(info.model), parent: info.parentID, resumed: event === "session.started" }
    sessions.set(info.id, known)
    const task = info.parentID && [...calls].find(([, call]) =>
      call.tool === "task" && call.sessionID === info.parentID && !call.child && info.title === `${call.args?.description} (@${call.args?.subagent_type} subagent)`)
    if (task) task[1].child = info.id
    const mcp = servers.map(({ name }) => name)
    tell(event, info.id, { info, mcp, database: database(), task: task && { sessionID: info.parentID, callID: task[0] } })
    return known
  }

  // A session that was begun by another process is not created again.
  const known = async (sessionID) => {
    if (sessions.has(sessionID)) return sessions.get(sessionID)
    let info
    try { info = (await client.session.get({ path: { id: sessionID } })).data } catch { /* it goes without */ }
    return sessions.get(sessionID) ?? begin("session.started", info ?? { id: sessionID })
  }

  // Whether a text is another one than the model was shown, or was known to be, under that name.
  const isNew = (sessionID, key, text) => {
    const { seen } = sessions.get(sessionID) ?? { seen: new Map() }
    const now = digest(text)
    if (seen.get(key) === now) return false
    seen.set(key, now)
    return true
  }

  const shown = (part) => {
    if (part.type === "text" || part.type === "reasoning") return part.text
    if (part.type !== "tool") return undefined
    if (part.state?.time?.compacted) return "[Old tool result content cleared]"
    return part.state?.status === "completed" ? part.state.output : part.state?.error
  }

  const events = {
    "session.created": ({ info }) => { if (!sessions.has(info.id)) begin("session.created", info) },
    "session.idle": ({ sessionID }) => tell("session.idle", sessionID, {}),
    "session.error": (p) => tell("session.error", p.sessionID, { properties: p }),
    "session.compacted": (p) => tell("session.compacted", p.sessionID, { properties: p }),
    "session.deleted": (p) => {
      const id = p.sessionID ?? p.info?.id
      if (!sessions.has(id)) return
      tell("session.deleted", id, { properties: p })
      sessions.delete(id)
    },
    "permission.asked": (p) => {
      const call = calls.get(p.tool?.callID)
      const about = { callID: p.tool?.callID, tool: call?.tool ?? p.permission, args: call?.args ?? p.metadata, mcp: call?.mcp }
      requests.set(p.id, about)
      tell("permission.asked", p.sessionID, { properties: p, call: about })
    },
    "permission.replied": (p) => {
      const call = requests.get(p.requestID ?? p.permissionID)
      requests.delete(p.requestID ?? p.permissionID)
      tell("permission.replied", p.sessionID, { properties: p, call, headless })
    },
    "message.updated": ({ info }) => {
      const session = sessions.get(info.sessionID)
      if (session && info.role === "assistant") Object.assign(session, { agent: info.agent ?? session.agent, model: model(info) })
    },
    "message.part.updated": ({ part }) => {
      const session = sessions.get(part.sessionID)
      const state = part.state
      if (!session || part.type !== "tool") return
      if (state?.status !== "completed" && state?.status !== "error") { turns.set(part.callID, part.messageID); return }
      turns.delete(part.callID)
      const call = calls.get(part.callID) ?? calls.get(part.id)
      calls.delete(part.callID)
      calls.delete(part.id)
      const text = shown(part) ?? ""
      isNew(part.sessionID, part.id, text)
      if (state.status === "completed" && call?.text === text) return
      tell("message.part.updated", part.sessionID, { part, mcp: call?.mcp ?? split(part.tool), before: Boolean(call), headless })
    },
  }

  return {
    config: async (config) => {
      servers = Object.keys(config.mcp ?? {}).map((name) => ({ name, key: name.replace(/[^a-zA-Z0-9_-]/g, "_") }))
    },
    event: async ({ event }) => {
      try { events[event.type]?.(event.properties ?? {}) } catch { /* nothing of OpenCode's may break by this */ }
    },
    "chat.message": async (input, output) => {
      try {
        const session = await known(input.sessionID)
        const { message, parts } = output
        Object.assign(session, { agent: message.agent ?? session.agent, model: model(message.model) ?? session.model, prompt: message.id })
        for (const part of parts) if (part.type === "text") isNew(input.sessionID, part.id, part.text)
        tell("chat.message", input.sessionID, { message, parts })
      } catch { /* the same */ }
    },
    "command.execute.before": async (input, output) => {
      try { await known(input.sessionID); tell("command.execute.before", input.sessionID, { input, output }) } catch { /* the same */ }
    },
    "experimental.text.complete": async (input, output) => {
      try {
        isNew(input.sessionID, input.partID, output.text)
        tell("experimental.text.complete", input.sessionID, { messageID: input.messageID, text: output.text })
      } catch { /* the same */ }
    },
    "experimental.session.compacting": async (input, output) => {
      try { tell("experimental.session.compacting", input.sessionID, { output }) } catch { /* the same */ }
    },
    "experimental.chat.system.transform": async (input, output) => {
      try {
        if (!input.sessionID) return
        await known(input.sessionID)
        const text = output.system.join("\n\n")
        if (isNew(input.sessionID, `system:${digest(text)}`, text)) tell("experimental.chat.system.transform", input.sessionID, { text })
      } catch { /* the same */ }
    },
    "experimental.chat.messages.transform": async (_, output) => {
      try {
        const sessionID = output.messages.at(-1)?.info.sessionID
        const session = sessions.get(sessionID)
        if (!session) return
        const fresh = []
        for (const { info, parts } of output.messages)
          for (const part of parts) {
            const text = shown(part)
            if (!text || !isNew(sessionID, part.id, text) || part.type === "reasoning") continue
            fresh.push({ messageID: info.id, partID: part.id, role: info.role, type: part.type, callID: part.callID, text })
          }
        // What was said before in a session that goes on is in its transcript.
        const told = session.resumed ? fresh.filter(({ messageID }) => messageID === session.prompt) : fresh
        session.resumed = false
        if (told.length) tell("experimental.chat.messages.transform", sessionID, { shown: told })
      } catch { /* the same */ }
    },
    "tool.execute.before": async (input, output) => {
      await known(input.sessionID)
      const { tool, sessionID, callID } = input
      const call = { tool, sessionID, args: output.args, mcp: split(tool) }
      calls.set(callID, call)
      await ask("tool.execute.before", about(sessionID, { callID, messageID: turns.get(callID), tool, args: output.args, mcp: call.mcp }))
      call.start = performance.now()
    },
    "tool.execute.after": async (input, output) => {
      try {
        const { tool, sessionID, callID, args } = input
        const call = calls.get(callID)
        const durationMs = call?.start === undefined ? undefined : Math.round(performance.now() - call.start)
        if (call) call.text = output?.output ?? output?.content?.filter(({ type }) => type === "text").map(({ text }) => text).join("\n\n")
        tell("tool.execute.after", sessionID, { callID, messageID: turns.get(callID), tool, args, mcp: call?.mcp ?? split(tool), durationMs, output })
        // Of a call that code made no part of a message tells.
        if (callID?.includes("/")) calls.delete(callID)
      } catch { /* the same */ }
    },
    dispose: async () => {
      for (const [id, { parent }] of sessions) if (!parent) tell("session.ended", id, {})
      sessions.clear()
      taken.delete(directory)
      await flush()
    },
  }
}
