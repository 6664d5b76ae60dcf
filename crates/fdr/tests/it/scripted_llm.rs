//! A model that says what it is told to say: an HTTP server on loopback that speaks the
//! Anthropic Messages protocol, so that a real agent can be run without a real model.
//!
//! The script is a JSON value:
//!
//! ```text
//! {"tracks": {"main": [TURN, …], "sub": [TURN, …]},
//!  "routes": [{"contains": "text of a user message or of the system prompt", "track": "sub"}]}
//! TURN = {"thinking": "…", "text": "…", "tools": [{"name": "Bash", "args": {…}}, …]}
//! ```
//!
//! `${LLM}` in any string becomes the address of the server, which also has a page, `/page`.
//! Which turn comes next is told by the request alone (the number of the model's turns in its
//! history), so an agent's retries and side calls don't shift the script. The id of a tool call
//! tells its place in the script: `toolu_main_03_0` is the first call of the fourth turn.

use serde_json::{Value, json};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A tool call that the script asked for.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: String,
    pub track: String,
    pub tool: String,
    pub args: Value,
}

type OnTurn = Box<dyn Fn(&str, usize) + Send + Sync>;

struct Shared {
    script: Value,
    on_turn: OnTurn,
    issued: Mutex<Vec<Call>>,
    results: Mutex<Vec<(String, String)>>,
}

/// A running server; it goes on until the process of the test ends.
pub struct ScriptedLlm {
    address: String,
    shared: Arc<Shared>,
}

impl ScriptedLlm {
    /// Starts it with a script.
    pub fn start(script: Value) -> ScriptedLlm {
        ScriptedLlm::start_with(script, |_, _| {})
    }

    /// The same, and calls `on_turn` with the track and the number of the turn before each
    /// answer: the place for a test to do something in the middle of a session.
    pub fn start_with(script: Value, on_turn: impl Fn(&str, usize) + Send + Sync + 'static) -> ScriptedLlm {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let script = script.to_string().replace("${LLM}", &format!("http://{address}"));
        let shared = Arc::new(Shared {
            script: serde_json::from_str(&script).expect("an address needs no escaping"),
            on_turn: Box::new(on_turn),
            issued: Mutex::default(),
            results: Mutex::default(),
        });
        let server = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                // A connection that the agent drops is the agent's business.
                thread::spawn(move || server.converse(&stream).ok());
            }
        });
        ScriptedLlm { address, shared }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The tool calls that the agent has been asked to make so far, each once.
    pub fn issued(&self) -> Vec<Call> {
        self.shared.issued.lock().unwrap().clone()
    }

    /// What the agent told the model of the tool call with this id.
    pub fn told(&self, id: &str) -> Option<String> {
        let results = self.shared.results.lock().unwrap();
        results.iter().find(|(of, _)| of == id).map(|(_, text)| text.clone())
    }
}

