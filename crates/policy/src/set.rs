//! A policy set: its files, read, checked and made ready to decide with.
//!
//! A set is files and nothing else: [`PolicySet::files`] given to [`PolicySet::from_files`] makes
//! the same set again, with the same [`PolicySet::hash`].

use crate::conditions::Conditions;
use crate::lists::{ListFile, Lists};
use crate::slices::{ActionEntity, Slices, actions};
use cedar_policy::{Effect, EntityUid, Policy, PolicyId, Schema, ValidationMode, Validator};
use fdr_record::{Verb, Verdict, hex};
use miette::Diagnostic;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

/// The schema that policies are written against.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// The largest file of a set, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// The most bytes that the files of a set have together.
pub const MAX_SET_BYTES: u64 = 64 << 20;
/// The deepest folder in the folder of a set.
pub const MAX_DEPTH: usize = 16;
/// The most files and folders that are looked at in the folder of a set.
pub const MAX_ENTRIES: usize = 10_000;

const LISTS: &str = "lists.toml";

/// Name and text of what is part of every set.
const GUARD: (&str, &str) = ("fdr/guard.cedar", include_str!("guard.cedar"));

/// The files of the starter sets.
const STARTER_FILES: [(&str, &str, &str); 5] = [
    (
        "baseline",
        include_str!("../sets/baseline/baseline.cedar"),
        include_str!("../sets/baseline/lists.toml"),
    ),
    (
        "read-only",
        include_str!("../sets/read-only/read-only.cedar"),
        include_str!("../sets/read-only/lists.toml"),
    ),
    ("pci", include_str!("../sets/pci/pci.cedar"), include_str!("../sets/pci/lists.toml")),
    ("hipaa", include_str!("../sets/hipaa/hipaa.cedar"), include_str!("../sets/hipaa/lists.toml")),
    ("strict", include_str!("../sets/strict/strict.cedar"), include_str!("../sets/strict/lists.toml")),
];

/// Where policies come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A starter set, by name.
    Starter(String),
    /// A folder of `.cedar` files, with a `lists.toml` or without.
    Folder(PathBuf),
}

impl Source {
    /// What `text` means: a path if there is a slash in it, relative to `base`; a starter's name
    /// otherwise.
    pub fn parse(text: &str, base: &Path) -> Source {
        if text.contains('/') { Source::Folder(base.join(text)) } else { Source::Starter(text.to_owned()) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Starter(name) => f.write_str(name),
            Source::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFile {
    /// The name: that of the folder and the path in it, such as `baseline/baseline.cedar`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What is said of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyInfo {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`: the sentence that the agent and the human see.
    pub reason: String,
    /// Its `@control`: which controls of which standards it carries out.
    pub control: String,
    /// What it says when it applies.
    pub verdict: Verdict,
    /// Whether two different people have to approve.
    pub four_eyes: bool,
    /// The file it is in.
    pub file: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// As it is written.
    pub text: String,
}

/// One thing that is wrong with a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or the source.
    pub file: String,
    /// Line and column, from 1, where there is one.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

/// A set that can't be used: everything that is wrong with it, one line for each.
#[derive(Clone, Debug)]
pub struct SetError {
    problems: Vec<Problem>,
    files: Vec<SetFile>,
}

impl SetError {
    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The files that could be read all the same.
    pub fn files(&self) -> &[SetFile] {
        &self.files
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SetError {}

/// A policy with what was read out of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub info: PolicyInfo,
    pub policy: Policy,
    /// A set for Cedar, of this policy alone.
    pub alone: cedar_policy::PolicySet,
    pub conditions: Conditions,
    /// Where it begins in its file, in bytes.
    offset: usize,
}

/// A set of policies, ready to decide with.
pub struct PolicySet {
    files: Vec<SetFile>,
    hash: String,
    pub(crate) policies: Vec<Loaded>,
    pub(crate) lists: Lists,
    /// The verbs as Cedar knows them, with the groups that they are in.
    pub(crate) actions: Vec<ActionEntity>,
    pub(crate) slices: Slices,
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicySet({} policies, {})", self.policies.len(), self.hash)
    }
}

impl PolicySet {
    /// Names of the starter sets.
    pub const STARTERS: &[&str] = &["baseline", "read-only", "pci", "hipaa", "strict"];

    /// Reads the files of `sources` and makes one set of them.
    ///
    /// # Errors
    /// Everything that is wrong with the sources and their files.
    pub fn load(sources: &[Source]) -> Result<PolicySet, SetError> {
        let mut reader = Reader::default();
        for (at, source) in sources.iter().enumerate() {
            if sources[..at].contains(source) {
                continue;
            }
            match source {
                Source::Starter(name) => reader.starter(name),
                Source::Folder(folder) => reader.source_folder(folder),
            }
        }
        if sources.is_empty() {
            let starters = PolicySet::STARTERS.join(", ");
            reader.problem("policies", "no source is named", &format!("name a folder, or one of {starters}"));
        }
        reader.files.push(SetFile { name: GUARD.0.to_owned(), text: GUARD.1.to_owned() });
        build(reader.files, reader.problems)
    }

    /// Makes a set of files that were read before. The guard is added if it isn't among them.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn from_files(mut files: Vec<SetFile>) -> Result<PolicySet, SetError> {
        if !files.iter().any(|file| file.name == GUARD.0) {
            files.push(SetFile { name: GUARD.0.to_owned(), text: GUARD.1.to_owned() });
        }
        build(files, Vec::new())
    }

    /// The files, sorted by name.
    pub fn files(&self) -> &[SetFile] {
        &self.files
    }

    /// `sha256:` and 64 hex digits: over number of bytes (64 bits, big endian) and text of name
    /// and content of each file, in the order of the names.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What is said of each policy, in the order of files and lines.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyInfo> {
        self.policies.iter().map(|loaded| &loaded.info)
    }
}

/// Reads files of sources.
#[derive(Default)]
struct Reader {
    files: Vec<SetFile>,
    problems: Vec<Problem>,
    bytes: u64,
    entries: usize,
}

impl Reader {
    fn problem(&mut self, file: &str, what: &str, help: &str) {
        let (file, what, help) = (file.to_owned(), what.to_owned(), help.to_owned());
        self.problems.push(Problem { file, at: None, what, help });
    }

