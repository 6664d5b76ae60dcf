//! The protocols in which agents talk to a model: what a request says, and a turn in the form of
//! its answer, at once or as a stream of events.

use super::Call;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Anthropic Messages: Claude Code.
    Messages,
    /// OpenAI Responses: Codex.
    Responses,
    /// OpenAI Chat Completions: Hermes, OpenCode, OpenClaw.
    Chat,
    /// Gemini generateContent: Gemini CLI.
    Gemini,
}

/// What matters of a request.
#[derive(Default)]
pub struct Asked {
    /// The system prompt and what the user said, without results of tools.
    pub told: Vec<String>,
    /// Results of tool calls by the calls' ids, the newest last.
    pub results: Vec<(String, String)>,
    /// How often the model has had its turn; one turn may be several messages in a row.
    pub turns: usize,
    pub has_tools: bool,
}

/// The model's turn.
#[derive(Default)]
pub struct Said {
    pub thinking: Option<String>,
    pub text: Option<String>,
    pub calls: Vec<Call>,
}

impl Protocol {
    /// The one that is spoken at a path.
    pub fn of(path: &str) -> Option<Protocol> {
        Some(match path {
            path if path.ends_with("/messages") => Protocol::Messages,
            path if path.ends_with("/responses") => Protocol::Responses,
            path if path.ends_with("/chat/completions") => Protocol::Chat,
            path if path.ends_with("enerateContent") => Protocol::Gemini,
            _ => return None,
        })
    }

    pub fn id_prefix(self) -> &'static str {
        if self == Protocol::Messages { "toolu" } else { "call" }
    }

    pub fn streams(self, path: &str, request: &Value) -> bool {
        if self == Protocol::Gemini { path.contains(":stream") } else { request["stream"] == true }
    }

    pub fn read(self, request: &Value) -> Asked {
        let tools = request["tools"].as_array();
        let mut asked = Asked { has_tools: tools.is_some_and(|tools| !tools.is_empty()), ..Asked::default() };
        let (system, messages) = match self {
            Protocol::Messages => ("system", "messages"),
            Protocol::Responses => ("instructions", "input"),
            Protocol::Chat => ("", "messages"),
            Protocol::Gemini => ("systemInstruction", "contents"),
        };
        asked.told.push(text_of(&request[system]));
        let mut is_models = Vec::new();
        for message in request[messages].as_array().into_iter().flatten() {
            is_models.push(match self {
                Protocol::Messages | Protocol::Gemini => asked.take_message(message),
                Protocol::Responses => asked.take_item(message),
                Protocol::Chat => asked.take_chat(message),
            });
        }
        asked.turns = is_models.chunk_by(|a, b| a == b).filter(|run| run[0]).count();
        asked
    }

    /// The whole answer in one piece.
    pub fn whole(self, request: &Value, name: &str, said: &Said) -> Value {
        let model = request["model"].as_str().unwrap_or("mock-1");
        match self {
            Protocol::Messages => message(model, name, said),
            Protocol::Responses => response(model, name, &items(name, said)),
            Protocol::Chat => completion(model, name, said),
            Protocol::Gemini => candidates(name, said),
        }
    }

    /// The answer as the text of a stream of events.
    pub fn stream(self, request: &Value, name: &str, said: &Said) -> String {
        let whole = self.whole(request, name, said);
        match self {
            Protocol::Messages => named_events(&message_events(whole)),
            Protocol::Responses => named_events(&response_events(whole, &items(name, said))),
            Protocol::Chat => completion_events(whole) + "data: [DONE]\n\n",
            Protocol::Gemini => format!("data: {whole}\n\n"),
        }
    }
}

impl Asked {
    /// A message of Anthropic's or Gemini's; whether it is the model's.
    fn take_message(&mut self, message: &Value) -> bool {
        if matches!(message["role"].as_str(), Some("assistant" | "model")) {
            return true;
        }
        let parts = message.get("content").or(message.get("parts")).unwrap_or(&Value::Null);
        let Some(parts) = parts.as_array() else {
            self.told.push(text_of(parts));
            return false;
        };
        for part in parts {
            let response = &part["functionResponse"];
            if part["type"] == "tool_result" {
                self.came(&part["tool_use_id"], text_of(&part["content"]));
            } else if response.is_object() {
                self.came(&response["id"], text_of(&response["response"]));
            } else {
                self.told.push(text_of(part));
            }
        }
        false
    }

