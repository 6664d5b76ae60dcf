//! Code that is handed to an interpreter, looked at as a bag of words.
//!
//! It is not parsed: what counts is whether it *names* something that deletes, speaks to the
//! network, starts programs, reads secrets, or makes code of text, and which paths and addresses
//! stand in it. That is judged too harshly rather than too mildly, but plain computing (JSON,
//! arithmetic, printing, reading a file that is named) must stay plain, because that is what
//! coding agents do all day.
//!
//! Quotes are not trusted to tell strings from code (a comment with an apostrophe turns them
//! round), so words are looked for everywhere, and paths behind every quote.

use super::expand::Arg;
use super::run::Shell;
use super::syntax::excerpt;
use crate::{Hazard, Resource};
use regex::bytes::{Regex as BytesRegex, RegexBuilder as BytesRegexBuilder};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, OnceLock};

/// How many names of one piece of code are looked at.
const MAX_NAMES: usize = 200;
/// How much of one piece of code is looked at, counting what is looked at again.
const MAX_WORK_BYTES: usize = 8 << 20;
/// How long the arguments of a call may be to be looked at.
const MAX_CALL_BYTES: usize = 2000;

/// The languages whose differences matter to a bag of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    JavaScript,
    Ruby,
    Perl,
    Php,
    Other,
}

impl Language {
    /// Whether `unlink $file` is a call.
    fn calls_without_brackets(self) -> bool {
        matches!(self, Language::Ruby | Language::Perl | Language::Php | Language::Other)
    }
}

/// What was found in a piece of code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub hazards: BTreeSet<Hazard>,
    /// Paths as they are written, and addresses with their scheme.
    pub names: BTreeSet<String>,
    /// Not all of it was looked at.
    pub left_out: bool,
    /// How much was looked at, in bytes; what stands close by is looked at more than once.
    work: usize,
}

impl Found {
    /// Pays for looking at `bytes`; `false` when there is no more to be had.
    fn pay(&mut self, bytes: usize) -> bool {
        self.work = self.work.saturating_add(bytes);
        self.left_out |= self.work > MAX_WORK_BYTES;
        !self.left_out
    }
}

/// When a word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Wherever it stands: nothing else has that name.
    Anywhere,
    /// It is called or imported by its name: `f(`, `x.f(`, `from m import f`.
    Called,
    /// It is called or imported by its name, and is not a method: `f(`.
    Bare,
    /// It is a member, called or not: `x.f`, or it is called or imported.
    Member,
    /// A method that is called with something: `x.f(a)`.
    Method,
    /// A module that is imported or used: `m.`, `import m`, `require("m")`.
    Module,
}

/// Words by what they do.
const WORDS: &[(Hazard, When, &str)] = &[
    (
        Hazard::CodeDestructive,
        When::Anywhere,
        "rmtree rmSync rmdirSync unlinkSync unlinkat renameSync truncateSync ftruncate writeFileSync writeFile \
         appendFile appendFileSync createWriteStream copyFileSync cpSync writevSync outputFile outputFileSync \
         removeSync emptyDir emptyDirSync moveSync write_text write_bytes writeTextFile writeTextFileSync \
         file_put_contents move_uploaded_file removedirs renames remove_tree copyfile copytree copyfileobj \
         FileUtils rm_rf rm_r delete_many delete_one deleteMany deleteOne dropDatabase drop_all drop_database \
         flushall flushdb extractall O_WRONLY O_RDWR O_CREAT O_TRUNC O_APPEND binwrite symlink_to hardlink_to \
         deleteFile removeItem removeItemAtPath writeToFile unlinkSync syswrite to_csv to_excel to_parquet \
         to_pickle savefig savetxt imsave imwrite chmodSync chownSync lchown symlinkSync linkSync",
    ),
    (
        Hazard::CodeDestructive,
        When::Called,
        "unlink rmdir truncate chmod chown symlink unpack_archive make_archive trash send2trash",
    ),
    (Hazard::CodeDestructive, When::Bare, "rename remove rm move"),
    (Hazard::CodeDestructive, When::Method, "rm save tofile"),
    (
        Hazard::CodeNetwork,
        When::Anywhere,
        "urlopen urlretrieve smtplib ftplib poplib imaplib telnetlib httpx aiohttp pycurl paramiko socketserver \
         XMLHttpRequest EventSource sendBeacon WebSocket websockets TCPSocket UDPSocket TCPServer UNIXSocket \
         curl_init curl_exec curl_multi_exec fsockopen pfsockopen stream_socket_client socket_connect \
         create_connection open_connection start_server getaddrinfo gethostbyname http2 dgram undici urllib2 urllib3 boto3 botocore psycopg \
         psycopg2 pymysql pymongo asyncpg xmlrpc websocket webbrowser LWP HTTPoison Faraday HTTParty HttpURLConnection openConnection openStream",
    ),
    (
        Hazard::CodeNetwork,
        When::Module,
        "urllib requests socket http https net tls dns axios ssl Net HTTP Socket superagent nodemailer \
         grpc redis fabric httplib asyncore ldap3 snmp",
    ),
    (Hazard::CodeNetwork, When::Bare, "fetch curl wget urlretrieve"),
    (
        Hazard::CodeProcess,
        When::Anywhere,
        "subprocess child_process execSync execFile execFileSync spawnSync execv execve execvp execvpe execl \
         execle execlp execlpe posix_spawn posix_spawnp spawnl spawnv spawnve spawnvp spawnvpe spawnle spawnlp spawnlpe const_get Popen popen popen2 popen3 \
         getoutput getstatusoutput check_output check_call proc_open shell_exec passthru pcntl_exec pcntl_fork \
         create_subprocess_exec create_subprocess_shell pexpect ctypes cffi __import__ importlib import_module \
         runpy run_path __builtins__ builtins __subclasses__ __globals__ __getattribute__ __loader__ __base__ \
         __mro__ __reduce__ f_globals f_builtins tb_frame gi_frame marshal pickle cPickle dill cloudpickle \
         b64decode b32decode b16decode b85decode a85decode decodebytes standard_b64decode urlsafe_b64decode \
         unhexlify fromhex runInThisContext runInNewContext runInContext worker_threads createRequire mainModule \
         dlopen MIME decode_base64 base64_decode str_rot13 gzinflate gzuncompress hex2bin call_user_func \
         call_user_func_array create_function instance_eval class_eval module_eval __send__ public_send \
         define_method methodcaller killpg startfile doShellScript InteractiveInterpreter exec_module \
         unsafe_load UnsafeLoader inflateSync gunzipSync brotliDecompressSync eval_string loadstring dofile _load \
         Open3 syscall preg_replace_callback_array CreateObject ActiveXObject \
         rot13 rot_13 getRuntime ProcessBuilder",
    ),
    (
        Hazard::CodeProcess,
        When::Called,
        "spawn fork kill terminate Function decompress globals getDeclaredMethod atob exec_command",
    ),
    (Hazard::CodeProcess, When::Bare, "exec eval compile system execfile Worker start_new_thread qx"),
    (Hazard::CodeProcess, When::Member, "system"),
    (Hazard::CodeProcess, When::Module, "pty vm cluster Kernel sh shelljs execa zx plumbum sarge"),
    (
        Hazard::CodeSecret,
        When::Anywhere,
        "environ environb keyring getpass dotenv load_dotenv dotenv_values id_rsa id_ed25519 id_ecdsa id_dsa \
         authorized_keys _ENV find_generic_password PRIVATE_KEY",
    ),
    (Hazard::CodeSecret, When::Called, "getenv getenvb getspnam getspall"),
];

