//! The key-encryption key (KEK): what the sessions' keys are wrapped under, and how it is kept itself.
//!
//! It is 32 random bytes, whatever keeps them: `keys/kek` holds them as they are (`file`), wrapped under a passphrase by
//! argon2id (`passphrase`), or as whatever a command made of them (`command`: an external KMS). So sessions are made
//! keys for without asking anybody, and changing what keeps the KEK wraps one key anew for each session.

use super::{KekKind, Settings};
use crate::command;
use crate::durable;
use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fdr_record::{hex, sealed};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// In place of what the configuration names.
pub const PASSPHRASE_VARIABLE: &str = "FDR_PASSPHRASE";
/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// What a command may make of a key, in bytes.
const MAX_WRAPPED_BYTES: usize = 64 << 10;
/// argon2id, RFC 9106, section 4, second recommended option: 64 MiB, 3 passes.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// A key-encryption key.
pub struct Kek {
    /// Its name: 16 hex digits.
    pub id: String,
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
}

/// A file with one, `keys/kek`.
#[derive(Serialize, Deserialize)]
pub struct KekFile {
    v: u32,
    /// The key's name.
    pub id: String,
    #[serde(flatten)]
    how: How,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum How {
    File {
        key: String,
    },
    Passphrase {
        salt: String,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        wrapped: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<PathBuf>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        command: Vec<String>,
    },
    Command {
        wrapped: String,
        unwrap: Vec<String>,
    },
}

impl Kek {
    /// A new one.
    pub fn generate() -> anyhow::Result<Kek> {
        let mut key = Zeroizing::new([0; 32]);
        super::fill_random(key.as_mut())?;
        Ok(Kek { id: id(&key), key })
    }

    /// Writes it to a file as the settings say. `home` is what relative names are below.
    ///
    /// # Errors
    /// When there is no passphrase, the command fails, or the file can't be written.
    pub fn write(&self, path: &Path, settings: &Settings, home: &Path) -> anyhow::Result<()> {
        let how = match settings.kek {
            KekKind::File => How::File { key: STANDARD.encode(self.key.as_ref()) },
            KekKind::Passphrase => {
                let file = settings.passphrase_file.as_ref().map(|file| home.join(file));
                let command = settings.passphrase_command.clone();
                let passphrase = passphrase(file.as_deref(), &command)?;
                let (mut salt, mut nonce) = ([0; 16], [0; 12]);
                super::fill_random(&mut salt)?;
                super::fill_random(&mut nonce)?;
                let under = stretch(&passphrase, &salt, MEMORY_KIB, PASSES, LANES)?;
                How::Passphrase {
                    salt: hex(&salt),
                    memory_kib: MEMORY_KIB,
                    passes: PASSES,
                    lanes: LANES,
                    wrapped: STANDARD.encode(sealed::wrap(
                        &under,
                        nonce,
                        about(&self.id).as_bytes(),
                        &self.key,
                    )),
                    file,
                    command,
                }
            }
            KekKind::Command => {
                let text = Zeroizing::new(format!("{}\n", STANDARD.encode(self.key.as_ref())));
                let wrapped = command::output_of(&settings.wrap, text.as_bytes(), COMMAND_TIMEOUT)
                    .context("[keys] wrap could not wrap the key")?;
                let wrapped =
                    String::from_utf8(wrapped).context("[keys] wrap printed something else than text")?;
                let wrapped = wrapped.trim().to_owned();
                ensure!(!wrapped.is_empty(), "[keys] wrap printed nothing");
                ensure!(
                    wrapped.len() <= MAX_WRAPPED_BYTES,
                    "[keys] wrap printed more than {MAX_WRAPPED_BYTES} bytes"
                );
                let how = How::Command { wrapped, unwrap: settings.unwrap.clone() };
                // What can't be had again must not be used.
                KekFile { v: 1, id: self.id.clone(), how: how.again() }.open()?;
                how
            }
        };
        let file = KekFile { v: 1, id: self.id.clone(), how };
        durable::write(path, &Zeroizing::new(serde_json::to_vec(&file)?))
    }
}

impl How {
    fn again(&self) -> How {
        match self {
            How::Command { wrapped, unwrap } => {
                How::Command { wrapped: wrapped.clone(), unwrap: unwrap.clone() }
            }
            _ => unreachable!("only a command's is tried"),
        }
    }
}

impl KekFile {
    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// When it can't be read, or is none.
    pub fn read(path: &Path) -> anyhow::Result<Option<KekFile>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let file: KekFile =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
        ensure!(file.v == 1, "{} is of format {}, this fdr knows 1", path.display(), file.v);
        Ok(Some(file))
    }

