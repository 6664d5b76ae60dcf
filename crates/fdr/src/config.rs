//! The configuration file: `config.toml` in the recorder's folder. Every key has a default, and
//! an unknown key is an error, so that a typing mistake is not taken for a setting.

use crate::home::Home;
use anyhow::Context;
use fdr_hook::Failure;
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
    /// Name of this log in its checkpoints, without spaces and `+`. Default: `fdr/<host name>`.
    pub origin: Option<String>,
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

# Name of this log in its signed checkpoints, without spaces and '+'. Default: fdr/<host name>.
# It is fixed when the log is made.
#origin = \"fdr/devbox\"
";

impl Config {
    /// Reads the file; a missing one is all defaults.
    ///
    /// # Errors
    /// When it can't be read, is not TOML, or has an unknown key or value.
    pub fn load(home: &Home) -> anyhow::Result<Config> {
        let path = home.config();
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| {
                format!("{} is not a valid configuration; see `fdr config`", path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
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
    }

    #[test]
    fn enforce_fails_closed_unless_told_otherwise() {
        let failure = |text| toml::from_str::<Config>(text).unwrap().failure();
        assert_eq!(failure("mode = 'enforce'"), Failure::Closed);
        assert_eq!(failure("mode = 'enforce'\nfail = 'open'"), Failure::Open);
        assert!(toml::from_str::<Config>("mod = 'enforce'").is_err());
    }
}