/// Members that do something only if they are members of these.
const MEMBERS: &[(Hazard, &str, &str)] = &[
    (
        Hazard::CodeDestructive,
        "os posix nt fs promises fsp fsPromises fse shutil File Dir IO Pathname Deno Bun",
        "remove unlink rmdir rename replace move copy copy2 rm cp write delete truncate copyFile link symlink \
         writev rmSync writeFile appendFile utime chflags mkfifo mknod",
    ),
    (
        Hazard::CodeProcess,
        "os posix nt Deno Bun Process Kernel IO",
        "system popen exec spawn run Command fork kill",
    ),
    (
        Hazard::CodeDestructive,
        "Files",
        "delete deleteIfExists move copy write writeString newOutputStream newBufferedWriter createSymbolicLink",
    ),
    (Hazard::CodeProcess, "codecs", "decode getdecoder"),
    (Hazard::CodeProcess, "os", "execute"),
    (Hazard::CodeProcess, "System", "cmd shell"),
    (Hazard::CodeDestructive, "file", "remove rename delete copy"),
    (Hazard::CodeProcess, "sys", "modules settrace _getframe meta_path path_hooks"),
    (
        Hazard::CodeProcess,
        "builtins __builtins__ global globalThis window self",
        "eval exec compile Function",
    ),
    (Hazard::CodeProcess, "Reflect", "get apply construct"),
    (Hazard::CodeProcess, "runtime py", "exec eval"),
    (Hazard::CodeNetwork, "globalThis window self global", "fetch"),
    (Hazard::CodeNetwork, "URI", "open"),
    (Hazard::CodeNetwork, "Deno Bun", "connect listen connectTls serve resolveDns"),
    (Hazard::CodeSecret, "Deno process Bun", "env"),
];

