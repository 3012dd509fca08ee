//! A folder that is away, and comes back.

use std::time::SystemTime;

use super::*;
use crate::{
    cluster::{Contact, LastKnown},
    model::Contents,
};

/// A mesh with a service `kept` of port 70, confirmed a minute ago.
fn last_known() -> LastKnown {
    let folder = mk_folder(&[("a.yaml", &service("kept", "70"))]);
    let mesh: Mesh = mesh_of(folder.path());
    LastKnown {
        contents: mesh.contents(),
        confirmed: SystemTime::now() - Duration::from_secs(60),
    }
}

fn mesh_of(folder: &Path) -> Mesh {
    let update = follow(folder, NODE, None).unwrap().borrow().clone();
    Mesh::new(Contents {
        generation: 1,
        ..update.mesh.contents()
    })
}

/// Follows a path that may be away, below a folder that is there.
fn followed(path: &Path, last_known: LastKnown) -> Receiver<Update> {
    follow(path, NODE, Some(last_known)).unwrap()
}

async fn until(updates: &mut Receiver<Update>, services: &[&str], fresh: bool) -> Update {
    let met = updates.wait_for(|update| seen(&update.mesh) == services && (update.contact == Contact::Fresh) == fresh);
    timeout(PATIENCE, met).await.expect("seen in time").unwrap().clone()
}

#[tokio::test]
async fn what_was_last_known_is_used_until_the_folder_is_there() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("mesh");
    let known = last_known();
    let since = known.confirmed;
    let mut updates = followed(&path, known);
    let first = updates.borrow().clone();
    assert_eq!(seen(&first.mesh), ["kept:70"]);
    assert_eq!(first.contact, Contact::Lost { since });
    assert_eq!(first.problems.len(), 1);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), service("new", "80")).unwrap();
    let back = until(&mut updates, &["new:80"], true).await;
    assert!(back.mesh.generation > first.mesh.generation);
    assert_eq!(back.problems.len(), 0);
    fs::write(path.join("a.yaml"), service("new", "81")).unwrap();
    until(&mut updates, &["new:81"], true).await;
}

#[tokio::test]
async fn a_folder_without_any_object_says_nothing_at_the_start_and_something_later() {
    for text in ["", "a: [1\n"] {
        let folder = mk_folder(&[("a.yaml", text)]);
        let mut updates = followed(folder.path(), last_known());
        assert_eq!(seen(&updates.borrow().mesh), ["kept:70"], "of {text:?}");
        assert!(matches!(updates.borrow().contact, Contact::Lost { .. }));
        fs::write(folder.path().join("a.yaml"), service("new", "80")).unwrap();
        until(&mut updates, &["new:80"], true).await;
        fs::remove_file(folder.path().join("a.yaml")).unwrap();
        until(&mut updates, &[], true).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_there_goes_before_what_was_last_known() {
    let folder = mk_folder(&[("a.yaml", &service("new", "80"))]);
    let updates = followed(folder.path(), last_known());
    let first = updates.borrow().clone();
    assert_eq!(
        (seen(&first.mesh), first.contact),
        (vec!["new:80".to_owned()], Contact::Fresh)
    );
}

#[tokio::test]
async fn a_folder_that_goes_away_while_it_is_followed_is_said() {
    let parent = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (parent.path().join("mesh"), parent.path().join("elsewhere"));
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), service("a", "80")).unwrap();
    let mut updates = follow(&path, NODE, None).unwrap();
    fs::rename(&path, &elsewhere).unwrap();
    let lost = until(&mut updates, &["a:80"], false).await;
    let Contact::Lost { since } = lost.contact else {
        panic!("it is lost")
    };
    assert!(since.elapsed().unwrap_or_default() < PATIENCE);
    fs::rename(&elsewhere, &path).unwrap();
    until(&mut updates, &["a:80"], true).await;
}

#[test]
fn a_folder_that_does_not_exist_cannot_be_followed() {
    assert!(follow(Path::new("/nonexistent/weft"), NODE, None).is_err());
}