    /// An item of the Responses protocol.
    fn take_item(&mut self, item: &Value) -> bool {
        match item["type"].as_str().unwrap_or("message") {
            "message" if item["role"] == "assistant" => true,
            "message" => {
                self.told.push(text_of(&item["content"]));
                false
            }
            kind if kind.ends_with("_output") => {
                self.came(&item["call_id"], text_of(&item["output"]));
                false
            }
            _ => true,
        }
    }

    fn take_chat(&mut self, message: &Value) -> bool {
        let text = text_of(&message["content"]);
        match message["role"].as_str() {
            Some("assistant") => return true,
            Some("tool") => self.came(&message["tool_call_id"], text),
            _ => self.told.push(text),
        }
        false
    }

    fn came(&mut self, id: &Value, text: String) {
        self.results.push((id.as_str().unwrap_or_default().to_owned(), text));
    }
}

/// All text in a message's or a system prompt's content, whatever its form.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        Value::Object(part) => {
            let holds =
                ["text", "content", "parts", "output", "error"].iter().find_map(|name| part.get(*name));
            holds.map(text_of).unwrap_or_else(|| content.to_string())
        }
        _ => String::new(),
    }
}

/// Events that are named by their own type.
fn named_events(events: &[Value]) -> String {
    let event =
        |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
    events.iter().map(event).collect()
}

// ---- Anthropic Messages

fn message(model: &str, name: &str, said: &Said) -> Value {
    let mut content = Vec::new();
    if let Some(thinking) = &said.thinking {
        content.push(json!({"type": "thinking", "thinking": thinking, "signature": "c2lnbmVk"}));
    }
    if let Some(text) = &said.text {
        content.push(json!({"type": "text", "text": text}));
    }
    for call in &said.calls {
        content.push(json!({"type": "tool_use", "id": call.id, "name": call.tool, "input": call.args}));
    }
    json!({
        "id": format!("msg_{name}"), "type": "message", "role": "assistant", "model": model,
        "content": content, "stop_reason": if said.calls.is_empty() { "end_turn" } else { "tool_use" },
        "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 20,
                  "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    })
}

fn message_events(mut message: Value) -> Vec<Value> {
    let stop = message["stop_reason"].take();
    let Value::Array(content) = message["content"].take() else { unreachable!("made above") };
    message["content"] = json!([]);
    let mut events = vec![json!({"type": "message_start", "message": message})];
    for (index, block) in content.into_iter().enumerate() {
        let (start, deltas) = in_pieces(block);
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
                       "usage": {"output_tokens": 20}}));
    events.push(json!({"type": "message_stop"}));
    events
}

/// A content block as a stream gives it: empty first, then what it is made of.
fn in_pieces(mut block: Value) -> (Value, Vec<Value>) {
    let kind = block["type"].as_str().unwrap_or_default().to_owned();
    let deltas = match kind.as_str() {
        "text" => vec![json!({"type": "text_delta", "text": block["text"].take()})],
        "thinking" => vec![
            json!({"type": "thinking_delta", "thinking": block["thinking"].take()}),
            json!({"type": "signature_delta", "signature": block["signature"].take()}),
        ],
        _ => vec![json!({"type": "input_json_delta", "partial_json": block["input"].take().to_string()})],
    };
    match kind.as_str() {
        "text" => block["text"] = json!(""),
        "thinking" => {
            block["thinking"] = json!("");
            block["signature"] = json!("");
        }
        _ => block["input"] = json!({}),
    }
    (block, deltas)
}

// ---- OpenAI Responses

