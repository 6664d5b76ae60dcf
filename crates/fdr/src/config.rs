//! The configuration file: `config.toml` in the recorder's folder. Every key has a default, and
//! an unknown key is an error, so that a typing mistake is not taken for a setting.

use crate::acks;
use crate::heartbeat;
use crate::home::Home;
use crate::keys;
use crate::retain;
use crate::timestamp;
use crate::witness;
use anyhow::Context;
use fdr_hook::{Failure, MAX_APPROVAL_WAIT_S};
use fdr_policy::Source;
use fdr_record::Mode;
use serde::Deserialize;

/// All settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `observe` (the default) or `enforce`.
    pub mode: Mode,
    /// What a hook does when it can't record: `open` lets the agent go on, `closed` denies the
    /// tool call. Default: `open` in observe mode, `closed` in enforce mode.
    pub fail: Option<Fail>,
    /// The policy sets in force, taken together: names of starter sets, and folders (with a `/`;
    /// a relative one is below the recorder's folder). Default: `baseline`.
    pub policies: Option<Vec<String>>,
    /// Where an action waits that a person has to approve. Default: `auto`.
    pub approvals: Route,
    /// How long it waits there, in seconds, at most 300; then it is denied. Default: 300.
    pub approval_wait_s: Option<u32>,
    /// Login names of those who may approve. Default: everybody who can reach the recorder.
    pub approvers: Vec<String>,
    /// Whether only another user than the one whose agent asks may approve and declare an intent.
    /// Default: yes for the machine's recorder, no for a user's own.
    pub approvers_differ: Option<bool>,
    /// A command, with its arguments, that is run for every request for approval; it gets the
    /// request as JSON on its standard input.
    pub notify: Vec<String>,
    /// A command, with its arguments, that reads the intent out of a prompt in place of the fixed
    /// rules: it gets the prompt on standard input and prints rules as `fdr intent set` takes them.
    pub intent_classifier: Vec<String>,
    /// Whether the transcripts that agents keep on disk are read as they grow. Default: yes.
    pub transcripts: Option<bool>,
    /// Name of this log in its checkpoints, without spaces and `+`. Default: `fdr/<host name>`.
    pub origin: Option<String>,
    /// Whether full segments of the log are compressed in the background. Default: yes.
    pub seal: Option<bool>,
    /// Size of new segments in MiB, 1 to 1024. The log is compressed and pruned by whole segments. Default: 32.
    pub segment_mib: Option<u32>,
    /// How long records are kept.
    pub retain: retain::Settings,
    /// How often the recorder says that it is there.
    pub heartbeat: heartbeat::Settings,
    /// What answers wait for.
    pub acks: acks::Settings,
    /// Who signs checkpoints on other hosts. Default: nobody.
    pub witness: Option<witness::Settings>,
    /// What contents are sealed under, so that they can be erased.
    pub keys: keys::Settings,
    /// Who time-stamps checkpoints. Default: nobody.
    pub timestamp: Option<timestamp::Settings>,
}

/// See [`Config::approvals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// The runtime asks its user, if it says that one sits in front of it; else the queue.
    #[default]
    Auto,
    /// Our own queue: `fdr approvals`.
    Queue,
    /// The runtime's own prompt.
    Runtime,
}

/// See [`Config::fail`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fail {
    /// The agent goes on.
    Open,
    /// The tool call is denied.
    Closed,
}

/// The documented file, as `fdr config` prints it.
pub const EXAMPLE: &str = "\
# Configuration of fdr. Every key may be left out; these are the defaults.

# observe: record only.  enforce: record, and make the policy's decisions hold.
mode = \"observe\"

# What a hook does when an event can't be recorded: \"open\" lets the agent go on, \"closed\" denies
# the tool call. Default: open in observe mode, closed in enforce mode.
#fail = \"open\"

