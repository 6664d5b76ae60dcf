//! Asks a time-stamp authority over HTTP (RFC 3161 section 3.4).

use super::token::MAX_REPLY_BYTES;
use anyhow::{Context, ensure};
use std::time::Duration;

/// How long an authority may take, in all.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends a request and gives the reply, as it came.
///
/// # Errors
/// When it can't be reached, takes too long, or answers something else than a reply.
pub fn ask(url: &str, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .user_agent(concat!("fdr/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let response = agent.post(url).header("Content-Type", "application/timestamp-query").send(request);
    let mut response = response.with_context(|| format!("{url} can't be asked"))?;
    ensure!(response.status() == 200, "{url} answers with HTTP status {}", response.status().as_u16());
    let body = response.body_mut().with_config().limit(MAX_REPLY_BYTES).read_to_vec();
    body.with_context(|| format!("the answer of {url} can't be read"))
}