/// Pieces of text that mean something by themselves, each with words of lower case of which one
/// stands in it.
const PATTERNS: &[(Hazard, &[&str], &str)] = &[
    (
        Hazard::CodeDestructive,
        &["drop", "delete", "truncate", "alter", "replace", "update"],
        r"(?i)\b(?:drop\s+(?:table|database|schema|index|view|column|user|role)|delete\s+from|truncate\s+table|alter\s+table|replace\s+into)\b|\bupdate\s+[\w.`]+\s+set\b",
    ),
    (
        Hazard::CodeDestructive,
        &["fileinput"],
        r"\binplace\s*=\s*(?:True|1)\b.*\bfileinput\b|\bfileinput\b[\s\S]*\binplace\s*=\s*(?:True|1)\b",
    ),
    (
        Hazard::CodeDestructive,
        &["-item", "-content", "out-file"],
        r"(?i)\b(?:remove-item|set-content|add-content|clear-content|out-file|move-item|rename-item|copy-item)\b",
    ),
    (
        Hazard::CodeNetwork,
        &["invoke-", "iwr", "irm", "webclient", "bitstransfer", "open-uri", "net/http", "/dev/tcp"],
        r"(?i)\b(?:invoke-webrequest|invoke-restmethod|iwr|irm|net\.webclient|start-bitstransfer)\b|open-uri|net/https?|/dev/tcp/",
    ),
    (
        Hazard::CodeNetwork,
        &["://"],
        r"\b(?:file_get_contents|fopen|copy|readfile|download\.file|url|open)\s*\(?\s*[^)\n]{0,80}\b(?:https?|ftps?)://",
    ),
    (
        Hazard::CodeProcess,
        &["do shell", "tell app", "invoke-expr", "iex", "-process", "keystroke"],
        r"(?i)\b(?:do shell script|tell application|invoke-expression|iex|start-process|stop-process|keystroke)\b",
    ),
    (Hazard::CodeDestructive, &["file"], r"\bfile\s+(?:delete|rename|copy)\b"),
    (Hazard::CodeProcess, &["execute"], r#"["']\s*\.\s*execute\s*\("#),
    // Texts that are turned round or put together of numbers.
    (
        Hazard::CodeProcess,
        &["reverse", "-1"],
        r#"["'\])]\s*\[\s*::\s*-1\s*\]|split\s*\(\s*["']{2}\s*\)\s*\.\s*reverse|\breversed\s*\(\s*["']"#,
    ),
    (
        Hazard::CodeProcess,
        &["chr", "pack", "fromc"],
        r#"\bchr\s*\([^)]*\)\s*(?:\+|\.)\s*chr\b|join\s*\(\s*(?:map\s*\(\s*)?\(?\[?chr\b|map\s*\(\s*chr\b|\bchr\s*\(\s*\w+\s*(?:[\^+-][^)]*)?\)\s*for\b|fromCharCode|fromCodePoint|\]\s*\.\s*pack\b|(?:^|[^.\w])pack\s*\(?\s*["'][CUHmuW]"#,
    ),
    (
        Hazard::CodeProcess,
        &["unpack", "buffer", "decode"],
        r#"\bunpack1?\s*\(?\s*["'](?:[mu]|H\*)|Buffer\s*\.\s*from\s*\([^)]*["'](?:base64|base64url|hex)["']|\.\s*decode\s*\(\s*["'](?:hex|rot|base64|zlib|bz2|unicode_escape|raw_unicode)"#,
    ),
    (
        Hazard::CodeProcess,
        &["modules", "__dict__", "locals", "vars"],
        r#"\b(?:sys\s*\.\s*modules|__dict__\s*(?:\[|\.)|(?:locals|vars)\s*\([^)]*\)\s*(?:\[|\.))"#,
    ),
    // `x[y](…)`: what is called is computed; a number is only a number.
    (Hazard::CodeProcess, &["](", "] ("], r#"[\w)\]]\[[^\]\n]*[A-Za-z_$][^\]\n]*\]\s*\("#),
    (
        Hazard::CodeProcess,
        &["send", "method", "constructor"],
        r#"\bsend\s*\(?\s*[:"']|\bmethod\s*\(\s*[:"']|\bconstructor\s*(?:\(|\.\s*constructor|\[)|["']constructor["']\s*\]"#,
    ),
    (
        Hazard::CodeProcess,
        &["require", "import(", "type"],
        r#"\brequire\s*\(\s*[^"'`\s)]|\bimport\([^"'`\s)]|\btype\s*\(\s*os\s*\)"#,
    ),
    (
        Hazard::CodeProcess,
        &["node", "process"],
        r"\b(?:nodejs|node|process)\s*\.\s*(?:kill|binding|dlopen|mainModule|abort)\b",
    ),
    (
        Hazard::CodeSecret,
        &["env", "_server"],
        r#"\bprocess\s*(?:\?\.|\.|\[)\s*["'`]?env\b|\bENV\s*(?:\[|\.|\{)|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b|%ENV\b|\$ENV\b|\$_SERVER\b|\$env:|\bSys\.getenv"#,
    ),
    (
        Hazard::CodeSecret,
        &[
            "/etc/",
            "credentials",
            "secret",
            "/proc/",
            ".ssh",
            ".aws",
            ".gnupg",
            ".netrc",
            ".npmrc",
            ".pypirc",
            ".kube",
            ".docker",
            ".git-cred",
            ".pgpass",
            ".vault",
            ".azure",
            ".config",
            ".htpasswd",
            ".pem",
            ".p12",
            ".pfx",
            ".kdbx",
            ".keystore",
            ".jks",
            "login data",
            "cookies",
            "keychain",
        ],
        r#"(?i)(?:^|[/'"`\s=(])\.(?:ssh|aws|gnupg|netrc|npmrc|pypirc|kube|docker/config|git-credentials|pgpass|vault-token|azure|config/gcloud|config/gh|htpasswd)\b|/etc/(?:shadow|gshadow|sudoers)|\b(?:credentials|secrets?)\.(?:json|ya?ml|toml|ini|txt|env|db)\b|[/\\]credentials\b|/proc/[\w*{}$]+/(?:environ|mem|maps|cmdline)|\.(?:pem|p12|pfx|kdbx|keystore|jks)\b|login data|cookies\.sqlite|keychain"#,
    ),
];
static COMPILED: LazyLock<Vec<OnceLock<BytesRegex>>> =
    LazyLock::new(|| PATTERNS.iter().map(|_| OnceLock::new()).collect());

/// Whether a pattern is in a text. It is compiled only once a text has one of its triggers.
fn is_in(index: usize, text: &str) -> bool {
    COMPILED[index]
        .get_or_init(|| {
            // The cases and classes of ASCII are enough, and quicker.
            let builder = BytesRegexBuilder::new(PATTERNS[index].2).unicode(false).build();
            builder.expect("the pattern is valid")
        })
        .is_match(text.as_bytes())
}

fn ascii(pattern: &str) -> Regex {
    RegexBuilder::new(pattern).unicode(false).build().expect("the pattern is valid")
}

/// The text without what stands between two literals that are beside each other or joined.
fn joined(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_quote = |b: Option<&u8>| matches!(b, Some(b'"' | b'\'' | b'`'));
    let blank = |mut i: usize| {
        while bytes.get(i).is_some_and(u8::is_ascii_whitespace) {
            i += 1;
        }
        i
    };
    let mut plain = String::new();
    let (mut from, mut at) = (0, 0);
    while at < bytes.len() {
        if !is_quote(bytes.get(at)) {
            at += 1;
            continue;
        }
        let mut end = blank(at + 1);
        for operator in ["..", "<>", "||", "\\\n", "+", ".", "&"] {
            if bytes[end..].starts_with(operator.as_bytes()) {
                end = blank(end + operator.len());
                break;
            }
        }
        if matches!(bytes.get(end), Some(b'f' | b'F' | b'r' | b'R' | b'b' | b'B' | b'u' | b'U')) {
            end += 1;
        }
        if is_quote(bytes.get(end)) {
            plain.push_str(&text[from..at]);
            from = end + 1;
            at = from;
        } else {
            at += 1;
        }
    }
    (from > 0).then(|| plain + &text[from..])
}

static GETATTR: LazyLock<Regex> = LazyLock::new(|| {
    ascii(r#"\b(?:getattr|attrgetter)\s*\(\s*(?:([\w.]+)\s*,\s*)?["'](\w+)["']\s*(?:,(?u:[^()])*)?\)"#)
});
static MEMBER_BY_NAME: LazyLock<Regex> = LazyLock::new(|| ascii(r#"\[\s*["'`](\w+)["'`]\s*\]"#));
static ESCAPE: LazyLock<Regex> = LazyLock::new(|| {
    ascii(
        r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}|U([0-9A-Fa-f]{8})|([0-3][0-7]{2}))",
    )
});
static ALIAS: LazyLock<Regex> = LazyLock::new(|| {
    ascii(
        r#"\b(?:import\s+|,\s*)([A-Za-z_]\w*)\s+as\s+(\w+)|([A-Za-z_$][\w$]*)\s*=\s*(?:await\s+)?(?:require\s*\(\s*["'`](?:node:)?([\w/]+)["'`]\s*\)(?:\s*\.\s*promises)?|(os|posix|shutil|sys|fs|File|Dir|IO|builtins|Kernel|Process|Deno|process|codecs)\s*(?:[;\n,)]|$))|\bimport\s+(?:\*\s+as\s+)?([A-Za-z_$][\w$]*)\s+from\s+["'`](?:node:)?([\w/]+)["'`]"#,
    )
});
/// Modules that may go under another name by an assignment.
const MODULES: [&str; 14] = [
    "os", "posix", "shutil", "sys", "fs", "File", "Dir", "IO", "builtins", "Kernel", "Process", "Deno",
    "process", "codecs",
];
/// How many arguments of a call are told apart.
const MAX_ARGUMENTS: usize = 8;

static RULES: LazyLock<HashMap<&str, Vec<(Hazard, When)>>> = LazyLock::new(|| {
    let mut rules: HashMap<&str, Vec<(Hazard, When)>> = HashMap::new();
    for (hazard, when, words) in WORDS {
        for word in words.split_ascii_whitespace() {
            rules.entry(word).or_default().push((*hazard, *when));
        }
    }
    rules
});
/// An import over several lines, which is read as one.
static FOLDED: LazyLock<Regex> = LazyLock::new(|| {
    ascii(r"\\\n|import\s*\((?u:[^)])*\)|\{(?u:[^{}])*\}\s*(?:=\s*(?:await\s+)?(?:require|import)|from)\b")
});

fn one_line_imports(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') || !["import", "require", "\\\n"].iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    FOLDED.replace_all(text, |groups: &regex::Captures<'_>| groups[0].replace(['\\', '\n'], " "))
}

/// Looks at a piece of code.
pub(super) fn scan(text: &str, language: Language) -> Found {
    let mut found = Found::default();
    let mut versions: Vec<Cow<'_, str>> = vec![Cow::Borrowed(text)];
    if text.contains('\\') {
        let plain = ESCAPE.replace_all(text, |groups: &regex::Captures<'_>| {
            let number = (1..=4)
                .find_map(|i| groups.get(i).map(|m| u32::from_str_radix(m.as_str(), 16)))
                .or_else(|| groups.get(5).map(|m| u32::from_str_radix(m.as_str(), 8)));
            match number.and_then(Result::ok).and_then(char::from_u32) {
                Some(c) if !c.is_control() => c.to_string(),
                _ => groups[0].to_owned(),
            }
        });
        if let Cow::Owned(plain) = plain {
            versions.push(Cow::Owned(plain));
        }
    }
    let texts: Vec<String> = versions.iter().filter_map(|version| joined(version)).collect();
    versions.extend(texts.into_iter().map(Cow::Owned));
    for version in versions {
        let text = one_line_imports(&version);
        let text = if text.contains("attr") { GETATTR.replace_all(&text, "$1.$2(") } else { text };
        Scan { text: &text, language, found: &mut found }.all();
        if ["](", "] (", "]`"].iter().any(|call| text.contains(call))
            && let Cow::Owned(members) = MEMBER_BY_NAME.replace_all(&text, ".$1")
        {
            Scan { text: &members, language, found: &mut found }.words(true);
        }
    }
    found
}

struct Scan<'t, 'f> {
    text: &'t str,
    language: Language,
    found: &'f mut Found,
}

/// A word of the code and what stands around it.
struct Word<'t> {
    text: &'t str,
    start: usize,
    end: usize,
    /// The last character before it that is no space.
    before: Option<char>,
    /// The first character after it that is no space.
    after: Option<char>,
    /// What it is a member of, if it is one; empty where that is no name.
    of: Option<&'t str>,
}