    /// What keeps the key, in words.
    pub fn kept_by(&self) -> String {
        match &self.how {
            How::File { .. } => "a file".to_owned(),
            How::Passphrase { file: Some(file), .. } => format!("a passphrase (of {})", file.display()),
            How::Passphrase { command, .. } if !command.is_empty() => {
                format!("a passphrase (of {})", command[0])
            }
            How::Passphrase { .. } => format!("a passphrase (of {PASSPHRASE_VARIABLE})"),
            How::Command { unwrap, .. } => {
                format!("the command {}", unwrap.first().map_or("", String::as_str))
            }
        }
    }

    /// The kind of what keeps the key.
    pub fn kind(&self) -> KekKind {
        match &self.how {
            How::File { .. } => KekKind::File,
            How::Passphrase { .. } => KekKind::Passphrase,
            How::Command { .. } => KekKind::Command,
        }
    }

    /// The key.
    ///
    /// # Errors
    /// When the passphrase is another one or can't be had, or the command fails.
    pub fn open(&self) -> anyhow::Result<Kek> {
        let damaged = "keys/kek is damaged";
        let key = match &self.how {
            How::File { key } => key_of(key).context(damaged)?,
            How::Passphrase { salt, memory_kib, passes, lanes, wrapped, file, command } => {
                let passphrase = passphrase(file.as_deref(), command)?;
                let salt = sealed::kid(salt).context(damaged)?;
                ensure!(*memory_kib <= 4 << 20 && *passes <= 1000, damaged);
                let under = stretch(&passphrase, &salt, *memory_kib, *passes, *lanes)?;
                let wrapped = STANDARD.decode(wrapped).context(damaged)?;
                sealed::unwrap(&under, about(&self.id).as_bytes(), &wrapped)
                    .context("the passphrase is not the one that keys/kek was made with")?
            }
            How::Command { wrapped, unwrap } => {
                let text = command::output_of(unwrap, format!("{wrapped}\n").as_bytes(), COMMAND_TIMEOUT)
                    .context("[keys] unwrap could not unwrap the key")?;
                let text = Zeroizing::new(text);
                std::str::from_utf8(&text)
                    .ok()
                    .and_then(|text| key_of(text.trim()))
                    .context("[keys] unwrap printed something else than the key that wrap was given")?
            }
        };
        if id(&key) != self.id {
            bail!("what was unwrapped is not the key {}", self.id);
        }
        Ok(Kek { id: self.id.clone(), key })
    }
}

fn about(id: &str) -> String {
    format!("fdr kek v1 {id}")
}

fn id(key: &[u8; 32]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"fdr kek id v1\0");
    hasher.update(key);
    hex(&hasher.finalize()[..8])
}

fn key_of(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

fn passphrase(file: Option<&Path>, command: &[String]) -> anyhow::Result<Zeroizing<String>> {
    let given = std::env::var(PASSPHRASE_VARIABLE).map(Zeroizing::new).ok();
    let text = match (given, file) {
        (Some(given), _) => given,
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file);
            Zeroizing::new(
                text.with_context(|| format!("can't read the passphrase from {}", file.display()))?,
            )
        }
        (None, None) if !command.is_empty() => {
            let text = command::output_of(command, b"", COMMAND_TIMEOUT)
                .context("[keys] passphrase_command gave no passphrase")?;
            Zeroizing::new(String::from_utf8(text).context("[keys] passphrase_command printed no text")?)
        }
        (None, None) => bail!(
            "the passphrase of keys/kek is not given\n  set {PASSPHRASE_VARIABLE}, or passphrase_file or passphrase_command in [keys]"
        ),
    };
    let text = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    ensure!(!text.is_empty(), "the passphrase of keys/kek is empty");
    Ok(text)
}

fn stretch(
    passphrase: &str,
    salt: &[u8; 16],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    use argon2::{Algorithm, Argon2, Params, Version};
    let params = Params::new(memory_kib, passes, lanes, Some(32))
        .map_err(|error| anyhow::anyhow!("keys/kek is damaged: {error}"))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut())
        .map_err(|error| anyhow::anyhow!("the passphrase can't be used: {error}"))?;
    Ok(key)
}
