//! A real folder, changed in the ways in which people and machines change folders.

mod away;
mod policies;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{sync::watch::Receiver, time::timeout};

use super::{
    folder::{Changed, Folder},
    *,
};
use crate::{
    cluster::Update,
    model::{Mesh, ObjectName, Problem, sample::NODE},
};

/// A folder that an agent follows.
struct Followed {
    folder: TempDir,
    updates: Receiver<Update>,
}

impl Followed {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = mk_folder(files);
        let updates = follow(folder.path(), NODE, None).unwrap();
        Self { folder, updates }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Waits until the services with their first ports are these.
    async fn sees(&mut self, services: &[&str]) -> Update {
        let met = self.updates.wait_for(|update| seen(&update.mesh) == services);
        timeout(PATIENCE, met).await.expect("seen in time").unwrap().clone()
    }

    /// Waits until the problems, without the folder's name, are these.
    async fn tells(&mut self, problems: &[&str]) -> Update {
        let path = self.folder.path().to_path_buf();
        let met = self
            .updates
            .wait_for(|update| told(&path, &update.problems) == problems);
        timeout(PATIENCE, met).await.expect("told in time").unwrap().clone()
    }
}

fn mk_folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn service(name: &str, port: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  clusterIP: None\n  ports:\n  - port: {port}\n"
    )
}

fn seen(mesh: &Mesh) -> Vec<String> {
    mesh.services
        .values()
        .map(|service| format!("{}:{}", service.name.name, service.ports[0].port))
        .collect()
}

fn told(folder: &Path, problems: &[Problem]) -> Vec<String> {
    let prefix = format!("{}/", folder.display());
    problems
        .iter()
        .map(|problem| problem.to_string().replace(&prefix, ""))
        .collect()
}

fn ports(folder: &Folder) -> Vec<u16> {
    let services = folder.collected().objects.services.values();
    services.map(|service| service.service.ports[0].port).collect()
}

fn entries(folder: &TempDir, names: &[&str]) -> Changed {
    Changed::Entries(names.iter().map(|name| folder.path().join(name)).collect())
}

#[tokio::test]
async fn the_first_update_holds_all_files_and_documents() {
    let several = format!("{}---\n{}", service("a", "80"), service("b", "81"));
    let followed = Followed::new(&[
        ("1.yaml", &several),
        ("2.yml", &service("c", "82")),
        (
            "3.json",
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"d"},"spec":{"clusterIP":"None","ports":[{"port":83}]}}"#,
        ),
        (".4.yaml", &service("hidden", "84")),
        ("5.txt", &service("other", "85")),
    ]);
    let first = followed.updates.borrow().clone();
    assert_eq!(seen(&first.mesh), ["a:80", "b:81", "c:82", "d:83"]);
    assert_eq!((first.mesh.generation, &first.problems[..]), (1, &[][..]));
}

#[tokio::test]
async fn files_that_are_written_renamed_and_removed_are_followed() {
    let mut followed = Followed::new(&[("a.yaml", &service("a", "80"))]);
    followed.write("a.yaml", &service("a", "81"));
    followed.sees(&["a:81"]).await;
    followed.write("b.yaml", &service("b", "90"));
    followed.sees(&["a:81", "b:90"]).await;
    followed.write(".b.tmp", &service("b", "91"));
    fs::rename(followed.path(".b.tmp"), followed.path("b.yaml")).unwrap();
    followed.sees(&["a:81", "b:91"]).await;
    fs::rename(followed.path("b.yaml"), followed.path("b.yaml.bak")).unwrap();
    followed.sees(&["a:81"]).await;
    fs::remove_file(followed.path("a.yaml")).unwrap();
    let last = followed.sees(&[]).await;
    assert_eq!(last.mesh.generation, 6);
}

#[tokio::test]
async fn a_change_is_followed_long_before_the_rescan() {
    let mut followed = Followed::new(&[("a.yaml", &service("a", "80"))]);
    let started = Instant::now();
    followed.write("a.yaml", &service("a", "81"));
    followed.sees(&["a:81"]).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    for (version, port) in [("..1", "80"), ("..2", "81")] {
        fs::create_dir(folder.path().join(version)).unwrap();
        fs::write(folder.path().join(version).join("a.yaml"), service("a", port)).unwrap();
    }
    symlink("..1", folder.path().join("..data")).unwrap();
    symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
    let updates = follow(folder.path(), NODE, None).unwrap();
    let mut followed = Followed { folder, updates };
    followed.sees(&["a:80"]).await;
    symlink("..2", followed.path("..data_tmp")).unwrap();
    fs::rename(followed.path("..data_tmp"), followed.path("..data")).unwrap();
    followed.sees(&["a:81"]).await;
}

#[tokio::test]
async fn an_object_whose_file_is_renamed_never_goes() {
    let mut followed = Followed::new(&[("a.yaml", &service("a", "80"))]);
    fs::rename(followed.path("a.yaml"), followed.path("b.yaml")).unwrap();
    followed.write("b.yaml", &service("a", "81"));
    let update = followed.sees(&["a:81"]).await;
    assert_eq!(update.mesh.generation, 2);
}

