//! Changes that come together: what they touch, and whether it is complete.
//!
//! A file that was closed after writing or renamed into its place is complete and is read at once. One that is being
//! written, or that has gone, may be half of something: an editor's save, an object that moves to another file.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use super::folder::Changed;

/// What has changed in a folder since it was read last.
#[derive(Debug)]
pub(super) struct Burst {
    changed: Changed,
    /// What something else may follow.
    unsettled: BTreeSet<PathBuf>,
}

// === impl Burst ===

impl Burst {
    /// None so far.
    pub(super) fn new() -> Self {
        Self {
            changed: Changed::Entries(BTreeSet::new()),
            unsettled: BTreeSet::new(),
        }
    }

    /// Takes in what inotify tells of `folder`; an error says that something was lost.
    pub(super) fn add(&mut self, event: notify::Result<Event>, folder: &Path) {
        let Ok(event) = event else {
            return self.changed = Changed::Anything;
        };
        if event.need_rescan() {
            return self.changed = Changed::Anything;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => {
                for path in &event.paths {
                    self.unsettled.remove(path);
                }
            }
            EventKind::Access(_) => return,
            // Other permissions are complete at once.
            EventKind::Modify(ModifyKind::Metadata(_)) => {}
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => {
                self.unsettled.extend(event.paths.iter().cloned());
            }
            EventKind::Any | EventKind::Other => return self.changed = Changed::Anything,
        }
        if event.paths.is_empty() {
            self.changed = Changed::Anything;
        }
        for path in event.paths {
            self.touch(path, folder);
        }
    }

    /// Whether all that has changed is complete.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// What is to be read.
    pub(super) fn into_changed(self) -> Changed {
        self.changed
    }

    fn touch(&mut self, path: PathBuf, folder: &Path) {
        match &mut self.changed {
            Changed::Entries(entries) if path.parent() == Some(folder) => {
                entries.insert(path);
            }
            // The folder itself was moved, removed, or is another one.
            Changed::Entries(_) => self.changed = Changed::Anything,
            Changed::Anything => {}
        }
    }
}

/// Whether somebody only read, as the thread that follows the folder does itself.
pub(super) fn is_only_a_look(event: &notify::Result<Event>) -> bool {
    let kind = event.as_ref().map(|event| event.kind);
    matches!(kind, Ok(EventKind::Access(access)) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind};

    use super::*;

    #[test]
    fn a_file_is_complete_when_its_writer_closes_it() {
        let mut burst = Burst::new();
        burst.tell(CREATED, &["a.yaml"]);
        burst.tell(WRITTEN, &["a.yaml"]);
        assert!(!burst.is_settled());
        burst.tell(CLOSED, &["a.yaml"]);
        assert!(burst.is_settled());
        assert_eq!(burst.into_changed(), entries(&["a.yaml"]));
    }

    #[test]
    fn one_file_that_is_being_written_holds_up_the_complete_ones() {
        let mut burst = Burst::new();
        burst.tell(WRITTEN, &["a.yaml"]);
        burst.tell(CLOSED, &["b.yaml"]);
        assert!(!burst.is_settled());
    }

    #[test]
    fn a_file_that_is_renamed_into_its_place_is_complete() {
        let mut burst = Burst::new();
        for kind in [CREATED, WRITTEN, CLOSED] {
            burst.tell(kind, &[".a.tmp"]);
        }
        burst.tell(renamed(RenameMode::From), &[".a.tmp"]);
        assert!(!burst.is_settled(), "it may have been moved out");
        burst.tell(renamed(RenameMode::To), &["a.yaml"]);
        burst.tell(renamed(RenameMode::Both), &[".a.tmp", "a.yaml"]);
        assert!(burst.is_settled());
        assert_eq!(burst.into_changed(), entries(&[".a.tmp", "a.yaml"]));
    }

    #[test]
    fn what_has_gone_may_come_back_under_another_name() {
        let mut burst = Burst::new();
        burst.tell(EventKind::Remove(RemoveKind::File), &["a.yaml"]);
        assert!(!burst.is_settled());
        assert_eq!(burst.into_changed(), entries(&["a.yaml"]));
    }

    #[test]
    fn who_only_reads_changes_nothing() {
        let look = |kind| is_only_a_look(&Ok(Event::new(kind)));
        assert!(look(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(look(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(!look(CLOSED) && !look(WRITTEN));
    }

    #[test]
    fn lost_events_may_have_told_of_anything() {
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        for lost in [Ok(overflow), Err(notify::Error::generic("lost"))] {
            let mut burst = Burst::new();
            burst.tell(CLOSED, &["a.yaml"]);
            burst.add(lost, Path::new(FOLDER));
            burst.tell(CLOSED, &["b.yaml"]);
            assert_eq!(burst.into_changed(), Changed::Anything);
        }
    }

    #[test]
    fn what_befalls_the_folder_itself_may_change_anything() {
        let mut burst = Burst::new();
        burst.tell(EventKind::Remove(RemoveKind::Folder), &[""]);
        assert_eq!(burst.into_changed(), Changed::Anything);
    }

    impl Burst {
        fn tell(&mut self, kind: EventKind, names: &[&str]) {
            let event = names
                .iter()
                .fold(Event::new(kind), |event, name| event.add_path(at(name)));
            self.add(Ok(event), Path::new(FOLDER));
        }
    }

    fn entries(names: &[&str]) -> Changed {
        Changed::Entries(names.iter().map(|name| at(name)).collect())
    }

    fn at(name: &str) -> PathBuf {
        Path::new(FOLDER).join(name)
    }

    fn renamed(mode: RenameMode) -> EventKind {
        EventKind::Modify(ModifyKind::Name(mode))
    }

    const FOLDER: &str = "/etc/mesh";
    const CREATED: EventKind = EventKind::Create(CreateKind::File);
    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
}
