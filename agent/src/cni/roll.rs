//! The roll: which namespaces are enrolled, for the plugin to know while the agent is away.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};

use super::patience::Standing;
use crate::{
    model::{Mesh, OnAgentFailure},
    telemetry::with_causes,
};

/// The namespaces whose pods wait for the agent, and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Roll {
    namespaces: BTreeMap<Arc<str>, Failing>,
}

/// What happens to a namespace's pods while the agent is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failing {
    Open,
    Closed,
}

// === impl Roll ===

impl Roll {
    /// Reads what the last agent has written. Where there is none, or none that is understood, nobody is known to be
    /// enrolled, and nobody waits.
    pub(super) fn read(run_dir: &Path) -> Self {
        Self::try_read(run_dir).unwrap_or_default()
    }

    /// What is known of a namespace.
    pub(super) fn standing(&self, namespace: &str) -> Standing {
        match self.namespaces.get(namespace) {
            None => Standing::Unlisted,
            Some(Failing::Open) => Standing::Listed(OnAgentFailure::Open),
            Some(Failing::Closed) => Standing::Listed(OnAgentFailure::Closed),
        }
    }

    fn of(mesh: &Mesh) -> Self {
        let namespaces = mesh.enrolled_namespaces().into_iter();
        let failing = namespaces.map(|(name, failure)| match failure {
            OnAgentFailure::Open => (name, Failing::Open),
            OnAgentFailure::Closed => (name, Failing::Closed),
        });
        Self {
            namespaces: failing.collect(),
        }
    }

    fn try_read(run_dir: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        File::open(path(run_dir))?.take(LONGEST).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Replaces the file as a whole.
    fn write(&self, run_dir: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(run_dir)?;
        let draft = run_dir.join(".enrolled.json.new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(draft, path(run_dir))
    }
}

/// Keeps the roll as the mesh says, until nobody writes meshes any longer. It outlives the agent.
pub async fn follow(run_dir: PathBuf, mut mesh: watch::Receiver<Arc<Mesh>>) {
    let mut written = None;
    loop {
        let current = Arc::clone(&mesh.borrow_and_update());
        let roll = Roll::of(&current);
        let differs = current.generation > 0 && written.as_ref() != Some(&roll);
        if differs {
            match roll.write(&run_dir) {
                Ok(()) => written = Some(roll),
                Err(error) => {
                    tracing::warn!(path = %path(&run_dir).display(), error = %with_causes(&error), "The enrolled namespaces cannot be written down");
                    sleep(AGAIN).await;
                    continue;
                }
            }
        }
        if mesh.changed().await.is_err() {
            return;
        }
    }
}

/// The file of the roll.
pub(super) fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("enrolled.json")
}

const AGAIN: Duration = Duration::from_secs(5);

/// A roll that is longer is not read: 100,000 names have room.
const LONGEST: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::model::{Contents, Policies};

    fn mk_mesh(namespaces: &[&str], closed: &[&str]) -> Mesh {
        let named = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        Mesh::new(Contents {
            generation: 1,
            failing_closed: named(closed),
            policies: Policies {
                enrolled_namespaces: named(namespaces),
                ..Policies::default()
            },
            ..Contents::default()
        })
    }

    #[test]
    fn what_was_written_is_read_and_names_enrolled_namespaces_alone() {
        let folder = TempDir::new().unwrap();
        let run_dir = folder.path().join("cni");
        let mesh = mk_mesh(&["open", "closed"], &["closed", "elsewhere"]);
        Roll::of(&mesh).write(&run_dir).unwrap();
        let roll = Roll::read(&run_dir);
        assert_eq!(roll.standing("open"), Standing::Listed(OnAgentFailure::Open));
        assert_eq!(roll.standing("closed"), Standing::Listed(OnAgentFailure::Closed));
        assert_eq!(roll.standing("elsewhere"), Standing::Unlisted);
        assert_eq!(
            fs::read_to_string(path(&run_dir)).unwrap(),
            r#"{"namespaces":{"closed":"closed","open":"open"}}"#
        );
    }

    #[test]
    fn without_a_roll_or_with_one_that_is_broken_nobody_is_known() {
        let folder = TempDir::new().unwrap();
        assert_eq!(Roll::read(folder.path()), Roll::default());
        fs::write(path(folder.path()), r#"{"namespaces":{"shop":"#).unwrap();
        assert_eq!(Roll::read(folder.path()).standing("shop"), Standing::Unlisted);
    }

    #[tokio::test]
    async fn the_roll_follows_the_mesh_and_none_is_written_before_the_first() {
        let folder = TempDir::new().unwrap();
        let (meshes, receiver) = watch::channel(Arc::new(Mesh::default()));
        let task = tokio::spawn(follow(folder.path().to_owned(), receiver));
        tokio::task::yield_now().await;
        assert!(!path(folder.path()).exists());
        meshes.send_replace(Arc::new(mk_mesh(&["shop"], &[])));
        drop(meshes);
        task.await.unwrap();
        let standing = Roll::read(folder.path()).standing("shop");
        assert_eq!(standing, Standing::Listed(OnAgentFailure::Open));
    }
}