    fn starter(&mut self, name: &str) {
        match STARTER_FILES.iter().find(|(starter, ..)| *starter == name) {
            Some((_, policies, lists)) => {
                self.files
                    .push(SetFile { name: format!("{name}/{name}.cedar"), text: (*policies).to_owned() });
                self.files.push(SetFile { name: format!("{name}/{LISTS}"), text: (*lists).to_owned() });
            }
            None => {
                let help = format!(
                    "the starter sets are {}; a folder is named with a slash, such as ./{name}",
                    PolicySet::STARTERS.join(", ")
                );
                self.problem(name, "there is no starter set of this name", &help);
            }
        }
    }

    fn source_folder(&mut self, folder: &Path) {
        let shown = folder.display().to_string();
        // `..` and links in the name are resolved, so that the files get a name of their own.
        let real = match std::fs::canonicalize(folder) {
            Ok(real) => real,
            Err(error) => {
                return self.problem(
                    &shown,
                    &format!("can't be opened: {error}"),
                    "make the folder, or correct its name",
                );
            }
        };
        if !real.is_dir() {
            return self.problem(&shown, "is not a folder", "name the folder that the .cedar files are in");
        }
        let last =
            folder.file_name().or(real.file_name()).map_or("policies".into(), |name| name.to_string_lossy());
        let (files, problems) = (self.files.len(), self.problems.len());
        self.folder(&real, &last, &mut vec![real.clone()]);
        let has_policies = self.files[files..].iter().any(|file| file.name.ends_with(".cedar"));
        if !has_policies && self.problems.len() == problems {
            self.problem(
                &shown,
                "there is no .cedar file in it",
                "put policies in it, or name another folder",
            );
        }
    }

    /// `above` are the folders that this one is in, and itself: a link to one of them is a loop.
    fn folder(&mut self, folder: &Path, name: &str, above: &mut Vec<PathBuf>) {
        let entries = match std::fs::read_dir(folder)
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        {
            Ok(entries) => entries,
            Err(error) => {
                return self.problem(name, &format!("can't be read: {error}"), "let the recorder read it");
            }
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
        paths.sort_unstable();
        for path in paths {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                if self.entries == MAX_ENTRIES + 1 {
                    let what = format!("there are more than {MAX_ENTRIES} files and folders in it");
                    self.problem(name, &what, "keep policies in a folder of their own");
                }
                return;
            }
            let Some(file) = path.file_name() else { continue };
            let Some(file) = file.to_str() else {
                self.problem(name, &format!("the name {file:?} is not UTF-8"), "give it another name");
                continue;
            };
            // What editors leave behind.
            if file.starts_with('.') {
                continue;
            }
            let is_ours = file.ends_with(".cedar") || file == LISTS;
            let name = format!("{name}/{file}");
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => self.subfolder(&path, &name, above),
                Ok(meta) if is_ours && meta.is_file() => self.file(&path, &name),
                Ok(_) if is_ours => self.problem(&name, "is not a plain file", "put a file in its place"),
                Err(error) if is_ours || error.kind() != std::io::ErrorKind::NotFound => {
                    self.problem(&name, &format!("can't be opened: {error}"), "repair or remove it");
                }
                _ => {}
            }
        }
    }

