//! Authorities from files: which belong together, who is told of them, and when they leave.

use tempfile::TempDir;

use super::*;
use crate::{
    ca::live::{Live, bundle_text},
    tls::sample::SampleIssuer,
};

const LIFE: Duration = Duration::from_secs(3600);

struct Files {
    _folder: TempDir,
    files: IssuerFiles,
}

impl Files {
    fn new(issuer: &SampleIssuer) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let files = IssuerFiles {
            roots: file("ca.crt", &issuer.roots),
            certificate: file("tls.crt", &issuer.certificate),
            key: file("tls.key", &issuer.key),
        };
        Self { _folder: folder, files }
    }
}

fn mk_issuer() -> (SampleIssuer, Issuer) {
    let sample = SampleIssuer::new();
    let issuer = Files::new(&sample).files.read().expect("they belong together");
    (sample, issuer)
}

fn intermediates(state: &State) -> usize {
    state
        .announced(AnnouncedKind::Intermediate)
        .expect("certificates")
        .len()
}

#[test]
fn an_authority_from_files_signs_and_its_root_is_believed() {
    let (sample, issuer) = mk_issuer();
    let state = State::for_cluster("cluster.local", Some(&issuer)).expect("a state");
    let live = Live::replica(&state, &[], Some(&issuer)).expect("live");
    assert_eq!(bundle_text(&state).expect("a bundle"), sample.roots);
    assert_eq!(live.bundle.signer, *issuer.authority.id());
    assert_eq!(live.bundle.intermediates, [issuer.authority.certificate()]);
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (one, other) = (SampleIssuer::new(), SampleIssuer::new());
    let mixed = SampleIssuer {
        key: other.key,
        ..one.clone()
    };
    let error = Files::new(&mixed).files.read().expect_err("another key");
    assert!(matches!(error, CaServerError::Authority(_)), "{error}");
    let foreign = SampleIssuer {
        roots: other.roots,
        ..one.clone()
    };
    let error = Files::new(&foreign).files.read().expect_err("another root");
    assert!(matches!(error, CaServerError::Unrooted), "{error}");
    let empty = SampleIssuer {
        certificate: String::new(),
        ..one
    };
    let error = Files::new(&empty).files.read().expect_err("none");
    assert!(matches!(error, CaServerError::Certificates { .. }), "{error}");
}

#[test]
fn a_new_authority_is_announced_before_it_signs_and_the_old_one_leaves_when_all_it_signed_is_over() {
    let ((_, old), (_, new)) = (mk_issuer(), mk_issuer());
    let now = SystemTime::now();
    let mut state = State::for_cluster("cluster.local", Some(&old)).expect("a state");
    assert_eq!(old.wait(&state, now), Duration::ZERO, "there is no other one");
    let before = state.bundle;
    assert!(new.announce(&mut state, LIFE, now));
    assert_eq!((intermediates(&state), state.bundle), (2, before + 1));
    assert!(new.wait(&state, now) > Duration::from_secs(10));
    assert_eq!(new.wait(&state, now + NOTICE), Duration::ZERO);
    // Another replica has the old files yet: it changes nothing.
    assert!(!old.announce(&mut state, LIFE, now));
    assert!(!new.announce(&mut state, LIFE, now + LIFE));
    assert!(new.announce(&mut state, LIFE, now + LIFE + MARGIN + MARGIN));
    assert_eq!(
        state.announced(AnnouncedKind::Intermediate).expect("one"),
        [new.authority.certificate()]
    );
}
