//! The settings of a runtime, of all the files that it reads, and what the files around them say.

use crate::agents::{Place, json_text};
use crate::settings_file::tilde;
use crate::surroundings::read_small;
use serde_json::{Map, Value};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most that is read of a settings file, in bytes.
const MAX_BYTES: u64 = 8 << 20;

/// One settings file.
pub struct Layer {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub value: Value,
}

/// All of a runtime's settings files that are there, what counts most first.
#[derive(Default)]
pub struct Layers {
    layers: Vec<Layer>,
    /// Files that can't be read, and why.
    pub unreadable: Vec<String>,
}

/// The formats in which settings are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, with comments and trailing commas.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

impl Layers {
    /// Reads the files that are there; what counts most comes first.
    pub fn read(files: Vec<PathBuf>, format: Format) -> Layers {
        let mut found = Layers::default();
        for path in files {
            if !path.exists() {
                continue;
            }
            let text = read_small(&path, MAX_BYTES).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let value = match &text {
                None => Err("it can't be read".to_owned()),
                Some(text) => parse(text, format),
            };
            match value {
                Ok(value) => found.layers.push(Layer { path, value }),
                Err(error) => found.unreadable.push(format!("{}: {error}", tilde(&path))),
            }
        }
        found
    }

    /// The setting that counts, and the file that it stands in.
    pub fn get(&self, path: &[&str]) -> Option<(&Value, &Layer)> {
        self.all(path).next()
    }

    /// Every file's setting of that name, what counts most first.
    pub fn all<'a>(&'a self, path: &[&str]) -> impl Iterator<Item = (&'a Value, &'a Layer)> {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        self.layers.iter().filter_map(move |layer| {
            let mut value = &layer.value;
            for part in &path {
                value = value.get(part)?;
            }
            (!value.is_null()).then_some((value, layer))
        })
    }

    /// The setting that counts, if it is a text.
    pub fn text(&self, path: &[&str]) -> Option<(&str, &Layer)> {
        self.get(path).and_then(|(value, layer)| Some((value.as_str()?, layer)))
    }

    /// The setting that counts, if it is `true` or `false`.
    pub fn flag(&self, path: &[&str]) -> Option<(bool, &Layer)> {
        self.get(path).and_then(|(value, layer)| Some((value.as_bool()?, layer)))
    }

    /// The items of every file's list of that name.
    pub fn items(&self, path: &[&str]) -> Vec<String> {
        let lists = self.all(path).filter_map(|(value, _)| value.as_array());
        lists.flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// The entries of every file's table of that name.
    pub fn entries(&self, path: &[&str]) -> Vec<(String, Value, PathBuf)> {
        let tables = self.all(path).filter_map(|(value, layer)| Some((value.as_object()?, layer)));
        let entries = tables.flat_map(|(table, layer)| {
            table.iter().map(|(name, value)| (name.clone(), value.clone(), layer.path.clone()))
        });
        entries.collect()
    }
}

impl Layer {
    /// Its path as people write it.
    pub fn name(&self) -> String {
        tilde(&self.path)
    }
}

fn parse(text: &str, format: Format) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match format {
        Format::Json => match json_text::value_at(text, &[]) {
            Ok(value) => Ok(value.unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        },
        Format::Toml => {
            let table: toml::Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
            serde_json::to_value(table).map_err(|error| error.to_string())
        }
        Format::Yaml => {
            use saphyr::LoadableYamlNode;
            let documents = saphyr::Yaml::load_from_str(text).map_err(|error| error.to_string())?;
            Ok(documents.first().map(from_yaml).unwrap_or_default())
        }
    }
}

fn from_yaml(yaml: &saphyr::Yaml<'_>) -> Value {
    if let Some(map) = yaml.as_mapping() {
        let entries =
            map.iter().filter_map(|(name, value)| Some((name.as_str()?.to_owned(), from_yaml(value))));
        return Value::Object(entries.collect());
    }
    if let Some(items) = yaml.as_sequence() {
        return items.iter().map(from_yaml).collect();
    }
    let number = yaml.as_integer().map(Value::from).or_else(|| yaml.as_floating_point().map(Value::from));
    let flag = yaml.as_bool().map(Value::from);
    number.or(flag).or_else(|| yaml.as_str().map(Value::from)).unwrap_or_default()
}

/// How what an MCP server runs, or where it is, is held to one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// To one version or digest, or it is a program of this machine.
    Pinned(String),
    /// Whatever is newest when it starts, or whatever the other side serves.
    Open(String),
}

/// An MCP server in the settings.
pub struct Server {
    /// Its name.
    pub name: String,
    /// How it is pinned.
    pub pinning: Pinning,
    /// Whether what it says is recorded by the proxy.
    pub is_proxied: bool,
    /// The runtime asks nobody before it uses it.
    pub is_trusted: bool,
}