    fn subfolder(&mut self, path: &Path, name: &str, above: &mut Vec<PathBuf>) {
        match std::fs::canonicalize(path) {
            Ok(real) if above.contains(&real) => {
                self.problem(name, "is a link to a folder that it is in", "remove the link");
            }
            Ok(_) if above.len() > MAX_DEPTH => {
                self.problem(name, &format!("is more than {MAX_DEPTH} folders deep"), "put it higher up");
            }
            Ok(real) => {
                above.push(real);
                self.folder(path, name, above);
                above.pop();
            }
            Err(error) => self.problem(name, &format!("can't be opened: {error}"), "repair or remove it"),
        }
    }

    fn file(&mut self, path: &Path, name: &str) {
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return self.problem(name, &format!("can't be read: {error}"), "let the recorder read it");
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return self.problem(
                name,
                &format!("is larger than {MAX_FILE_BYTES} bytes"),
                "split it into several files",
            );
        }
        let had = self.bytes;
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_SET_BYTES {
            if had <= MAX_SET_BYTES {
                let what = format!("with this file the set has more than {MAX_SET_BYTES} bytes");
                self.problem(name, &what, "take out what is no policy");
            }
            return;
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.files.push(SetFile { name: name.to_owned(), text }),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
                self.problems.push(Problem {
                    file: name.to_owned(),
                    at: Some((line, 1)),
                    what: "is not UTF-8".to_owned(),
                    help: "save it as UTF-8".to_owned(),
                });
            }
        }
    }
}

fn build(mut files: Vec<SetFile>, mut problems: Vec<Problem>) -> Result<PolicySet, SetError> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    for pair in files.windows(2).filter(|pair| pair[0].name == pair[1].name) {
        problems.push(Problem {
            file: pair[0].name.clone(),
            at: None,
            what: "two files have this name".to_owned(),
            help: "give one of the folders another name".to_owned(),
        });
    }
    let actions = actions();
    let mut policies: Vec<Loaded> = Vec::new();
    let mut lists = Vec::new();
    for file in &files {
        if file.name.ends_with(".cedar") {
            parse_policies(file, &actions, &mut policies, &mut problems);
        } else {
            match toml::from_str::<ListFile>(&file.text) {
                Ok(list) => lists.push(list),
                Err(error) => problems.push(Problem {
                    file: file.name.clone(),
                    at: Some(place(&file.text, error.span().map_or(0, |span| span.start))),
                    what: error.message().replace('\n', " "),
                    help:
                        "the lists are workspace, scratch, protected_branches, allowed_hosts, allowed_mcp, \
                           secrets, privileged and [classes]; each is an array of texts"
                            .to_owned(),
                }),
            }
        }
    }
    let mut by_id: HashMap<PolicyId, usize> = HashMap::new();
    for (at, loaded) in policies.iter().enumerate() {
        if let Some(other) = by_id.insert(loaded.policy.id().clone(), at) {
            let other = &policies[other].info;
            problems.push(Problem {
                file: loaded.info.file.clone(),
                at: Some((loaded.info.line, 1)),
                what: format!("the @id {:?} is taken: {}:{}", loaded.info.id, other.file, other.line),
                help: "give one of them another @id".to_owned(),
            });
        }
    }
    validate(&policies, &files, &mut problems);
    if !problems.is_empty() {
        problems.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        return Err(SetError { problems, files });
    }
    let slices = Slices::new(policies.iter().map(|loaded| &loaded.policy), &actions);
    Ok(PolicySet { hash: hash(&files), files, policies, lists: Lists::unite(&lists), actions, slices })
}

fn hash(files: &[SetFile]) -> String {
    let mut sha = Sha256::new();
    for text in files.iter().flat_map(|file| [&file.name, &file.text]) {
        sha.update((text.len() as u64).to_be_bytes());
        sha.update(text.as_bytes());
    }
    format!("sha256:{}", hex(&sha.finalize()))
}

/// Line and column of a place in a text, from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

