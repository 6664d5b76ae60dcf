//! How long records have to be kept, by framework, with the place where it is written.

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

/// A framework and what it says about keeping logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// As it stands in `[retain] rules`.
    pub name: &'static str,
    /// At least this long; `None` if the framework leaves the period to the organisation.
    pub keep_days: Option<u32>,
    /// Of these the newest at hand for analysis. A log on this disk always is.
    pub at_hand_days: Option<u32>,
    /// Whether it demands that records go when they are no longer needed.
    pub is_upper_bound: bool,
    /// Where it is written.
    pub citation: &'static str,
    /// What it says, in short.
    pub says: &'static str,
}

/// Years and months are taken at their longest, so that a rule is kept whatever the calendar.
pub const RULES: &[Rule] = &[
    Rule {
        name: "hipaa",
        keep_days: Some(2192),
        at_hand_days: None,
        is_upper_bound: false,
        citation: "45 CFR 164.316(b)(2)(i)",
        says: "6 years from when it was made, or was last in effect",
    },
    Rule {
        name: "pci-dss",
        keep_days: Some(366),
        at_hand_days: Some(92),
        is_upper_bound: false,
        citation: "PCI DSS 4.0.1, requirement 10.5.1",
        says: "12 months, the newest 3 immediately available",
    },
    Rule {
        name: "eu-ai-act",
        keep_days: Some(184),
        at_hand_days: None,
        is_upper_bound: false,
        citation: "Regulation (EU) 2024/1689, Articles 19(1) and 26(6)",
        says: "a period that fits the purpose, at least 6 months, unless other law says otherwise",
    },
    Rule {
        name: "soc2",
        keep_days: None,
        at_hand_days: None,
        is_upper_bound: false,
        citation: "AICPA Trust Services Criteria (CC7.2, CC7.3)",
        says: "no fixed period: as your own policy says, often 12 months (set keep_days)",
    },
    Rule {
        name: "iso-42001",
        keep_days: None,
        at_hand_days: None,
        is_upper_bound: false,
        citation: "ISO/IEC 42001:2023, 7.5.3 and A.6.2.8",
        says: "as the organisation determines for its event logs (set keep_days)",
    },
    Rule {
        name: "gdpr",
        keep_days: None,
        at_hand_days: None,
        is_upper_bound: true,
        citation: "Regulation (EU) 2016/679, Article 5(1)(e)",
        says: "personal data no longer than its purpose needs (set keep_at_most_days)",
    },
];

/// The section `[retain]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Names of rules that apply.
    pub rules: Vec<String>,
    /// Keep at least this long, whatever the rules say.
    pub keep_days: Option<u32>,
    /// Records older than this are to go; `fdr doctor` says when they are still there.
    pub keep_at_most_days: Option<u32>,
}

/// How long records are kept, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// In days.
    pub days: u32,
    /// Those that ask for it: a rule's name, or `keep_days`.
    pub rule: String,
}

impl Settings {
    /// The rules that apply.
    pub fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        RULES.iter().filter(|rule| self.rules.iter().any(|name| name == rule.name))
    }

    /// How long records are kept; `None`: nothing says so, and nothing may go.
    pub fn period(&self) -> Option<Period> {
        let rules = self.rules().filter_map(|rule| Some((rule.keep_days?, rule.name)));
        let all: Vec<(u32, &str)> = rules.chain(self.keep_days.map(|days| (days, "keep_days"))).collect();
        let days = all.iter().map(|(days, _)| *days).max()?;
        let names: Vec<&str> = all.iter().filter(|(of, _)| *of == days).map(|(_, name)| *name).collect();
        Some(Period { days, rule: names.join(", ") })
    }

    /// Whether the section makes sense.
    ///
    /// # Errors
    /// For a rule that is not known, one whose period has to be set and is not, and a period that is longer than the
    /// longest.
    pub fn check(&self) -> anyhow::Result<()> {
        for name in &self.rules {
            let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
                let known: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
                bail!("[retain] rules: '{name}' is not known; there are {}", known.join(", "));
            };
            if rule.is_upper_bound {
                ensure!(
                    self.keep_at_most_days.is_some(),
                    "[retain] rules: {name} has no number of its own ({}): set keep_at_most_days",
                    rule.citation
                );
            } else {
                ensure!(
                    rule.keep_days.is_some() || self.keep_days.is_some(),
                    "[retain] rules: {name} has no number of its own ({}): set keep_days",
                    rule.citation
                );
            }
        }
        if let (Some(period), Some(most)) = (self.period(), self.keep_at_most_days) {
            ensure!(
                period.days <= most,
                "[retain] {} demands {} days and keep_at_most_days allows {most}",
                period.rule,
                period.days
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_longest_rule_decides_and_says_so() {
        let period = |text| settings(text).period().map(|period| (period.days, period.rule));
        assert_eq!(period(""), None);
        assert_eq!(period("rules = ['pci-dss', 'eu-ai-act']"), Some((366, "pci-dss".to_owned())));
        assert_eq!(period("rules = ['pci-dss', 'hipaa']\nkeep_days = 400"), Some((2192, "hipaa".to_owned())));
        assert_eq!(
            period("rules = ['pci-dss']\nkeep_days = 366"),
            Some((366, "pci-dss, keep_days".to_owned()))
        );
        assert_eq!(period("rules = ['soc2']\nkeep_days = 0"), Some((0, "keep_days".to_owned())));
    }

    #[test]
    fn what_cannot_hold_is_refused() {
        let wrong = |text| settings(text).check().unwrap_err().to_string();
        assert!(wrong("rules = ['hippa']").contains("there are hipaa, pci-dss"));
        assert!(wrong("rules = ['soc2']").contains("set keep_days"));
        assert!(wrong("rules = ['gdpr']").contains("set keep_at_most_days"));
        assert!(wrong("rules = ['hipaa']\nkeep_at_most_days = 365").contains("hipaa demands 2192 days"));
        settings("rules = ['hipaa', 'gdpr']\nkeep_at_most_days = 2500").check().unwrap();
        assert!(toml::from_str::<Settings>("keep_day = 3").is_err());
    }
}