fn items(name: &str, said: &Said) -> Vec<Value> {
    let mut items = Vec::new();
    if let Some(thinking) = &said.thinking {
        items.push(json!({"type": "reasoning", "id": format!("rs_{name}"),
                          "summary": [{"type": "summary_text", "text": thinking}]}));
    }
    if let Some(text) = &said.text {
        items.push(json!({"type": "message", "id": format!("msg_{name}"), "role": "assistant",
                          "status": "completed",
                          "content": [{"type": "output_text", "text": text, "annotations": []}]}));
    }
    for call in &said.calls {
        let mut item = json!({"id": format!("fc_{}", call.id), "call_id": call.id, "name": call.tool,
                              "status": "completed"});
        if call.custom {
            item["type"] = json!("custom_tool_call");
            item["input"] = call.args.clone();
        } else {
            item["type"] = json!("function_call");
            item["arguments"] = json!(call.args.to_string());
        }
        if let Some(namespace) = &call.namespace {
            item["namespace"] = json!(namespace);
        }
        items.push(item);
    }
    items
}

fn response(model: &str, name: &str, items: &[Value]) -> Value {
    json!({
        "id": format!("resp_{name}"), "object": "response", "created_at": 1_700_000_000, "status": "completed",
        "model": model, "output": items, "error": null, "incomplete_details": null, "instructions": null,
        "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [],
        "top_p": 1.0,
        "usage": {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 20,
                  "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120},
    })
}

fn response_events(response: Value, items: &[Value]) -> Vec<Value> {
    let mut begun = response.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut events = vec![json!({"type": "response.created", "response": begun})];
    for (index, item) in items.iter().enumerate() {
        let mut added = item.clone();
        let text = &item["content"][0]["text"];
        if item["type"] == "message" {
            added["content"] = json!([]);
            added["status"] = json!("in_progress");
        }
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": added}));
        if item["type"] == "message" {
            let at = json!({"item_id": item["id"], "output_index": index, "content_index": 0});
            let with = |kind: &str, name: &str, value: Value| {
                let mut event = at.clone();
                event["type"] = json!(kind);
                event[name] = value;
                event
            };
            let empty = json!({"type": "output_text", "text": "", "annotations": []});
            events.push(with("response.content_part.added", "part", empty));
            events.push(with("response.output_text.delta", "delta", text.clone()));
            events.push(with("response.output_text.done", "text", text.clone()));
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": response}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events
}

// ---- OpenAI Chat Completions

fn completion(model: &str, name: &str, said: &Said) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text});
    if let Some(thinking) = &said.thinking {
        message["reasoning_content"] = json!(thinking);
    }
    let function = |call: &Call| {
        json!({"id": call.id, "type": "function",
               "function": {"name": call.tool, "arguments": call.args.to_string()}})
    };
    if !said.calls.is_empty() {
        message["tool_calls"] = said.calls.iter().map(function).collect();
    }
    json!({
        "id": format!("chatcmpl-{name}"), "object": "chat.completion", "created": 1_700_000_000, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null,
                     "finish_reason": if said.calls.is_empty() { "stop" } else { "tool_calls" }}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    })
}

fn completion_events(mut whole: Value) -> String {
    let choice = whole["choices"][0].take();
    let (message, usage) = (&choice["message"], whole["usage"].take());
    let chunk = |choices: Value| {
        let mut chunk = whole.clone();
        chunk["object"] = json!("chat.completion.chunk");
        chunk["choices"] = choices;
        chunk
    };
    let delta = |delta: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]));
    let mut events = Vec::new();
    if message["reasoning_content"].is_string() {
        events.push(delta(json!({"role": "assistant", "reasoning_content": message["reasoning_content"]})));
    }
    let text = message["content"].as_str().unwrap_or_default();
    events.push(delta(json!({"role": "assistant", "content": text})));
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let mut call = call.clone();
        call["index"] = json!(index);
        events.push(delta(json!({"tool_calls": [call]})));
    }
    events.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}])));
    let mut last = chunk(json!([]));
    last["usage"] = usage;
    events.push(last);
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

// ---- Gemini generateContent

fn candidates(name: &str, said: &Said) -> Value {
    let mut parts = Vec::new();
    if let Some(thinking) = &said.thinking {
        parts.push(json!({"text": thinking, "thought": true}));
    }
    if let Some(text) = &said.text {
        parts.push(json!({"text": text}));
    }
    for call in &said.calls {
        parts.push(json!({"functionCall": {"id": call.id, "name": call.tool, "args": call.args}}));
    }
    json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "modelVersion": "mock-1", "responseId": format!("r_{name}"),
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
    })
}