/// The policies of a text, one by one, with where they begin. Each is parsed by Cedar for itself,
/// so that one mistake doesn't hide the others; a wrong cut here could only make Cedar refuse.
fn split(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let (mut at, mut start) = (0, None);
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'"' => {
                start = start.or(Some(at));
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
            }
            b';' => {
                let from = start.take().unwrap_or(at);
                pieces.push((from, &text[from..=at]));
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => start = start.or(Some(at)),
        }
        at += 1;
    }
    if let Some(from) = start {
        pieces.push((from, &text[from..]));
    }
    pieces
}

fn parse_policies(
    file: &SetFile,
    actions: &[ActionEntity],
    policies: &mut Vec<Loaded>,
    problems: &mut Vec<Problem>,
) {
    for (from, text) in split(&file.text) {
        let mut problem = |offset: usize, what: String, help: &str| {
            let at = Some(place(&file.text, from + offset));
            problems.push(Problem { file: file.name.clone(), at, what, help: help.to_owned() });
        };
        let policy = match Policy::parse(None, text) {
            Ok(policy) => policy,
            Err(errors) => {
                for error in errors.iter() {
                    let what = error.to_string();
                    let help = match error.help() {
                        Some(help) => help.to_string(),
                        None if what.contains("end of input") => "a policy ends with a semicolon".to_owned(),
                        None => String::new(),
                    };
                    problem(offset_of(error), what, &help);
                }
                continue;
            }
        };
        let mut annotation = |key: &str, example: &str| match policy.annotation(key).map(str::trim) {
            Some(value) if !value.is_empty() => Some(value.to_owned()),
            _ => {
                problem(
                    0,
                    format!("the policy has no @{key}"),
                    &format!("write @{key}(\"{example}\") before it"),
                );
                None
            }
        };
        let id = annotation("id", "set/what-it-is-about");
        let reason = annotation("reason", "the sentence that the agent and the human see");
        let control = annotation("control", "800-53 AC-6; OWASP LLM06");
        let is_forbid = policy.effect() == Effect::Forbid;
        let verdict = match (policy.annotation("decision"), is_forbid) {
            (None, true) | (Some("deny"), true) => Verdict::Deny,
            (Some("ask"), true) => Verdict::Ask,
            (None, false) | (Some("permit"), false) => Verdict::Permit,
            (Some(other), _) => {
                let what = format!("@decision({other:?}) is not known on a {}", policy.effect());
                problem(0, what, "a forbid can have @decision(\"ask\"); leave it out otherwise");
                continue;
            }
        };
        let four_eyes = match policy.annotation("four_eyes") {
            None | Some("false") => false,
            Some("true") if verdict == Verdict::Ask => true,
            Some(_) => {
                problem(
                    0,
                    "@four_eyes is out of place here".to_owned(),
                    "write @four_eyes(\"true\") beside @decision(\"ask\")",
                );
                continue;
            }
        };
        const KNOWN: [&str; 6] = ["id", "reason", "control", "decision", "four_eyes", "note"];
        let unknown: BTreeSet<&str> =
            policy.annotations().map(|(key, _)| key).filter(|key| !KNOWN.contains(key)).collect();
        for key in &unknown {
            let help = format!("the annotations are @{}", KNOWN.join(", @"));
            problem(0, format!("the annotation @{key} is not known"), &help);
        }
        let (Some(id), Some(reason), Some(control)) = (id, reason, control) else { continue };
        if id.contains(|c: char| c.is_whitespace() || c.is_control()) {
            problem(0, format!("the @id {id:?} has blanks in it"), "use letters, digits, slashes and dashes");
            continue;
        }
        let info = PolicyInfo {
            id,
            reason,
            control,
            verdict,
            four_eyes,
            file: file.name.clone(),
            line: place(&file.text, from).0,
            text: text.to_owned(),
        };
        let policy = policy.new_id(PolicyId::new(&info.id));
        let json = policy.to_json().unwrap_or_default();
        let conditions = Conditions::new(&json, actions);
        let mut alone = cedar_policy::PolicySet::new();
        // A static policy can always be added to an empty set.
        let _ = alone.add(policy.clone());
        policies.push(Loaded { policy, info, alone, conditions, offset: from });
    }
}

/// Where in the text of a policy an error is.
fn offset_of(error: &impl Diagnostic) -> usize {
    error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset())
}