#[tokio::test]
async fn a_folder_that_is_replaced_as_a_whole_is_followed() {
    let mut followed = Followed::new(&[("a.yaml", &service("a", "80"))]);
    let next = mk_folder(&[("a.yaml", &service("a", "81"))]);
    fs::remove_dir_all(followed.folder.path()).unwrap();
    fs::rename(next.path(), followed.folder.path()).unwrap();
    followed.sees(&["a:81"]).await;
    followed.write("a.yaml", &service("a", "82"));
    followed.sees(&["a:82"]).await;
}

#[tokio::test]
async fn a_wrong_object_keeps_its_last_good_state_and_the_others_change() {
    let file = |a: &str, b: &str| format!("{}---\n{}", service("a", a), service("b", b));
    let mut followed = Followed::new(&[("a.yaml", &file("80", "90"))]);
    followed.write("a.yaml", &file("none", "91"));
    let update = followed.sees(&["a:80", "b:91"]).await;
    assert_eq!(
        told(followed.folder.path(), &update.problems),
        [
            "a.yaml:7: Service default/a: spec.ports[0].port: invalid type: string \"none\", expected i32; its last good \
          state is kept"
        ]
    );
    followed.write("a.yaml", &file("82", "91"));
    followed.sees(&["a:82", "b:91"]).await;
    followed.tells(&[]).await;
}

#[tokio::test]
async fn a_half_written_file_loses_no_object() {
    let whole = format!("{}---\n{}", service("a", "80"), service("b", "90"));
    let mut followed = Followed::new(&[("a.yaml", &whole)]);
    followed.write(
        "a.yaml",
        &format!(
            "{}---\napiVersion: v1\nkind: Service\nmetadata: {{na",
            service("a", "81")
        ),
    );
    let update = followed.sees(&["a:81", "b:90"]).await;
    assert_eq!((update.problems.len(), update.problems[0].line), (1, Some(11)));
    followed.write("a.yaml", &service("a", "81"));
    followed.sees(&["a:81"]).await;
}

#[tokio::test]
async fn a_wrong_object_that_was_never_good_is_told_and_left_out() {
    let followed = Followed::new(&[("a.yaml", &service("a", "0")), ("b.yaml", &service("b", "90"))]);
    let first = followed.updates.borrow().clone();
    assert_eq!(seen(&first.mesh), ["b:90"]);
    assert_eq!(
        told(followed.folder.path(), &first.problems),
        ["a.yaml:7: Service default/a: spec.ports[0].port: 0 is not a port: it must be between 1 and 65535"]
    );
}

#[tokio::test]
async fn of_doubles_the_first_counts_and_the_second_takes_over_when_it_goes() {
    let mut followed = Followed::new(&[("a.yaml", &service("web", "80")), ("b.yaml", &service("web", "81"))]);
    followed.sees(&["web:80"]).await;
    let file = followed.path("a.yaml");
    let reason = format!(
        "b.yaml:1: Service default/web: this one does not count: it stands already in line 1 of {}",
        file.display()
    );
    followed
        .tells(&[&reason.replace(&format!("{}/", followed.folder.path().display()), "")])
        .await;
    fs::remove_file(file).unwrap();
    followed.sees(&["web:81"]).await;
    followed.tells(&[]).await;
}

#[tokio::test]
async fn problems_alone_leave_the_mesh_as_it_is() {
    let mut followed = Followed::new(&[("a.yaml", &service("a", "80"))]);
    let first = followed.updates.borrow().clone();
    followed.write(
        "b.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n---\napiVersion: apps/v1\nkind: Deployment\n",
    );
    let update = followed
        .tells(&["b.yaml:1: apps/v1 Deployment is not read: skipped"])
        .await;
    assert!(Arc::ptr_eq(&update.mesh, &first.mesh));
    assert_eq!(update.fresh_problems(&first).count(), 1);
    assert_eq!(update.fresh_problems(&update).count(), 0);
}

