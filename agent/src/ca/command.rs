//! What an operator tells a CA by its folder, whether or not it runs.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{
    CaServerError,
    folder::Folder,
    rotate::{begin, force},
    state::{KeptToken, Rotation, State, seconds},
};
use crate::tls::{Denial, Fingerprint, JoinToken};

/// What a CA keeps, as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The trust domain.
    pub trust_domain: String,
    /// The keys of the roots that agents believe, the oldest first.
    pub roots: Vec<String>,
    /// The one that signs.
    pub signer: String,
    /// How far a rotation is.
    pub rotation: String,
    /// The nodes whose agents the rotation waits for, as the running CA has told last.
    pub waits_for: Vec<String>,
    /// The deny-list.
    pub denied: Vec<String>,
    /// The tokens that have not expired.
    pub tokens: Vec<ShownToken>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownToken {
    /// For which node.
    pub node: String,
    /// Until when (RFC 3339).
    pub expires: String,
}

/// Makes a token for the agent of a node; its text is shown this once.
pub fn make_token(folder: &Path, node: &str, life: Duration) -> Result<String, CaServerError> {
    Folder::open(folder)?.edit(|state| {
        let now = SystemTime::now();
        let root = Fingerprint::of(state.endpoint.load()?.root());
        let token = JoinToken::draw(node, root, now + life)?;
        state.tokens.retain(|token| token.expires > seconds(now));
        state.tokens.push(KeptToken {
            node: node.to_owned(),
            fingerprint: token.fingerprint().to_string(),
            expires: seconds(token.expires),
        });
        Ok(token.reveal())
    })
}

/// Begins to replace the root; says how far a rotation is.
pub fn rotate(folder: &Path) -> Result<String, CaServerError> {
    Folder::open(folder)?.edit(|state| {
        begin(state)?;
        Ok(stage(state))
    })
}

/// Lets the new root sign though some agents do not know it; says how far the rotation is.
pub fn force_rotation(folder: &Path) -> Result<String, CaServerError> {
    Folder::open(folder)?.edit(|state| {
        force(state)?;
        Ok(stage(state))
    })
}

/// Puts a name on the deny-list, or takes it off.
pub fn change_denials(folder: &Path, denial: &Denial, denied: bool) -> Result<(), CaServerError> {
    let denial = denial.to_string();
    Folder::open(folder)?.edit(|state| {
        let listed = state.denied.contains(&denial);
        match (listed, denied) {
            (false, false) => return Err(CaServerError::NotDenied(denial.clone())),
            (true, true) => return Ok(()),
            (false, true) => state.denied.push(denial.clone()),
            (true, false) => state.denied.retain(|other| other != &denial),
        }
        state.bundle += 1;
        Ok(())
    })
}

/// Shows what a CA keeps.
pub fn show(folder: &Path) -> Result<Shown, CaServerError> {
    let folder = Folder::open(folder)?;
    let state = folder.read()?;
    let joining = state.rotation.is_some_and(Rotation::is_joining);
    let waits = folder.read_waits()?;
    let waits = waits.filter(|waits| joining && waits.bundle == state.bundle);
    let roots: Vec<String> = state
        .roots
        .iter()
        .map(|root| Ok::<_, CaServerError>(root.load()?.id().to_string()))
        .collect::<Result<_, _>>()?;
    let now = seconds(SystemTime::now());
    let tokens = state.tokens.iter().filter(|token| token.expires > now);
    Ok(Shown {
        signer: roots.get(state.signer()).cloned().unwrap_or_default(),
        roots,
        rotation: stage(&state),
        waits_for: waits.map_or_else(Vec::new, |waits| waits.nodes.iter().map(ToString::to_string).collect()),
        denied: state.denied.clone(),
        tokens: tokens
            .map(|token| ShownToken {
                node: token.node.clone(),
                expires: rfc3339(token.expires),
            })
            .collect(),
        trust_domain: state.trust_domain,
    })
}

fn stage(state: &State) -> String {
    match state.rotation {
        None => "none".to_owned(),
        Some(Rotation::Joining { since, forced }) => {
            let since = rfc3339(since);
            let next = if forced {
                "is to sign at once"
            } else {
                "does not sign yet"
            };
            format!("the new root is in the bundle since {since}, and {next}")
        }
        Some(Rotation::Leaving { until }) => {
            format!("the new root signs; the old one leaves at {}", rfc3339(until))
        }
    }
}

fn rfc3339(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The year 9999.
const LATEST: u64 = 253_370_764_800;