/// Checks policies against the schema, strictly.
fn validate(policies: &[Loaded], files: &[SetFile], problems: &mut Vec<Problem>) {
    // Cedar checks a policy for every combination of principal, action and resource. All actions
    // take the same principals, resources and context, so those that a policy doesn't name are
    // as good as one of them.
    let mut groups: BTreeMap<BTreeSet<String>, cedar_policy::PolicySet> = BTreeMap::new();
    let mut seen: HashSet<&PolicyId> = HashSet::new();
    for loaded in policies.iter().filter(|loaded| seen.insert(loaded.policy.id())) {
        let names = loaded
            .policy
            .entity_literals()
            .into_iter()
            .filter(is_action)
            .map(|uid| uid.id().unescaped().to_owned());
        let group = groups.entry(names.collect()).or_default();
        // Ids are unique here, and a static policy can always be added.
        let _ = group.add(loaded.policy.clone());
    }
    let mut found: BTreeMap<(usize, usize), BTreeSet<(String, String)>> = BTreeMap::new();
    let index: HashMap<&PolicyId, usize> =
        policies.iter().enumerate().rev().map(|(at, loaded)| (loaded.policy.id(), at)).collect();
    for (names, group) in groups {
        let validator = Validator::new(schema_for(&names));
        let result = validator.validate(&group, ValidationMode::Strict);
        for error in result.validation_errors() {
            let Some(at) = index.get(error.policy_id()) else { continue };
            let what = error.to_string();
            let what = what.split_once("`, ").map_or(what.as_str(), |(_, what)| what).to_owned();
            let help = error.help().map(|help| help.to_string()).unwrap_or_default();
            found.entry((*at, offset_of(error))).or_default().insert((what, help));
        }
    }
    for ((at, offset), errors) in found {
        let Loaded { info, offset: start, .. } = &policies[at];
        let Some(file) = files.iter().find(|file| file.name == info.file) else { continue };
        // The same mistake is found once for each type of resource.
        let more =
            if errors.len() > 1 { format!(" (and {} like it)", errors.len() - 1) } else { String::new() };
        let Some((what, help)) = errors.into_iter().next() else { continue };
        let help = remedy(&what, help);
        let at = Some(place(&file.text, start + offset));
        problems.push(Problem { file: info.file.clone(), at, what: format!("{what}{more}"), help });
    }
}

/// What to do about a mistake against the schema.
fn remedy(what: &str, help: String) -> String {
    let quoted = what.split('`').nth(1).unwrap_or("");
    if what.starts_with("attribute") && SCHEMA.contains(&format!("\"{quoted}\":")) {
        // Cedar would propose the name of another attribute.
        return "not every type has it: write `resource is File &&` before it, or the type in the scope"
            .to_owned();
    }
    if what.starts_with("unrecognized action") {
        let verbs: Vec<&str> = Verb::ALL.into_iter().map(Verb::as_str).collect();
        return format!("the actions are {}, and the groups change and outward", verbs.join(", "));
    }
    match help.split_once("`, ").filter(|_| help.starts_with("for policy")) {
        Some((_, help)) => help.to_owned(),
        None if help.is_empty() => "see schema.cedarschema".to_owned(),
        None => help,
    }
}

fn is_action(uid: &EntityUid) -> bool {
    uid.type_name().basename() == "Action"
}

/// The whole schema.
pub(crate) fn schema() -> &'static Schema {
    static WHOLE: OnceLock<Schema> = OnceLock::new();
    WHOLE.get_or_init(|| Schema::from_str(SCHEMA).expect("the schema is part of the program and tested"))
}

/// The schema with the actions in `names`, and with one of each declaration for the others. If
/// no action is named, one stands for all.
fn schema_for(names: &BTreeSet<String>) -> Schema {
    let mut reduced = String::new();
    for statement in SCHEMA.split_inclusive(";\n") {
        let Some((before, after)) =
            statement.split_once("action \"").filter(|(_, rest)| rest.contains("appliesTo"))
        else {
            reduced.push_str(statement);
            continue;
        };
        let end = after.find(" in [").or_else(|| after.find(" appliesTo")).unwrap_or(after.len());
        let (list, rest) = after.split_at(end);
        let all: Vec<&str> = list.split(", ").map(|name| name.trim_matches('"')).collect();
        let is_kept = |name: &&&str| names.contains(**name);
        let spare = all.iter().find(|name| !names.contains(**name));
        let kept: Vec<String> =
            all.iter().filter(is_kept).chain(spare).map(|name| format!("{name:?}")).collect();
        if !kept.is_empty() && (!names.is_empty() || all.contains(&"read")) {
            reduced.push_str(&format!("{before}action {}{rest}", kept.join(", ")));
        }
    }
    Schema::from_str(&reduced).unwrap_or_else(|_| schema().clone())
}