impl<'t> Scan<'t, '_> {
    fn all(&mut self) {
        self.words(false);
        let lower = self.text.to_ascii_lowercase();
        for (i, (hazard, triggers, _)) in PATTERNS.iter().enumerate() {
            if !self.found.hazards.contains(hazard)
                && triggers.iter().any(|t| lower.contains(t))
                && is_in(i, self.text)
            {
                self.found.hazards.insert(*hazard);
            }
        }
        if matches!(self.language, Language::Ruby | Language::Perl | Language::Php | Language::Other)
            && (self.text.contains('`') || self.text.contains("%x") || self.text.contains("qx"))
        {
            self.found.hazards.insert(Hazard::CodeProcess);
        }
        // `&{"name"}(…)` in Perl, `("name")(…)` in PHP.
        let by_name = match self.language {
            Language::Perl => ["&{", "&$", "& $"].iter().any(|call| self.text.contains(call)),
            Language::Php => ["\")(", "')(", "\") (", "') ("].iter().any(|call| self.text.contains(call)),
            _ => false,
        };
        if by_name {
            self.found.hazards.insert(Hazard::CodeProcess);
        }
        self.secret_file();
        self.names();
    }

    fn mark(&mut self, hazard: Hazard) {
        self.found.hazards.insert(hazard);
    }

    // --- words ---

    /// `members`: the text has been rewritten so that `x["y"]` reads `x.y`; only calls count.
    fn words(&mut self, members: bool) {
        let aliases = self.aliases();
        let mut last: Option<(usize, usize)> = None;
        let mut position = 0;
        while let Some(offset) = self.text[position..].find(is_word_start) {
            let start = position + offset;
            let length = self.text[start..].find(|c: char| !is_word(c)).unwrap_or(self.text.len() - start);
            let end = start + length;
            position = end;
            let before_text = self.text[..start].trim_end_matches([' ', '\t', '\n', '\r']);
            let before = before_text.chars().next_back();
            let after = self.text[end..].trim_start_matches([' ', '\t']).chars().next();
            let of = match before {
                Some('.') | Some(':') if before == Some('.') || before_text.ends_with("::") => {
                    let head = before_text.trim_end_matches(['.', ':', '?', ' ', '\n']);
                    Some(match last {
                        Some((s, e)) if e == head.len() => &self.text[s..e],
                        _ => "",
                    })
                }
                Some('>') if before_text.ends_with("->") => Some(""),
                _ => None,
            };
            let word = Word { text: &self.text[start..end], start, end, before, after, of };
            if !members || (word.of.is_some() && matches!(word.after, Some('(' | '`'))) {
                self.word(&word, &aliases);
            }
            last = Some((start, end));
        }
    }

    /// Names under which modules go in this code.
    fn aliases(&self) -> Vec<(&'t str, &'t str)> {
        let mut aliases = Vec::new();
        let given = self.text.contains(" as ")
            || self.text.contains("require")
            || self.text.contains("import ") && self.text.contains(" from ")
            || MODULES.iter().any(|module| self.is_assigned(module));
        if !given {
            return aliases;
        }
        for groups in ALIAS.captures_iter(self.text).take(64) {
            let group = |i: usize| groups.get(i).map(|m| m.as_str());
            let pair = match (group(1), group(3), group(6)) {
                (Some(module), ..) => Some((group(2).unwrap_or(""), module)),
                (_, Some(alias), _) => Some((alias, group(4).or(group(5)).unwrap_or(""))),
                (_, _, Some(alias)) => Some((alias, group(7).unwrap_or(""))),
                _ => None,
            };
            aliases.extend(pair.map(|(alias, module)| match module {
                "fs/promises" => (alias, "fs"),
                other => (alias, other),
            }));
        }
        aliases
    }

    fn is_assigned(&self, module: &str) -> bool {
        self.text.match_indices(module).any(|(at, _)| self.text[..at].trim_end_matches(' ').ends_with('='))
    }

    fn word(&mut self, word: &Word<'t>, aliases: &[(&str, &str)]) {
        // What its rules look at around it, at most.
        let is_ruled = RULES.contains_key(word.text) || matches!(word.text, "open" | "rename" | "replace");
        if !self.found.pay(if is_ruled { MAX_CALL_BYTES } else { word.text.len() }) {
            return;
        }
        if is_look_alike(word.text)
            && (word.of.is_some() || matches!(word.after, Some('(' | '.')) || self.is_imported(word))
        {
            // Python reads such letters as the plain ones.
            self.mark(Hazard::CodeProcess);
        }
        for (hazard, when) in RULES.get(word.text).into_iter().flatten() {
            if self.counts(word, *when) {
                self.mark(*hazard);
            }
        }
        if let Some(of) = word.of {
            let module = aliases.iter().find(|(alias, _)| *alias == of).map_or(of, |(_, module)| module);
            for (hazard, modules, words) in MEMBERS {
                if words.split_ascii_whitespace().any(|w| w == word.text)
                    && modules.split_ascii_whitespace().any(|m| m == module)
                {
                    self.mark(*hazard);
                }
            }
        }
        match word.text {
            "open" | "openSync" | "fopen" | "sysopen" | "FileIO" | "ZipFile" | "TarFile"
                if word.after != Some(')') =>
            {
                self.opens(word)
            }
            "replace" | "rename" if word.of.is_some() && word.after == Some('(') => self.renames(word),
            "getattr" | "attrgetter" if word.after == Some('(') => self.mark(Hazard::CodeProcess),
            "os" | "posix" if self.language == Language::Python && self.is_passed_about(word) => {
                self.mark(Hazard::CodeProcess);
            }
            // An order that goes by another name: `e = exec`, `map(eval, …)`, `o = open`.
            "exec" | "eval" | "compile" | "system" | "fetch" | "Function" if self.is_passed_about(word) => {
                self.mark(Hazard::CodeProcess);
            }
            // Of an object-relational mapper, as a rule; sets of JavaScript have one as well.
            "delete"
                if word.after == Some('(')
                    && match self.language {
                        Language::Python => word.of.is_some(),
                        Language::Other => word.of.is_none(),
                        _ => false,
                    } =>
            {
                self.mark(Hazard::CodeDestructive);
            }
            "system" | "exec" | "shell_exec" | "passthru" | "unlink" | "rmdir"
                if self.language == Language::Php
                    && matches!(word.before, Some('"' | '\''))
                    && word.after == word.before =>
            {
                self.mark(Hazard::CodeProcess);
            }
            // A function by the name in a variable.
            _ if self.language == Language::Php
                && word.after == Some('(')
                && self.text[..word.start].ends_with('$') =>
            {
                self.mark(Hazard::CodeProcess);
            }
            _ => {}
        }
    }

    fn counts(&self, word: &Word<'t>, when: When) -> bool {
        let called = || match word.after {
            Some('(' | '`') => !self.is_defined(word),
            Some('.') => ["call(", "apply(", "bind("].iter().any(|c| self.after_dot(word).starts_with(c)),
            Some(c) if self.language.calls_without_brackets() && word.of.is_none() => {
                !matches!(word.before, Some('$' | '@' | '\'' | '"' | ':' | '{' | '-' | '/'))
                    && (matches!(c, '"' | '\'' | '$' | '@' | '%' | '<' | ':' | '\\' | '{') || is_word(c))
                    || c == '\'' && word.before != Some('\'')
            }
            _ => false,
        };
        match when {
            When::Anywhere => true,
            When::Called => called() || self.is_imported(word),
            When::Bare => word.of.is_none() && (called() || self.is_imported(word)),
            When::Member => {
                word.of.is_some_and(|of| of != "platform") && self.language != Language::JavaScript
                    || called() && word.of.is_none()
                    || self.is_imported(word)
            }
            When::Method => {
                word.of.is_some()
                    && word.after == Some('(')
                    && !self.text[word.end..].trim_start()[1..].trim_start().starts_with(')')
            }
            When::Module => {
                let parses_only = word.text == "urllib"
                    && (self.after_dot(word).starts_with("parse")
                        || self.statement(word).is_some_and(|s| s.starts_with("from urllib"))
                            && self.text[word.end..].trim_start().starts_with("import parse"));
                // Python knows no module that it has not imported.
                let used = self.language != Language::Python
                    && word.after == Some('.')
                    && self.after_dot(word).starts_with(is_word_start)
                    || self.text[word.end..].starts_with("::");
                let status = word.text == "http" && self.after_dot(word).starts_with("HTTPStatus");
                !parses_only
                    && !status
                    && (used && word.of.is_none() && !self.is_in_name(word) || self.is_imported(word))
            }
        }
    }

    /// Whether the word is part of a longer name, such as `my-net.example`.
    fn is_in_name(&self, word: &Word<'_>) -> bool {
        self.text[..word.start].ends_with(['-', '/', '@', '.', '$'])
    }

    fn after_dot(&self, word: &Word<'_>) -> &'t str {
        self.text[word.end..].trim_start().strip_prefix('.').unwrap_or("").trim_start()
    }

    fn is_defined(&self, word: &Word<'_>) -> bool {
        let before = self.text[..word.start].trim_end();
        ["def", "function", "sub", "class", "fn"]
            .iter()
            .any(|keyword| before.strip_suffix(keyword).is_some_and(|rest| !rest.ends_with(is_word)))
    }

    /// Its statement up to the word, or `None` where that is too long to be looked at.
    fn statement(&self, word: &Word<'_>) -> Option<&'t str> {
        let mut from = word.start.saturating_sub(MAX_CALL_BYTES);
        while !self.text.is_char_boundary(from) {
            from += 1;
        }
        let before = &self.text[from..word.start];
        match before.rfind(['\n', ';']) {
            Some(i) => Some(self.text[from + i + 1..word.end].trim_start()),
            None if from == 0 => Some(self.text[..word.end].trim_start()),
            None => None,
        }
    }

    /// Whether the word stands in an import: `import a, b`, `from a import b`, `use A::B`,
    /// `require("a")`, `{a} = require(…)`.
    fn is_imported(&self, word: &Word<'_>) -> bool {
        let Some(statement) = self.statement(word) else {
            return true;
        };
        let first = statement.split(|c: char| !is_word(c)).next().unwrap_or("");
        if first == "import"
            || first == "from" && self.language != Language::JavaScript
            || first == "use" && self.language.calls_without_brackets()
            || [":import ", ": import ", ":from ", ": from "].iter().any(|i| statement.contains(i))
        {
            return true;
        }
        let before = self.text[..word.start].trim_end_matches("node:");
        if let Some(quoted) = before.strip_suffix(['"', '\'', '`']) {
            let before = quoted.trim_end().trim_end_matches('(').trim_end();
            return [
                "require",
                "import",
                "from",
                "use",
                "library",
                "load",
                "__import__",
                "import_module",
                "r",
            ]
            .iter()
            .any(|w| before.strip_suffix(w).is_some_and(|rest| !rest.ends_with(is_word)));
        }
        // `const {unlink} = require("fs")`
        if matches!(first, "const" | "let" | "var") && statement.contains('{') {
            let rest =
                self.text[word.end..].char_indices().take(MAX_CALL_BYTES).find(|(_, c)| matches!(c, '}'));
            let rest = rest.map_or("", |(i, _)| &self.text[word.end + i + 1..]).trim_start();
            let rest = rest.strip_prefix('=').unwrap_or("").trim_start();
            return rest.starts_with("require")
                || rest.starts_with("await import")
                || rest.starts_with("process");
        }
        false
    }

    /// Whether a module is used as a value: `f(os)`, `x = os`.
    fn is_passed_about(&self, word: &Word<'_>) -> bool {
        word.of.is_none()
            && matches!(word.before, Some('=' | '(' | ',' | '['))
            && matches!(word.after, Some(')' | ',' | ';' | ']' | '\n' | '\r') | None)
            && !self.is_imported(word)
    }

    /// The arguments of the call that the word is, at the top level, as far as they can be told.
    fn arguments(&self, word: &Word<'_>) -> Vec<&'t str> {
        let rest = self.text[word.end..].trim_start();
        let bracket = rest.starts_with('(');
        let rest = rest.strip_prefix('(').unwrap_or(rest);
        let mut arguments = Vec::new();
        let (mut depth, mut quote, mut start, mut escaped) = (0usize, None, 0, false);
        for (i, c) in rest.char_indices().take_while(|(i, _)| *i < MAX_CALL_BYTES) {
            if std::mem::take(&mut escaped) {
                continue;
            }
            match (quote, c) {
                (_, '\\') => escaped = true,
                (Some(q), c) if c == q => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'' | '`') => quote = Some(c),
                (None, '(' | '[' | '{') => depth += 1,
                (None, ')' | ']' | '}') if depth > 0 => depth -= 1,
                (None, ')' | ']' | '}' | ';') if !bracket || c != ';' => {
                    arguments.push(rest[start..i].trim());
                    return arguments;
                }
                (None, ',') if depth == 0 && arguments.len() < MAX_ARGUMENTS => {
                    arguments.push(rest[start..i].trim());
                    start = i + 1;
                }
                _ => {}
            }
        }
        let mut end = rest.len().min(MAX_CALL_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        arguments.push(rest[start.min(end)..end].trim());
        arguments
    }

    /// `open` in all its forms: what matters is whether it may write or run something.
    fn opens(&mut self, word: &Word<'t>) {
        if word.before == Some('=') && self.is_passed_about(word) {
            self.mark(Hazard::CodeDestructive);
        }
        let bare = self.language.calls_without_brackets();
        if word.after != Some('(') && !bare || self.is_defined(word) {
            return;
        }
        for (i, argument) in self.arguments(word).into_iter().enumerate() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if name.trim().chars().all(is_word) && !value.starts_with('=') => {
                    (name.trim(), value.trim())
                }
                _ => ("", argument),
            };
            let literal =
                value.strip_prefix(['"', '\'', '`']).and_then(|rest| rest.strip_suffix(['"', '\'', '`']));
            if let Some(text) = literal {
                let trimmed = text.trim();
                let trimmed = trimmed.split([':', '|']).next().unwrap_or("");
                let mode = (i > 0 || word.of.is_some())
                    && trimmed.len() <= 4
                    && trimmed.chars().all(|c| "rwaxbtU+<>".contains(c))
                    && trimmed.contains(['w', 'a', 'x', '+', '>']);
                let perl = bare && (trimmed.starts_with('>') || trimmed.starts_with("+<"));
                if mode || perl {
                    self.mark(Hazard::CodeDestructive);
                }
                if bare && (text.trim().starts_with('|') || text.trim().ends_with('|')) {
                    self.mark(Hazard::CodeProcess);
                }
            } else if value.starts_with('*') && self.language == Language::Python {
                self.mark(Hazard::CodeDestructive);
            } else if (name == "mode" || i == 1 && name.is_empty())
                && !value.is_empty()
                && self.language == Language::Python
            {
                // The mode is computed.
                if !value.chars().all(|c| c.is_ascii_digit() || c == '-') && !value.contains("O_RDONLY") {
                    self.mark(Hazard::CodeDestructive);
                }
            }
        }
    }

    /// `Path.replace(new)` and `Path.rename(new)`; the methods of strings and tables of that
    /// name are called in another way.
    fn renames(&mut self, word: &Word<'t>) {
        let arguments = self.arguments(word);
        let [only] = arguments[..] else {
            return;
        };
        let of_table = only.is_empty()
            || only.starts_with('{')
            || ["columns", "index", "mapper", "axis"].iter().any(|k| only.starts_with(k));
        let of_path = word.text == "rename" || self.text.contains("Path") || self.text.contains("path");
        if !of_table && of_path && self.language != Language::JavaScript {
            self.mark(Hazard::CodeDestructive);
        }
    }

    /// `.env` and its relatives, not their examples, and not the member of that name.
    fn secret_file(&mut self) {
        for (at, _) in self.text.match_indices(".env").take(MAX_NAMES) {
            let before = self.text[..at].chars().next_back();
            let rest = &self.text[at + ".env".len()..];
            let stands_alone = matches!(before, None | Some('"' | '\'' | '`' | '/' | ' ' | '(' | '<'));
            let word: &str = rest.split(|c: char| !(is_word(c) || c == '.' || c == '-')).next().unwrap_or("");
            let example = ["example", "sample", "template", "dist"].iter().any(|e| word.contains(e));
            if stands_alone && !example && !word.starts_with(is_word) {
                self.mark(Hazard::CodeSecret);
            }
        }
    }

    // --- names ---

    /// Paths and addresses: what stands behind a quote and looks like one.
    fn names(&mut self) {
        for (at, quote) in self.text.match_indices(['"', '\'', '`']) {
            if self.found.names.len() >= MAX_NAMES {
                self.found.left_out = true;
                return;
            }
            let rest = &self.text[at + 1..];
            let Some(end) = rest.find([quote.chars().next().unwrap_or('"'), '\n']).or(Some(rest.len()))
            else {
                continue;
            };
            let before = self.text[..at].trim_end_matches(['r', 'b', 'f', 'u', 'R', 'B', 'F', 'U']);
            if before.len() + 2 < at || before.ends_with(is_word) && before.len() == at {
                // A quote right behind a word closes something.
                continue;
            }
            if !self.found.pay(end) {
                return;
            }
            self.literal(&rest[..end], before, &rest[end..]);
        }
        if matches!(self.language, Language::Ruby | Language::Perl | Language::Other) {
            self.quoted_words();
        }
        for (word, name) in [
            ("expanduser", "~"),
            ("homedir", "~"),
            ("Path.home", "~"),
            ("Dir.home", "~"),
            ("pardir", ".."),
            ("os.sep +", "/"),
            ("(os.sep,", "/"),
            ("path.sep +", "/"),
        ] {
            let there = self.text.contains(word);
            // What is expanded stands in the code as a rule, with its tilde.
            if there && !(word == "expanduser" && self.found.names.iter().any(|n| n.starts_with('~'))) {
                self.found.names.insert(name.to_owned());
            }
        }
    }

    /// `qw(/a /b)`, `%w[/a /b]`, `q{/a}`, `<~/x>`.
    fn quoted_words(&mut self) {
        for (at, bracket) in self.text.match_indices(['(', '[', '{', '<', '|', '!']) {
            let before = &self.text[..at];
            let quoting = ["qw", "qq", "q", "%w", "%W", "%q", "%Q", "%"]
                .iter()
                .any(|q| before.ends_with(q) && !before[..before.len() - q.len()].ends_with(is_word));
            if !(quoting || bracket == "<" && self.language == Language::Perl) {
                continue;
            }
            let inside = self.text[at + 1..].split([')', ']', '}', '>', '|', '!', '\n']).next().unwrap_or("");
            if !self.found.pay(inside.len()) {
                return;
            }
            for text in inside.split_whitespace() {
                self.literal(text, "(", ")");
            }
        }
    }

    fn literal(&mut self, text: &str, before: &str, after: &str) {
        if let Some(scheme) = text.find("://") {
            let begins = |c: &char| !c.is_ascii_alphanumeric() && *c != '+';
            let from = scheme - text[..scheme].chars().rev().take_while(|c| !begins(c)).count();
            let url = text[from..].split([' ', '<', '>', '"', '\'']).next().unwrap_or("");
            if from < scheme && url.len() > scheme - from + 3 {
                if let Some(path) = url.strip_prefix("file://") {
                    self.found.names.insert(path.to_owned());
                } else {
                    self.found.names.insert(url.to_owned());
                }
            }
            return;
        }
        // Paths with a part that is put in later: what comes before it is certain.
        let fixed = text.split(['{', '$', '%', '#']).next().unwrap_or("");
        let fixed =
            if fixed.len() < text.len() { &fixed[..fixed.rfind('/').map_or(0, |i| i + 1)] } else { fixed };
        let path = fixed.trim();
        if text.starts_with("/dev/null") || text.starts_with("/dev/std") || text.starts_with("/dev/fd/") {
            return;
        }
        if matches!(path, "/" | "//") {
            let opens = before.trim_end().strip_suffix('(').is_some_and(|b| {
                let call: String =
                    b.trim_end().chars().rev().take_while(|c| is_word(*c)).collect::<Vec<_>>().into_iter().rev().collect();
                [
                    "open", "listdir", "walk", "scandir", "chdir", "Path", "glob", "iglob", "exists", "stat", "join",
                    "readdirSync", "readdir", "opendir", "existsSync", "entries", "children", "cd", "disk_usage",
                    "resolve",
                ]
                .contains(&call.as_str())
                    // `"/".join(…)` is another matter than `os.path.join("/", …)`.
                    && (call != "join" || after.get(1..).unwrap_or("").trim_start().starts_with(','))
            });
            let joins = after.get(1..).unwrap_or("").trim_start().starts_with('+')
                && !before.trim_end().ends_with(['+', '.']);
            let interpolated =
                fixed.len() < text.len() && matches!(text.chars().nth(1), Some('{' | '$' | '#'));
            if opens || joins || interpolated {
                self.found.names.insert("/".to_owned());
            }
            return;
        }
        let second = path.chars().nth(1);
        let absolute = path.starts_with('/')
            && second.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '*' | '~' | '-' | '@'));
        let home = path.starts_with('~') && matches!(second, None | Some('/' | '_' | 'a'..='z' | 'A'..='Z'));
        let upwards =
            path == ".." || path.starts_with("../") || path.starts_with("./") || path.contains("/../");
        let relative = !path.contains(char::is_whitespace)
            && path.contains('/')
            && path.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '@'))
            && path.chars().all(|c| c.is_alphanumeric() || "/._-+@*?".contains(c));
        // The tilde of an approximate number or of a word is not a home.
        let home = home && path.contains('/');
        // What is added to something else is a root only if it looks like one of the system's.
        let added = before.trim_end().ends_with(['+', '.']);
        if !(absolute || home || upwards) || absolute && added {
            if let Some(at) = system_root(text).filter(|at| {
                *at > 0 && text[..*at].ends_with(['}', 's', ')']) && fixed.len() < text.len()
                    || *at == 0 && added
            }) {
                let path = text[at..].split(['{', '$', '%', '#']).next().unwrap_or("").trim();
                self.found.names.insert(path.to_owned());
                return;
            }
            if absolute && added {
                return;
            }
        }
        if absolute || home || upwards || relative {
            self.found.names.insert(path.to_owned());
        }
    }
}