impl Shared {
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        let mut input = BufReader::new(stream);
        while let Some((method, path, body)) = read_request(&mut input)? {
            let path = path.split('?').next().unwrap_or_default();
            let request: Value = serde_json::from_slice(&body).unwrap_or_default();
            match (method.as_str(), path) {
                ("HEAD", _) => answer(stream, "200 OK", "text/plain", b"")?,
                ("GET", "/page") => answer(
                    stream,
                    "200 OK",
                    "text/html",
                    b"<html><body><h1>A page on loopback</h1></body></html>",
                )?,
                ("GET", path) if path.ends_with("/models") => {
                    answer_json(stream, &json!({"data": [], "has_more": false}))?
                }
                ("POST", path) if path.ends_with("/count_tokens") => {
                    answer_json(stream, &json!({"input_tokens": body.len() / 4}))?
                }
                ("POST", path) if path.ends_with("/messages") => self.messages(stream, &request)?,
                _ => answer(stream, "404 Not Found", "application/json", b"{\"error\":{}}")?,
            }
        }
        Ok(())
    }

    fn messages(&self, stream: &TcpStream, request: &Value) -> io::Result<()> {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.keep_results(messages);
        let said_to_it = |contains: &str| {
            let by_user = messages.iter().filter(|m| m["role"] == "user").map(|m| text_of(&m["content"]));
            by_user.chain([text_of(&request["system"])]).any(|text| text.contains(contains))
        };
        let routes = self.script["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let track = routes
            .iter()
            .find(|route| said_to_it(route["contains"].as_str().expect("a route says what it looks for")))
            .map_or("main", |route| route["track"].as_str().expect("a route has a track"));
        // A request without tools is a side call: a title, a summary, a page to be read.
        if request["tools"].as_array().is_none_or(Vec::is_empty) {
            return reply(stream, request, "side", &json!({"text": "A side call."}), &[]);
        }
        // The model's turns so far; one turn may be several messages in a row.
        let roles: Vec<_> = messages.iter().map(|m| m["role"].as_str().unwrap_or_default()).collect();
        let turn = roles.chunk_by(|a, b| a == b).filter(|run| run[0] == "assistant").count();
        (self.on_turn)(track, turn);
        let exhausted = json!({"text": "The script has no more to say."});
        let script = self.script["tracks"][track].get(turn).unwrap_or(&exhausted);
        let tools = script["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        let calls: Vec<_> = tools
            .iter()
            .enumerate()
            .map(|(nth, tool)| Call {
                id: format!("toolu_{track}_{turn:02}_{nth}"),
                track: track.to_owned(),
                tool: tool["name"].as_str().expect("a tool call names its tool").to_owned(),
                args: tool["args"].clone(),
            })
            .collect();
        {
            let mut issued = self.issued.lock().unwrap();
            for call in &calls {
                if issued.iter().all(|other| other.id != call.id) {
                    issued.push(call.clone());
                }
            }
        }
        reply(stream, request, &format!("{track}_{turn:02}"), script, &calls)
    }

    fn keep_results(&self, messages: &[Value]) {
        let mut results = self.results.lock().unwrap();
        let blocks = messages.iter().filter_map(|m| m["content"].as_array()).flatten();
        for block in blocks.filter(|block| block["type"] == "tool_result") {
            let id = block["tool_use_id"].as_str().unwrap_or_default();
            if results.iter().all(|(of, _)| of != id) {
                results.push((id.to_owned(), text_of(&block["content"])));
            }
        }
    }
}

fn reply(stream: &TcpStream, request: &Value, name: &str, script: &Value, calls: &[Call]) -> io::Result<()> {
    let mut content = Vec::new();
    if let Some(thinking) = script["thinking"].as_str() {
        content.push(json!({"type": "thinking", "thinking": thinking, "signature": "c2lnbmVk"}));
    }
    if let Some(text) = script["text"].as_str() {
        content.push(json!({"type": "text", "text": text}));
    }
    for call in calls {
        content.push(json!({"type": "tool_use", "id": call.id, "name": call.tool, "input": call.args}));
    }
    let stop = if calls.is_empty() { "end_turn" } else { "tool_use" };
    let mut message = json!({
        "id": format!("msg_{name}"), "type": "message", "role": "assistant", "model": request["model"],
        "content": content, "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 20,
                  "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    });
    if request["stream"] != true {
        return answer_json(stream, &message);
    }
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
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
    let mut text = String::new();
    for event in events {
        text += &format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
    }
    answer(stream, "200 OK", "text/event-stream", text.as_bytes())
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

/// All text in a message's or a system prompt's content, whatever its form.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        Value::Object(block) => block.get("text").or(block.get("content")).map(text_of).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Method, path and body of the next request; `None` at the end of the connection.
fn read_request(input: &mut impl BufRead) -> io::Result<Option<(String, String, Vec<u8>)>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut header = String::new();
        if input.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let header = header.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    let mut body = Vec::new();
    while chunked {
        let mut size = String::new();
        input.read_line(&mut size)?;
        let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        input.take(size).read_to_end(&mut body)?;
        input.read_line(&mut String::new())?;
        chunked = size > 0;
    }
    input.take(length).read_to_end(&mut body)?;
    Ok(Some((method, path, body)))
}

fn answer_json(stream: &TcpStream, body: &Value) -> io::Result<()> {
    answer(stream, "200 OK", "application/json", body.to_string().as_bytes())
}

fn answer(mut stream: &TcpStream, status: &str, media: &str, body: &[u8]) -> io::Result<()> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())
}