impl Server {
    /// Reads an entry of a settings file, in the forms that the runtimes have in common: `command`
    /// (a text, or a list with the arguments), `args`, `url`, `httpUrl`, `trust`.
    pub fn read(name: &str, entry: &Value) -> Server {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let texts = |key: &str| -> Vec<String> {
            let items = entry.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let mut words: Vec<String> = text("command").map(str::to_owned).into_iter().collect();
        words.extend(texts("command"));
        words.extend(texts("args"));
        let program = words.first().and_then(|word| Path::new(word).file_name());
        let is_proxied = program.is_some_and(|name| name == "fdr") && words.iter().any(|w| w == "mcp-proxy");
        let start =
            if is_proxied { words.iter().position(|word| word == "--").map_or(0, |at| at + 1) } else { 0 };
        let pinning = match ["url", "httpUrl", "serverUrl"].iter().find_map(|key| text(key)) {
            Some(url) => Pinning::Open(format!("{url}: the other side can change it")),
            None => pinning(&words[start..]),
        };
        Server {
            name: name.to_owned(),
            pinning,
            is_proxied,
            is_trusted: entry.get("trust").and_then(Value::as_bool) == Some(true),
        }
    }
}

/// How the program of a command line is held to one version.
pub fn pinning(words: &[String]) -> Pinning {
    let Some(program) = words.first() else { return Pinning::Open("nothing is named".to_owned()) };
    let name = Path::new(program).file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let fetched = words[1..]
        .iter()
        .find(|word| !word.starts_with('-') && !matches!(word.as_str(), "dlx" | "exec" | "run" | "x"));
    let Some(fetched) = fetched else { return Pinning::Pinned(program.clone()) };
    let exact = |version: &str| {
        version.starts_with(|c: char| c.is_ascii_digit())
            && version.contains('.')
            && !version.contains(['x', '*'])
    };
    match name.as_str() {
        "npx" | "bunx" | "pnpm" | "yarn" | "bun" => match fetched.rsplit_once('@') {
            Some((package, version)) if !package.is_empty() && exact(version) => {
                Pinning::Pinned(fetched.clone())
            }
            _ => Pinning::Open(format!("{name} {fetched}: whatever version is newest")),
        },
        "uvx" | "uv" | "pipx" => match fetched.split_once("==").or_else(|| fetched.rsplit_once('@')) {
            Some((_, version)) if exact(version) => Pinning::Pinned(fetched.clone()),
            _ => Pinning::Open(format!("{name} {fetched}: whatever version is newest")),
        },
        "docker" | "podman" => match words.iter().find(|word| word.contains("@sha256:")) {
            Some(image) => Pinning::Pinned(image.clone()),
            None => Pinning::Open(format!("{name}: an image without a digest")),
        },
        _ => Pinning::Pinned(program.clone()),
    }
}

/// Files that tell an agent what to do, of those that are there: path, length in bytes, and whether
/// others than its owner can write it.
pub fn instruction_files(candidates: &[PathBuf]) -> Vec<(PathBuf, u64, bool)> {
    let there = candidates.iter().filter_map(|path| {
        let stat = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some((path.clone(), stat.len(), stat.mode() & 0o022 != 0))
    });
    there.collect()
}

/// Names of the variables of this environment that look like secrets, by what their names say.
pub fn secret_variables() -> Vec<String> {
    const WORDS: [&str; 7] = ["_KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "DATABASE_URL"];
    let mut found: Vec<String> = std::env::vars_os()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| WORDS.iter().any(|word| name.to_ascii_uppercase().contains(word)))
        .collect();
    found.sort();
    found
}

/// The project's file and those of the folders around it up to the home folder or the root of the
/// repository.
pub fn up_from(place: &Place<'_>, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in place.project.ancestors().take(32) {
        found.push(dir.join(name));
        if dir.join(".git").exists() || dir == place.home {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_server_is_pinned_by_an_exact_version_or_a_digest_only() {
        for line in [
            "npx -y @scope/server@1.2.3",
            "uvx server==0.4.1",
            "uvx server@0.4.1",
            "docker run -i --rm image@sha256:00ff",
            "/opt/server",
            "node /opt/server/index.js",
            "pnpm dlx server@2.0.1",
        ] {
            assert!(matches!(pinning(&words(line)), Pinning::Pinned(_)), "{line}");
        }
        for line in [
            "npx -y @scope/server",
            "npx server@latest",
            "npx server@^1",
            "bunx server@1.x",
            "uvx server",
            "docker run image:latest",
        ] {
            assert!(matches!(pinning(&words(line)), Pinning::Open(_)), "{line}");
        }
    }

    #[test]
    fn a_server_behind_the_proxy_is_looked_at_behind_it() {
        let entry =
            json!({"command": "/opt/fdr", "args": ["mcp-proxy", "--name", "x", "--", "npx", "server"]});
        let server = Server::read("x", &entry);
        assert!(server.is_proxied);
        assert!(matches!(server.pinning, Pinning::Open(_)));
        let remote = Server::read("y", &json!({"url": "https://example.com/mcp", "trust": true}));
        assert!(remote.is_trusted && matches!(remote.pinning, Pinning::Open(_)));
    }

    #[test]
    fn every_format_gives_the_same_values() {
        let want = json!({"a": {"b": [1, "x", true]}});
        assert_eq!(parse("{\"a\": {\"b\": [1, \"x\", true,]}} // c", Format::Json), Ok(want.clone()));
        assert_eq!(parse("[a]\nb = [1, \"x\", true]", Format::Toml), Ok(want.clone()));
        assert_eq!(parse("a:\n  b:\n  - 1\n  - x\n  - true\n", Format::Yaml), Ok(want));
    }
}
