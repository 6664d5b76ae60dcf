//! The page of a bundle: what was recorded, in order, without scripts, whatever it holds.

use super::Manifest;
use crate::line::one_line;
use crate::text::{self, Look};
use crate::trail::{Facts, Row, action_of};
use fdr_record::{Body, Verdict};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// How much of a content the page shows, in characters; the whole of it is in its file.
const MOST_CHARS: usize = 4_000;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8885}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{opacity:.75}dd{margin:0;overflow-wrap:anywhere}\
article{border-top:1px solid var(--line);padding:.5rem 0}article.denied{border-left:4px solid #c22;padding-left:.6rem}\
article.asked{border-left:4px solid #a60;padding-left:.6rem}p{margin:.2rem 0;overflow-wrap:anywhere}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);padding:.5rem;margin:.3rem 0}\
.head{font-family:ui-monospace,monospace;white-space:pre-wrap}.why,.note{opacity:.8}\
@media print{details{display:block}}";

/// Text as HTML: nothing in it is markup, and what would act on a reader (controls, direction overrides) is written out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for part in text::block(text).join("\n").chars() {
        match part {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// The page. `shown` are the contents that are in the bundle, by record and digest.
pub fn page(
    manifest: &Manifest,
    rows: &[Row],
    shown: &BTreeMap<(u64, String), Vec<u8>>,
    look: &Look,
) -> String {
    let mut facts: HashMap<_, Facts> = HashMap::new();
    for record in rows.iter().filter_map(Row::record) {
        if let Some(action) = action_of(record) {
            facts.entry(action).or_default().add(record);
        }
    }
    let mut out = String::from("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    let _ = write!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Evidence of {0}</title><style>{STYLE}</style>\
         <h1>Evidence: {0}</h1><dl>",
        escape(&manifest.filter)
    );
    let reason = manifest.reason.as_deref().unwrap_or("none was given");
    for (term, value) in [
        ("log", manifest.origin.as_str()),
        ("made", &manifest.made.to_string()),
        ("by", &format!("{} on {}", manifest.by, manifest.host)),
        ("reason", reason),
        ("records", &manifest.records.to_string()),
        ("contents", &format!("{}, {} withheld", manifest.contents, manifest.withheld.len())),
    ] {
        let _ = write!(out, "<dt>{term}</dt><dd>{}</dd>", escape(value));
    }
    out.push_str("</dl><p class=\"note\">This page is a reading of records.jsonl for people. What is proven, and what is not, is said by verify.py. Not proven:</p><ul>");
    for line in &manifest.not_proven {
        let _ = write!(out, "<li>{}</li>", escape(line));
    }
    out.push_str("</ul><main>");
    for row in rows {
        article(&mut out, row, &facts, manifest, shown, look);
    }
    out.push_str("</main></html>\n");
    out
}

fn article(
    out: &mut String,
    row: &Row,
    facts: &HashMap<fdr_record::RecordId, Facts>,
    manifest: &Manifest,
    shown: &BTreeMap<(u64, String), Vec<u8>>,
    look: &Look,
) {
    let none = Facts::default();
    let known = row.record().and_then(action_of).and_then(|action| facts.get(&action)).unwrap_or(&none);
    let policy = match row.body() {
        Some(Body::Action(action)) => Some(&action.policy),
        _ => None,
    };
    let class = match policy.map(|policy| policy.decision) {
        Some(Verdict::Deny) => " class=\"denied\"",
        Some(Verdict::Ask) => " class=\"asked\"",
        _ => "",
    };
    let _ = write!(
        out,
        "<article{class} id=\"r{0}\"><p class=\"head\">{1} {2}</p>",
        row.index,
        escape(&row.when().to_string()),
        escape(&one_line(look, row, known))
    );
    if let Some(policy) = policy {
        let by = if policy.policies.is_empty() {
            String::new()
        } else {
            format!(" ({})", policy.policies.join(", "))
        };
        let decision = format!("{}: {}{by}", policy.decision.as_str(), policy.reason);
        let _ = write!(out, "<p class=\"why\">{}</p>", escape(&decision));
    }
    for reference in row.record().map_or(&[][..], |record| &record.content) {
        let title = format!("{}, {} bytes, {}", reference.role, reference.len, reference.digest);
        match shown.get(&(row.index, reference.digest.clone())) {
            Some(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let cut: String = text.chars().take(MOST_CHARS).collect();
                let more = if cut.len() < text.len() {
                    "<p class=\"note\">The whole is in its file.</p>"
                } else {
                    ""
                };
                let _ = write!(
                    out,
                    "<details><summary>{}</summary><pre>{}</pre>{more}</details>",
                    escape(&title),
                    escape(&cut)
                );
            }
            None => {
                let withheld = manifest
                    .withheld
                    .iter()
                    .find(|other| other.record == row.index && other.digest == reference.digest);
                let why = withheld.map_or("not here", |withheld| withheld.why.as_str());
                let _ = write!(out, "<p class=\"note\">{}: {}</p>", escape(&title), escape(why));
            }
        }
    }
    out.push_str("</article>");
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_in_a_text_is_markup_or_acts_on_a_reader() {
        let text = escape("<script>alert('x')</script>&\"\u{202e}\x1b[2J\nnext");
        assert_eq!(text, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\\u{202e}\\x1b[2J\nnext");
    }
}
