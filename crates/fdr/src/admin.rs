//! What only the recorder's owner may have it do, and how they ask: one request on the socket
//! ([`Op::Admin`]), whose payload is an [`Ask`].

use crate::erase::EraseOrder;
use crate::home::Home;
use crate::recorder::Recorder;
use crate::retain::PruneOrder;
use crate::retain::holds::Change;
use crate::surroundings;
use anyhow::{Context, bail, ensure};
use fdr_hook::client::Client;
use fdr_hook::wire::{Op, Request, Response};
use fdr_record::{Access, Body, Observed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the recorder may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Record that content is given out, before it is.
    Access(Access),
    /// Put or release a legal hold.
    Hold(Change),
    /// Remove what may go.
    Prune(PruneOrder),
    /// Erase contents.
    Erase(EraseOrder),
    /// Wrap the keys under a new key-encryption key.
    Rewrap,
    /// Have the newest checkpoint time-stamped.
    Timestamp,
    /// Hand out the key that checks the seals of heartbeats.
    SealKey,
}

/// Has the recorder do something, which is started if none runs.
///
/// # Errors
/// When it can't be reached, or refuses; with its words.
pub fn ask<T: DeserializeOwned>(home: &Home, ask: &Ask) -> anyhow::Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    let program = std::env::current_exe().context("can't tell which program this is")?;
    let client = Client::connect_or_start_with(home.front(), &program, deadline);
    let mut client = client.context("the recorder can't be reached")?;
    let mut request = Request::control(Op::Admin);
    request.payload = serde_json::to_vec(ask)?;
    let response = client.call(&request, Some(deadline))?;
    if !response.recorded {
        bail!("{}", String::from_utf8_lossy(&response.stderr));
    }
    serde_json::from_slice(&response.stdout).context("the recorder's answer can't be read")
}

impl Recorder {
    /// Answers a request of the owner.
    pub(crate) fn answer_admin(&self, request: &Request, stream: Option<&UnixStream>) -> Response {
        match self.try_admin(request, stream) {
            Ok(stdout) => Response { stdout, recorded: true, ..Response::default() },
            Err(error) => Response::failed(format!("{error:#}")),
        }
    }

    fn try_admin(&self, request: &Request, stream: Option<&UnixStream>) -> anyhow::Result<Vec<u8>> {
        let observed = self.owner(stream)?;
        Ok(match serde_json::from_slice(&request.payload)? {
            Ask::Access(access) => {
                self.record_own_observed(Body::Access(access), observed)?;
                serde_json::to_vec(&())?
            }
            Ask::Hold(change) => serde_json::to_vec(&self.change_hold(&change, observed)?)?,
            Ask::Timestamp => {
                let keeper = self.timestamps.as_ref();
                let keeper = keeper.context("no authority is configured; see [timestamp] in: fdr config")?;
                serde_json::to_vec(&keeper.stamp(self)?)?
            }
            Ask::SealKey => {
                let (epoch, text) = self.heart.export();
                let filter = format!("from heartbeat {epoch} on");
                let access = Access { what: "seal_key".to_owned(), filter, ..Access::default() };
                self.record_own_observed(Body::Access(access), observed)?;
                serde_json::to_vec(&text)?
            }
            Ask::Prune(order) => serde_json::to_vec(&self.prune(&order, observed)?)?,
            Ask::Erase(order) => serde_json::to_vec(&self.erase(&order, observed)?)?,
            Ask::Rewrap => {
                let config = crate::config::Config::load(self.home())?;
                serde_json::to_vec(&self.vault().rewrap(self.home().dir(), &config.keys)?)?
            }
        })
    }

    /// Who is at the other end, if that is the recorder's own user or root, and not an agent.
    fn owner(&self, stream: Option<&UnixStream>) -> anyhow::Result<Observed> {
        let stream = stream.context("this has to come over the socket")?;
        ensure!(
            !surroundings::is_below_agent(stream),
            "a program that an agent started may not do this; do it from a terminal of your own"
        );
        let observed = surroundings::peer(stream, self.now());
        let own = rustix::process::geteuid().as_raw();
        ensure!(
            observed.uid == Some(own) || observed.uid == Some(0),
            "only the recorder's own user (uid {own}) and root may do this"
        );
        Ok(observed)
    }
}