/// Where in a text the path of a folder of the system begins.
fn system_root(text: &str) -> Option<usize> {
    [
        "/etc/",
        "/home/",
        "/root/",
        "/var/",
        "/usr/",
        "/proc/",
        "/sys/",
        "/dev/",
        "/opt/",
        "/boot/",
        "/mnt/",
        "/Users/",
        "/Library/",
        "/private/",
        "/run/",
        "/srv/",
        "/bin/",
        "/sbin/",
        "/lib/",
    ]
    .iter()
    .filter_map(|root| text.find(root))
    .min()
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a word has letters that compatibility forms make of other letters.
fn is_look_alike(word: &str) -> bool {
    word.chars().any(|c| {
        matches!(u32::from(c),
            0xAA | 0xBA | 0x17F | 0x2B0..=0x2B8 | 0x1D2C..=0x1D6A | 0x2070..=0x209C | 0x2100..=0x214F
            | 0x24B6..=0x24E9 | 0xFB00..=0xFB06 | 0xFF10..=0xFF5A | 0x1D400..=0x1D7FF)
    })
}

impl Shell<'_> {
    /// Code of another language that stands in the command: what it names is noted.
    /// `shown`: how the reason calls it.
    pub fn inline_code(&mut self, name: &str, language: Language, shown: &str, text: &Arg) {
        self.opaque_as(Hazard::Code, format!("{name} runs code that is not read here: {shown}"));
        if !text.is_known() {
            self.unknown(text);
            if text.known().trim().is_empty() {
                self.hazard(Hazard::CommandWord);
            }
        }
        if !self.spend(text.text.len()) {
            return;
        }
        let found = scan(&text.text, language);
        for hazard in found.hazards {
            self.hazard(hazard);
        }
        if found.left_out {
            let reason = format!("the code that {name} runs is too large to be looked at to its end");
            self.opaque_as(Hazard::LeftOut, reason);
        }
        for name in found.names {
            self.code_names(&name);
        }
    }

    /// A path or an address that code names.
    pub fn code_names(&mut self, name: &str) {
        if name.contains("://") {
            return self.names(Resource::new("url", name));
        }
        let path = match name.strip_prefix('~') {
            Some("") if self.context.home.starts_with('/') => self.context.home.to_owned(),
            Some(rest) if rest.starts_with('/') && self.context.home.starts_with('/') => {
                format!("{}{rest}", self.context.home)
            }
            Some(_) => {
                let reason = format!("the home folder of `{}` is not known", excerpt(name));
                return self.opaque_as(Hazard::Arguments, reason);
            }
            None => name.to_owned(),
        };
        if !path.starts_with('/') && self.state.cwd.is_err() && !path.starts_with('.') {
            return;
        }
        if let Some(path) = self.path(&Arg::new(path)) {
            self.names(Resource::new("file", path));
        }
    }
}
