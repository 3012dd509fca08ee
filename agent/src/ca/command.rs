//! What an operator tells a CA by its folder, whether or not it runs.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{
    CaServerError,
    announced::AnnouncedKind,
    folder::Folder,
    rotate::{begin, force},
    state::{KeptToken, Rotation, State, seconds},
};
use crate::tls::{AuthorityError, Denial, Fingerprint, JoinToken, authority_id};

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
        let root = Fingerprint::of(state.endpoint()?.certificate());
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
    Folder::open(folder)?.edit(|state| set_denial(state, denial, denied))
}

/// Puts a name on a state's deny-list, or takes it off.
pub(super) fn set_denial(state: &mut State, denial: &Denial, denied: bool) -> Result<(), CaServerError> {
    let denial = denial.to_string();
    let listed = state.denied.contains(&denial);
    match (listed, denied) {
        (false, false) => return Err(CaServerError::NotDenied(denial)),
        (true, true) => return Ok(()),
        (false, true) => state.denied.push(denial),
        (true, false) => state.denied.retain(|other| other != &denial),
    }
    state.bundle += 1;
    Ok(())
}

/// Shows what a CA keeps.
pub fn show(folder: &Path) -> Result<Shown, CaServerError> {
    let folder = Folder::open(folder)?;
    let state = folder.read()?;
    let waits = folder.read_waits()?.filter(|waits| waits.bundle == state.bundle);
    shown(state, waits.map(|waits| waits.nodes).unwrap_or_default())
}

/// What may be shown of a state, and for whose agents its rotation waits.
pub(super) fn shown(state: State, waits_for: BTreeSet<Arc<str>>) -> Result<Shown, CaServerError> {
    let own = state.roots.iter().map(|root| Ok(root.load()?.id().to_string()));
    let own: Vec<String> = own.collect::<Result<_, CaServerError>>()?;
    let announced = |kind| {
        let certificates = state.announced(kind)?.into_iter();
        let ids =
            certificates.map(|certificate| Ok(authority_id(&certificate).map_err(AuthorityError::Root)?.to_string()));
        ids.collect::<Result<Vec<String>, CaServerError>>()
    };
    let now = seconds(SystemTime::now());
    let tokens = state.tokens.iter().filter(|token| token.expires > now);
    let joining = state.rotation.is_some_and(Rotation::is_joining);
    let waits_for = waits_for.iter().filter(|_| joining);
    Ok(Shown {
        signer: match own.get(state.signer()) {
            Some(own) => own.clone(),
            None => announced(AnnouncedKind::Intermediate)?.pop().unwrap_or_default(),
        },
        roots: [own, announced(AnnouncedKind::Root)?].concat(),
        rotation: stage(&state),
        waits_for: waits_for.map(ToString::to_string).collect(),
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

/// How far a state's rotation is, in words.
pub(super) fn stage(state: &State) -> String {
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
