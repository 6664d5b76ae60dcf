//! A tool call on its way to canonical words: what the normalisers of all runtimes have in common.
//!
//! A runtime's own file (`codex_tools.rs`) says what each of its tools means; what is not known of a
//! call is said here in the same way for all.

use fdr_record::{Action, Hazard, Names, Normalised, Resource, Verb};
use serde_json::Value;
use std::marker::PhantomData;

/// The tools of a runtime.
pub(crate) trait Tools: Sized {
    /// Its name in records.
    const RUNTIME: &'static str;

    /// Finds out what a call means; the value is one line that a person can read, or nothing.
    fn read(call: &mut Call<'_, Self>) -> String;
}

/// A call of a tool of the runtime `R`.
pub(crate) struct Call<'c, R> {
    pub(crate) tool: &'c str,
    pub(crate) input: &'c Value,
    pub(crate) cwd: &'c str,
    pub(crate) home: &'c str,
    /// What is found so far.
    pub(crate) found: Normalised,
    runtime: PhantomData<R>,
}

/// A call: what it means, and one line that a person can read.
pub(crate) fn normalise<R: Tools>(tool: &str, input: &Value, cwd: &str, home: &str) -> (Normalised, String) {
    let found = Normalised::default();
    let mut call = Call::<R> { tool, input, cwd, home, found, runtime: PhantomData };
    let summary = R::read(&mut call);
    if call.found.actions.is_empty() {
        // Known tool or not: what can't be read is recorded whole, never dropped.
        call.act(Verb::Execute, call.own(tool));
    }
    let summary = if summary.is_empty() { crate::event::sorted(input) } else { summary };
    (call.found, summary)
}

impl<'c, R: Tools> Call<'c, R> {
    pub(crate) fn text(&self, key: &str) -> &'c str {
        self.input.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn first(&self, keys: &[&str]) -> &'c str {
        keys.iter().map(|key| self.text(key)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// What a tool can't do without. A call that lacks it, or has something else there, is not
    /// what this version takes the tool for.
    pub(crate) fn needed(&mut self, keys: &[&str]) -> &'c str {
        let text = self.first(keys);
        if text.is_empty() {
            self.unknown(Hazard::UnknownTool, format!("the call has no {}", keys[0]));
        }
        text
    }

    /// What a tool may leave away, but not give in another form.
    pub(crate) fn optional(&mut self, key: &str) -> &'c str {
        if self.input.get(key).is_some_and(|value| !value.is_string() && !value.is_null()) {
            self.unknown(Hazard::UnknownTool, format!("{key} is no text"));
        }
        self.text(key)
    }

    pub(crate) fn act(&mut self, verb: Verb, resource: Resource) {
        self.found.push(Action::new(verb, resource));
    }

    pub(crate) fn unknown(&mut self, hazard: Hazard, reason: impl Into<String>) {
        self.found.hazard(hazard);
        self.found.opaque(reason);
    }

    /// Something of the runtime's own.
    pub(crate) fn own(&self, name: &str) -> Resource {
        Resource::new("tool", format_args!("{}/{name}", R::RUNTIME))
    }

    /// A file by a name that is taken as it is.
    pub(crate) fn file(&mut self, path: &str) -> Option<Resource> {
        self.file_from(path, self.cwd)
    }

    /// A file by a name that may begin with `~`.
    pub(crate) fn file_at_home(&mut self, path: &str) -> Option<Resource> {
        let rest = path.strip_prefix("~/").or((path == "~").then_some(""));
        match rest {
            Some(rest) if !self.home.is_empty() => self.file_from(rest, self.home),
            _ => self.file(path),
        }
    }

    fn file_from(&mut self, path: &str, base: &str) -> Option<Resource> {
        if !path.starts_with('/') && !base.starts_with('/') {
            self.unknown(Hazard::Arguments, "the path is relative, and to what is not told");
            return None;
        }
        Some(Resource::file(path, base))
    }

    /// What the tool of a server does is not known, but what it is given is.
    pub(crate) fn named_by_arguments(&mut self, server: &str) {
        let names = Names::new(server, self.cwd, self.home).all(self.input);
        self.found.named.extend(names.found);
        if names.left_out > 0 {
            let reason = format!("{} more names in the arguments are not listed", names.left_out);
            self.unknown(Hazard::LeftOut, reason);
        }
    }
}
