//! What the arguments of a tool that is not known name plainly: files and addresses.
//!
//! What is done with them is not known; that they are named is enough for a policy to ask.

use crate::Resource;
use serde_json::Value;

/// How many names are kept.
const MAX_NAMED: usize = 64;
/// The longest of them, in bytes.
const MAX_NAMED_BYTES: usize = 1_024;

/// Files and addresses named by the arguments of one call.
#[derive(Clone, Debug)]
pub struct Names<'n> {
    /// The server that is called; addresses of its own kind are its resources.
    server: &'n str,
    cwd: &'n str,
    home: &'n str,
    /// What is named, without duplicates, in order.
    pub found: Vec<Resource>,
    /// How many more are named: too many, too long, or not to be printed.
    pub left_out: usize,
}

/// What the name of a member says about its texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// They are paths.
    Path,
    /// They may be.
    MaybePath,
    /// They are addresses.
    Address,
    Other,
}

impl<'n> Names<'n> {
    /// `cwd` is where the server was started, by which relative paths are read; without it they
    /// are passed over.
    pub fn new(server: &'n str, cwd: &'n str, home: &'n str) -> Names<'n> {
        Names { server, cwd, home, found: Vec::new(), left_out: 0 }
    }

    /// Reads a whole object of arguments.
    pub fn all(mut self, arguments: &Value) -> Names<'n> {
        self.below(Key::Other, arguments);
        self
    }

    /// Reads one member and all that is in it.
    pub fn member(&mut self, key: &str, value: &Value) {
        self.below(Key::of(key), value);
    }

    fn below(&mut self, key: Key, value: &Value) {
        match value {
            Value::String(text) => self.text(key, text),
            Value::Array(list) => list.iter().for_each(|one| self.below(key, one)),
            Value::Object(members) => {
                for (name, value) in members {
                    let own = Key::of(name);
                    self.below(if own == Key::Other { key } else { own }, value);
                }
            }
            _ => {}
        }
    }

    fn is_on_this_machine(&self, path: &str) -> bool {
        let Some(below) = path.strip_prefix('/') else { return false };
        let top = below.split('/').find(|part| !matches!(*part, "" | "." | "..")).unwrap_or_default();
        TOP_FOLDERS.iter().any(|folder| folder.eq_ignore_ascii_case(top))
            || [self.cwd, self.home].iter().any(|folder| folder.len() > 1 && path.starts_with(folder))
    }

    fn text(&mut self, key: Key, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let one_word = !text.contains(char::is_whitespace);
        let looks_like_path = ["/", "./", "../", "~/", "file:"].iter().any(|start| text.starts_with(start));
        let is_path = match key {
            Key::Path => true,
            Key::MaybePath => looks_like_path || (one_word && text.contains(['/', '.'])),
            // Routes, ids of documents and prose may begin with a slash as well.
            Key::Address | Key::Other => {
                one_word && (text.starts_with("~/") || self.is_on_this_machine(text))
            }
        };
        let (cwd, home) = (self.cwd, self.home);
        let file = |path: &str| {
            let (path, base) = match path.strip_prefix("~/").or((path == "~").then_some("")) {
                Some(below) => (below, home),
                None => (path, cwd),
            };
            (path.starts_with('/') || base.starts_with('/')).then(|| Resource::file(path, base))
        };
        // The scheme of an address may be written in any case.
        let scheme = text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        let resource = match scheme {
            Some((scheme, rest)) if scheme == "file" && rest.starts_with('/') => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                file(path.strip_prefix("localhost").unwrap_or(path))
            }
            Some((scheme, rest))
                if rest.starts_with("//")
                    && matches!(scheme.as_str(), "http" | "https" | "ws" | "wss" | "ftp" | "ftps") =>
            {
                // What follows in a text of words is not part of it.
                let address = text.split(char::is_whitespace).next().unwrap_or(text);
                Some(Resource::new("url", address))
            }
            Some((_, rest)) if rest.starts_with("//") && key != Key::Other => {
                Some(Resource::new("mcp", format_args!("{}/{text}", self.server)))
            }
            _ if is_path => file(text),
            _ => None,
        };
        let Some(resource) = resource.filter(|resource| !self.found.contains(resource)) else { return };
        let plain =
            resource.as_str().len() <= MAX_NAMED_BYTES && !resource.as_str().contains(char::is_control);
        if plain && self.found.len() < MAX_NAMED {
            self.found.push(resource);
        } else {
            self.left_out += 1;
        }
    }
}

