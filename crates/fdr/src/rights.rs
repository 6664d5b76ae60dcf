//! Who may have the recorder do what, where more than one user can reach it.
//!
//! Whoever reaches the socket of the machine's recorder may have events recorded, which are bound to
//! the user that the kernel names. What widens an agent's limits is for another user than its own; what
//! concerns all is for root and the recorder's own user.

use crate::recorder::Recorder;
use anyhow::ensure;
use fdr_hook::wire::Response;
use fdr_record::Observed;
use std::os::unix::net::UnixStream;

impl Recorder {
    fn uid(&self, stream: Option<&UnixStream>) -> Option<u32> {
        stream.and_then(fdr_hook::handed::peer_uid)
    }

    /// Whether root or the recorder's own user is at the other end.
    pub(crate) fn may_all(&self, stream: Option<&UnixStream>) -> bool {
        let own = rustix::process::geteuid().as_raw();
        // Where the system does not tell, the socket is its owner's alone.
        self.uid(stream).is_none_or(|uid| uid == 0 || uid == own)
    }

    /// Whether the other end may know what a session asks for: its own user, and whoever may answer.
    pub(crate) fn may_see(&self, stream: Option<&UnixStream>, session: &str) -> bool {
        if self.may_all(stream) {
            return true;
        }
        let Some(uid) = self.uid(stream) else { return true };
        let login = self.principal(uid).name.unwrap_or_default();
        self.approvals.approvers.contains(&login) || self.owner_of(session) == Some(uid)
    }

    /// Refuses what the user whose agent a session is has to have decided by somebody else.
    ///
    /// # Errors
    /// When it is that user.
    pub(crate) fn differs(&self, session: &str, observed: &Observed) -> anyhow::Result<()> {
        let is_own = observed.uid.is_some() && self.owner_of(session) == observed.uid;
        ensure!(
            !(self.approvals.approvers_differ && is_own),
            "session {session} is an agent's of this very user, for whom any of its programs could answer; \
             somebody else has to (approvers_differ in the configuration)"
        );
        Ok(())
    }

    /// Names the transcripts of the sender's sessions, for `fdr watch`.
    pub(crate) fn answer_transcripts(&self, stream: Option<&UnixStream>) -> Response {
        let uid = self.uid(stream);
        let mut all = self.transcripts();
        all.retain(|(session, ..)| uid.is_some() && self.owner_of(session) == uid);
        Response {
            stdout: serde_json::to_vec(&all).unwrap_or_default(),
            recorded: true,
            ..Response::default()
        }
    }
}