# The policy sets in force, taken together: names of starter sets (see: fdr policy list), and
# folders with .cedar files (a relative one is below the recorder's folder).
policies = [\"baseline\"]

# Who is asked when a policy says ASK in enforce mode. \"runtime\": the agent's own prompt.
# \"queue\": fdr approvals. \"auto\": the agent's own prompt where it says that a person sits in
# front of it, else the queue.
approvals = \"auto\"

# How long an action waits in the queue before it is denied, in seconds; at most 300.
approval_wait_s = 300

# Login names of those who may approve; everybody who can reach the recorder, if empty.
approvers = []

# Whether only another user than the one whose agent asks may approve, and declare an intent: a
# program of an agent can pass for its user. Default: true for the machine's recorder
# (fdr install --system), false for your own.
#approvers_differ = true

# Run for every request for approval, which it gets as JSON on its standard input.
#notify = [\"notify-send\", \"fdr: approval needed\"]

# Reads the intent out of a prompt (standard input) in place of the fixed rules, and prints rules as
# `fdr intent set` takes them.
#intent_classifier = [\"/usr/local/bin/classify\"]

# Whether the transcripts that agents keep on disk are read as they grow: what was denied, what the
# model thought and what it was shown is told there only.
transcripts = true

# Name of this log in its signed checkpoints, without spaces and '+'. Default: fdr/<host name>.
# It is fixed when the log is made.
#origin = \"fdr/devbox\"

# Whether full segments of the log are compressed in the background. What is read, proven and
# verified stays the same.
seal = true

# Size of new segments in MiB, 1 to 1024. The log is compressed and pruned by whole segments.
segment_mib = 32

# How long records are kept. Nothing is removed but by `fdr retain apply`, and nothing at all as long
# as no rule says how long; the longest decides. See: fdr retain rules, fdr retain plan.
[retain]
#rules = [\"pci-dss\", \"eu-ai-act\"]
#keep_days = 400
#keep_at_most_days = 1000

# How often the recorder records that it is there, busy or not, in seconds; at most 10.
[heartbeat]
every_seconds = 10

# What the record of a destructive action must have reached before the action may run (enforce mode):
# \"durable\" (on disk), \"checkpointed\" (under a signed checkpoint) or \"witnessed\"; and how long to wait
# for that before it is denied.
[acks]
destructive = \"durable\"
wait_ms = 2000

# Other hosts that sign the newest checkpoint, every second or so, and never a fork or an older one
# (C2SP tlog-witness; fdr witness serve is one). quorum: how many make a record witnessed; all by default.
#[witness]
#quorum = 1
#witnesses = [{ url = \"http://witness.example.com:7411\", key = \"witness+01234567+BASE64\" }]

# What contents are sealed under, so that they can be erased: each session has a key, and these lie
# wrapped under one key-encryption key (KEK). What keeps the KEK: \"file\" (keys/kek), \"passphrase\" (of
# passphrase_file, of a command that prints it, or of the variable FDR_PASSPHRASE), or \"command\": wrap
# gets the key on its standard input and prints it wrapped, unwrap the other way round, for an external
# KMS. A change takes effect with: fdr keys rewrap. See: fdr keys status.
[keys]
seal_content = true
kek = \"file\"
#passphrase_file = \"/etc/fdr/passphrase\"
#passphrase_command = [\"secret-tool\", \"lookup\", \"service\", \"fdr\"]
#wrap = [\"/usr/local/bin/kms\", \"encrypt\"]
#unwrap = [\"/usr/local/bin/kms\", \"decrypt\"]

# An authority (RFC 3161) that states when it saw the log's newest checkpoint. Only a digest is sent.
# The tokens are in timestamps/: copy them elsewhere. ca: the certificates that they must lead to.
#[timestamp]
#url = \"http://timestamp.example.com\"
#ca = \"timestamp-ca.pem\"
#every_minutes = 15
";

impl Config {
    /// Reads the file; a missing one is all defaults.
    ///
    /// # Errors
    /// When it can't be read, is not TOML, or has an unknown key or value.
    pub fn load(home: &Home) -> anyhow::Result<Config> {
        let path = home.config();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let config: Config = toml::from_str(&text).with_context(|| {
                    format!("{} is not a valid configuration; see `fdr config`", path.display())
                })?;
                anyhow::ensure!(
                    (1..=MAX_APPROVAL_WAIT_S).contains(&config.approval_wait_s()),
                    "{}: approval_wait_s must be from 1 to {MAX_APPROVAL_WAIT_S}",
                    path.display()
                );
                config.retain.check().with_context(|| path.display().to_string())?;
                config.keys.check().with_context(|| path.display().to_string())?;
                config.heartbeat.check().with_context(|| path.display().to_string())?;
                config.acks.check(config.witness.is_some()).with_context(|| path.display().to_string())?;
                if let Some(witness) = &config.witness {
                    witness.check().with_context(|| path.display().to_string())?;
                }
                if let Some(timestamp) = &config.timestamp {
                    timestamp.check().with_context(|| path.display().to_string())?;
                }
                anyhow::ensure!(
                    config.segment_mib.is_none_or(|mib| (1..=1024).contains(&mib)),
                    "{}: segment_mib must be from 1 to 1024",
                    path.display()
                );
                Ok(config)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// Whether transcripts are read as they grow.
    pub fn transcripts(&self) -> bool {
        self.transcripts.unwrap_or(true)
    }

    /// Whether full segments are compressed.
    pub fn seal(&self) -> bool {
        self.seal.unwrap_or(true)
    }

    /// Size of new segments, in bytes.
    pub fn segment_bytes(&self) -> u64 {
        u64::from(self.segment_mib.unwrap_or(32)) << 20
    }

    /// How long an action waits for approval, in seconds.
    pub fn approval_wait_s(&self) -> u32 {
        self.approval_wait_s.unwrap_or(MAX_APPROVAL_WAIT_S)
    }

    /// Where the policy sets in force come from.
    pub fn sources(&self, home: &Home) -> Vec<Source> {
        let named = self.policies.clone().unwrap_or_else(|| vec!["baseline".to_owned()]);
        named.iter().map(|text| Source::parse(text, home.dir())).collect()
    }

    /// How hooks fail.
    pub fn failure(&self) -> Failure {
        match (self.fail, self.mode) {
            (Some(Fail::Closed), _) | (None, Mode::Enforce) => Failure::Closed,
            (Some(Fail::Open), _) | (None, Mode::Observe) => Failure::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_the_default() {
        let config: Config = toml::from_str(EXAMPLE).unwrap();
        assert_eq!((config.mode, config.failure()), (Mode::Observe, Failure::Open));
        let default = Config::default();
        assert_eq!((config.seal(), config.segment_bytes()), (default.seal(), default.segment_bytes()));
        assert_eq!(
            (&config.retain, (config.heartbeat, config.acks)),
            (&default.retain, (default.heartbeat, default.acks))
        );
        assert_eq!(config.keys, default.keys);
        assert_eq!(config.approval_wait_s(), default.approval_wait_s());
        assert_eq!((config.approvals, &config.approvers), (default.approvals, &default.approvers));
        let home = Home::find(Some(std::path::Path::new("/x"))).unwrap();
        assert_eq!(
            Config { policies: config.policies, ..Config::default() }.sources(&home),
            default.sources(&home)
        );
    }

    #[test]
    fn enforce_fails_closed_unless_told_otherwise() {
        let failure = |text| toml::from_str::<Config>(text).unwrap().failure();
        assert_eq!(failure("mode = 'enforce'"), Failure::Closed);
        assert_eq!(failure("mode = 'enforce'\nfail = 'open'"), Failure::Open);
        assert!(toml::from_str::<Config>("mod = 'enforce'").is_err());
    }
}
