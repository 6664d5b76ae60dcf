//! A model that says what it is told to say: an HTTP server on loopback that speaks the protocols
//! of the runtimes ([`protocols`]), so that real agents can be run without a real model.
//!
//! The script is a JSON value:
//!
//! ```text
//! {"tracks": {"main": [TURN, …], "sub": [TURN, …]},
//!  "routes": [{"contains": "text of a user's message or of the system prompt", "track": "sub"}],
//!  "side": "said to a request that offers no tools: a title, a summary"}
//! TURN = {"thinking": "…", "text": "…", "capture": {"AGENT": ["before", "after"]},
//!         "tools": [{"name": "Bash", "args": {…}}, …]}
//! ```
//!
//! `${LLM}` in any string becomes the address of the server, which also has a page, `/page`.
//! `capture` keeps, before its turn is said, the text between two others in the newest tool
//! results; `${AGENT}` becomes that text in this turn and all later ones. A tool may have a
//! `namespace` (Codex), and `"custom": true` if its `args` are a text of free form.
//! Which turn comes next is told by the request alone (the number of the model's turns in its
//! history), so an agent's retries and side calls don't shift the script. The id of a tool call
//! tells its place in the script: `toolu_main_03_0` is the first call of the fourth turn;
//! `call_main_03_0` in the protocols other than Anthropic's.

mod protocols;

use protocols::{Asked, Protocol, Said};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
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
    /// Codex's, of a tool that is in one.
    pub namespace: Option<String>,
    /// The arguments are a text, not an object.
    pub custom: bool,
}

/// A request for the model's next turn.
#[derive(Clone, Debug)]
pub struct Request {
    /// `side` for one that offers no tools.
    pub track: String,
    pub turn: usize,
    pub body: Value,
}

type OnTurn = Box<dyn Fn(&str, usize) + Send + Sync>;

struct Shared {
    script: Value,
    on_turn: OnTurn,
    issued: Mutex<Vec<Call>>,
    results: Mutex<Vec<(String, String)>>,
    requests: Mutex<Vec<Request>>,
    captured: Mutex<HashMap<String, String>>,
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
            requests: Mutex::default(),
            captured: Mutex::default(),
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
        // OpenClaw leaves the underscores out.
        let is_it = |of: &str| of == id || *of == id.replace('_', "");
        results.iter().find(|(of, _)| is_it(of)).map(|(_, text)| text.clone())
    }

    /// Every request for a turn so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Shared {
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        let mut input = BufReader::new(stream);
        while let Some((method, path, body)) = read_request(&mut input)? {
            let path = path.split('?').next().unwrap_or_default();
            match (method.as_str(), path) {
                ("HEAD", _) => answer(stream, "200 OK", "text/plain", b"")?,
                ("GET", "/page") => answer(
                    stream,
                    "200 OK",
                    "text/html",
                    b"<html><body><h1>A page on loopback</h1></body></html>",
                )?,
                ("GET", path) if path.ends_with("/models") => answer_json(
                    stream,
                    &json!({"object": "list", "data": [{"id": "mock-1", "object": "model"}], "models": [],
                            "has_more": false}),
                )?,
                ("POST", path) if path.ends_with("/count_tokens") => {
                    answer_json(stream, &json!({"input_tokens": body.len() / 4}))?
                }
                ("POST", path) if path.ends_with(":countTokens") => {
                    answer_json(stream, &json!({"totalTokens": body.len() / 4}))?
                }
                ("POST", path) => match Protocol::of(path) {
                    Some(protocol) => {
                        let request = serde_json::from_slice(&body).unwrap_or_default();
                        self.turn(stream, protocol, path, request)?
                    }
                    None => not_found(stream)?,
                },
                _ => not_found(stream)?,
            }
        }
        Ok(())
    }

    fn turn(&self, stream: &TcpStream, protocol: Protocol, path: &str, request: Value) -> io::Result<()> {
        let asked = protocol.read(&request);
        self.keep_results(&asked);
        let (track, turn, said) = self.say(protocol, &asked);
        let kept = Request { track: track.clone(), turn, body: request.clone() };
        self.requests.lock().unwrap().push(kept);
        let name = format!("{track}_{turn:02}");
        if protocol.streams(path, &request) {
            let text = protocol.stream(&request, &name, &said);
            return answer(stream, "200 OK", "text/event-stream", text.as_bytes());
        }
        answer_json(stream, &protocol.whole(&request, &name, &said))
    }

    /// What comes next: the track, the number of the turn, and the turn.
    fn say(&self, protocol: Protocol, asked: &Asked) -> (String, usize, Said) {
        // A request without tools is a side call: a title, a summary, a page to be read.
        if !asked.has_tools {
            let text = self.script["side"].as_str().unwrap_or("A side call.");
            return ("side".to_owned(), 0, Said { text: Some(text.to_owned()), ..Said::default() });
        }
        let routes = self.script["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let goes = |route: &&Value| {
            let contains = route["contains"].as_str().expect("a route says what it looks for");
            asked.told.iter().any(|text| text.contains(contains))
        };
        let track = routes
            .iter()
            .find(goes)
            .map_or("main", |route| route["track"].as_str().expect("a route has a track"));
        let turn = asked.turns;
        (self.on_turn)(track, turn);
        let exhausted = json!({"text": "The script has no more to say."});
        let script = self.script["tracks"][track].get(turn).unwrap_or(&exhausted);
        let script = self.with_captured(script, asked);
        let text = |name: &str| script[name].as_str().map(str::to_owned);
        let tools = script["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        let calls: Vec<_> = tools
            .iter()
            .enumerate()
            .map(|(nth, tool)| Call {
                id: format!("{}_{track}_{turn:02}_{nth}", protocol.id_prefix()),
                track: track.to_owned(),
                tool: tool["name"].as_str().expect("a tool call names its tool").to_owned(),
                args: tool["args"].clone(),
                namespace: tool["namespace"].as_str().map(str::to_owned),
                custom: tool["custom"] == true,
            })
            .collect();
        let mut issued = self.issued.lock().unwrap();
        for call in &calls {
            if issued.iter().all(|other| other.id != call.id) {
                issued.push(call.clone());
            }
        }
        (track.to_owned(), turn, Said { thinking: text("thinking"), text: text("text"), calls })
    }

    /// A turn with the texts that it and earlier ones took from results.
    fn with_captured(&self, turn: &Value, asked: &Asked) -> Value {
        let mut captured = self.captured.lock().unwrap();
        for (name, around) in turn["capture"].as_object().into_iter().flatten() {
            let [before, after] = [0, 1].map(|nth| around[nth].as_str().expect("two texts"));
            let found = asked.results.iter().rev().find_map(|(_, text)| {
                let rest = text.split_once(before)?.1;
                Some(rest.split_once(after)?.0.to_owned())
            });
            captured.extend(found.map(|text| (name.clone(), text)));
        }
        let mut text = turn.to_string();
        for (name, value) in captured.iter() {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        serde_json::from_str(&text).expect("what is captured needs no escaping")
    }

    fn keep_results(&self, asked: &Asked) {
        let mut results = self.results.lock().unwrap();
        for (id, text) in &asked.results {
            if results.iter().all(|(of, _)| of != id) {
                results.push((id.clone(), text.clone()));
            }
        }
    }
}

fn not_found(stream: &TcpStream) -> io::Result<()> {
    answer(stream, "404 Not Found", "application/json", b"{\"error\":{\"message\":\"no such path\"}}")
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