/// The folders in the root of Unix machines, and of most containers.
const TOP_FOLDERS: [&str; 25] = [
    "app", "bin", "boot", "data", "dev", "etc", "home", "lib", "media", "mnt", "nix", "opt", "private",
    "proc", "root", "run", "sbin", "snap", "srv", "sys", "tmp", "users", "usr", "var", "volumes",
];

impl Key {
    fn of(name: &str) -> Key {
        // `file_path`, `filePath`, `FilePath`, `file-paths`.
        let plain: String =
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        let single = plain.strip_suffix('s').unwrap_or(&plain);
        // These say where something is in a document.
        if ["xpath", "jsonpath", "jqpath", "keypath"].contains(&single) {
            Key::Other
        } else if single.ends_with("path") {
            Key::Path
        } else if ["uri", "url", "href", "endpoint"].iter().any(|end| single.ends_with(end)) {
            Key::Address
        } else if ["file", "filename", "dir", "directory", "directorie", "folder", "cwd", "root"]
            .iter()
            .any(|end| single.ends_with(end))
            || ["source", "destination", "target", "src", "dest", "dst", "from", "to"].contains(&single)
        {
            Key::MaybePath
        } else {
            Key::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(arguments: Value) -> String {
        let names = Names::new("s", "/w", "/home/dev").all(&arguments);
        names.found.iter().map(Resource::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn paths_and_addresses_are_found_by_their_keys_or_their_form() {
        for (arguments, want) in [
            (json!({"path": "/home/dev/.ssh/id_rsa"}), "file:/home/dev/.ssh/id_rsa"),
            (json!({"path": "src/a b.rs"}), "file:/w/src/a b.rs"),
            (json!({"paths": ["a", "../b"]}), "file:/w/a file:/b"),
            (json!({"filePath": "~/.aws/credentials"}), "file:/home/dev/.aws/credentials"),
            (json!({"file": ".env"}), "file:/w/.env"),
            (json!({"source": "main", "destination": "/tmp/x"}), "file:/tmp/x"),
            (json!({"edits": [{"target_file": "/etc/hosts"}]}), "file:/etc/hosts"),
            (json!({"anything": "/etc/shadow"}), "file:/etc/shadow"),
            (json!({"anything": "file:///etc/a"}), "file:/etc/a"),
            (json!({"uri": "FILE://localhost/etc/a"}), "file:/etc/a"),
            (json!({"url": "https://evil.example/x"}), "url:https://evil.example/x"),
            (json!({"q": "http://evil.example/x is nice"}), "url:http://evil.example/x"),
            (json!({"uri": "notes://all"}), "mcp:s/notes://all"),
            (json!({"body": "notes://all", "title": "a/b", "n": 3}), ""),
            (json!({"id": "/vercel/next.js", "route": "/api/users", "note": "//"}), ""),
            (json!({"x": "/w/a"}), "file:/w/a"),
            (json!({"body": "/ is the root", "xpath": "//div[1] | //p"}), ""),
            (json!({"path": ""}), ""),
        ] {
            assert_eq!(named(arguments.clone()), want, "{arguments}");
        }
    }

    #[test]
    fn a_relative_path_needs_a_folder_and_too_many_are_counted() {
        assert!(Names::new("s", "", "").all(&json!({"path": "a"})).found.is_empty());
        let many: Vec<String> = (0..70).map(|i| format!("/{i}")).collect();
        let names = Names::new("s", "/w", "/h").all(&json!({"paths": many, "path": "a\u{1}b"}));
        assert_eq!((names.found.len(), names.left_out), (64, 7));
    }
}