#[tokio::test]
async fn what_stays_as_it_was_is_shared_between_meshes() {
    let mut followed = Followed::new(&[("a.yaml", &service("a", "80")), ("b.yaml", &service("b", "90"))]);
    let first = followed.updates.borrow().clone();
    followed.write("b.yaml", &service("b", "91"));
    let second = followed.sees(&["a:80", "b:91"]).await;
    let name = |name| ObjectName::new("default", name);
    assert!(Arc::ptr_eq(
        &first.mesh.services[&name("a")],
        &second.mesh.services[&name("a")]
    ));
    assert_eq!(second.mesh.generation, 2);
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_last_good_state() {
    let followed = mk_folder(&[("a.yaml", &service("a", "80"))]);
    let mut folder = Folder::open(followed.path().into()).unwrap();
    let file = followed.path().join("a.yaml");
    fs::remove_file(&file).unwrap();
    symlink("nowhere", &file).unwrap();
    assert!(folder.refresh(&Changed::Anything));
    assert_eq!(
        told(followed.path(), &folder.collected().problems),
        ["a.yaml: cannot be read: No such file or directory (os error 2); its last good state is kept"]
    );
    assert_eq!(folder.collected().objects.services.len(), 1);
    assert!(!folder.refresh(&Changed::Anything), "it is told once");
    fs::remove_file(&file).unwrap();
    assert!(folder.refresh(&Changed::Anything));
    assert_eq!(folder.collected().objects.services.len(), 0);
}

#[test]
fn a_folder_that_cannot_be_listed_keeps_its_last_good_state() {
    let followed = mk_folder(&[("a.yaml", &service("a", "80"))]);
    let mut folder = Folder::open(followed.path().into()).unwrap();
    fs::remove_dir_all(followed.path()).unwrap();
    assert!(folder.refresh(&Changed::Anything));
    assert_eq!(
        (
            folder.collected().objects.services.len(),
            folder.collected().problems.len()
        ),
        (1, 1)
    );
    assert!(!folder.refresh(&Changed::Anything), "it is told once");
    fs::create_dir(followed.path()).unwrap();
    assert!(folder.refresh(&Changed::Anything));
    assert_eq!(
        (
            folder.collected().objects.services.len(),
            folder.collected().problems.len()
        ),
        (0, 0)
    );
}

#[test]
fn only_the_entries_that_changed_are_read() {
    let followed = mk_folder(&[("a.yaml", &service("a", "80")), ("b.yaml", &service("b", "90"))]);
    let mut folder = Folder::open(followed.path().into()).unwrap();
    for (name, port) in [("a", "81"), ("b", "91")] {
        fs::write(followed.path().join(name).with_extension("yaml"), service(name, port)).unwrap();
    }
    assert!(folder.refresh(&entries(&followed, &["a.yaml"])));
    assert_eq!(ports(&folder), [81, 90]);
    assert!(!folder.refresh(&entries(&followed, &["a.yaml"])), "it is as it was");
    // What was written so lately is read whatever its stamp says.
    assert!(folder.refresh(&Changed::Anything));
    assert_eq!(ports(&folder), [81, 91]);
}

#[test]
fn entries_that_are_no_manifests_or_have_gone_are_no_files() {
    let followed = mk_folder(&[("a.yaml", &service("a", "80")), ("b.txt", &service("b", "90"))]);
    let mut folder = Folder::open(followed.path().into()).unwrap();
    fs::create_dir(followed.path().join("c.yaml")).unwrap();
    assert!(!folder.refresh(&entries(&followed, &["b.txt", "c.yaml", "d.yaml", ".e.yaml"])));
    fs::remove_file(followed.path().join("a.yaml")).unwrap();
    assert!(folder.refresh(&entries(&followed, &["a.yaml"])));
    assert_eq!(ports(&folder), [0; 0]);
}

#[test]
fn what_links_lead_to_is_read_at_each_change() {
    let followed = mk_folder(&[("a.yaml", &service("a", "80"))]);
    let elsewhere = mk_folder(&[("b", &service("b", "90"))]);
    let (link, target) = (followed.path().join("b.yaml"), elsewhere.path().join("b"));
    symlink(&target, link).unwrap();
    let mut folder = Folder::open(followed.path().into()).unwrap();
    fs::write(&target, service("b", "91")).unwrap();
    assert!(folder.refresh(&entries(&followed, &["..data"])));
    assert_eq!(ports(&folder), [80, 91]);
    fs::remove_file(&target).unwrap();
    assert!(folder.refresh(&entries(&followed, &["..data"])));
    fs::write(&target, service("b", "92")).unwrap();
    assert!(
        folder.refresh(&entries(&followed, &["..data"])),
        "also after it led nowhere"
    );
    assert_eq!(ports(&folder), [80, 92]);
}

#[test]
fn objects_that_do_not_fit_together_are_told_at_their_place() {
    let web = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec:\n  clusterIP: 10.96.0.1\n  selector: {app: web}\n  \
               ports: [{port: 80, targetPort: http}]\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n\
               spec: {nodeName: node-1, containers: []}\nstatus: {podIP: 10.0.0.1}\n";
    let text = [
        web.replace("NAME", "a"),
        web.replace("NAME", "b"),
        pod.into(),
        pod.replace("{name: web,", "{name: web2,"),
    ];
    let source = Source::Text {
        name: "mesh.yaml".into(),
        text: text.join("---\n"),
    };
    let reviewed = review(source).unwrap();
    let problems: Vec<String> = reviewed.problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        problems,
        [
            "mesh.yaml:1: Service default/a: spec.ports[0].targetPort: no selected pod has a port named `http`",
            "mesh.yaml:9: Service default/b: spec.clusterIPs: 10.96.0.1 is already Service default/a's",
            "mesh.yaml:9: Service default/b: spec.ports[0].targetPort: no selected pod has a port named `http`",
            "mesh.yaml:17: Pod default/web: metadata.namespace: there is no Namespace default: its pods are enrolled by \
             their own label `weft.dev/mesh` only",
            "mesh.yaml:23: Pod default/web2: status.podIPs: 10.0.0.1 is already Pod default/web's",
        ]
    );
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
