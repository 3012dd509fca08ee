//! What tells whether a file is as it was when it was read, without decoding it, or without even reading it.

use std::{
    fs::{self, Metadata},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file's fingerprint at the time of its last reading.
#[derive(Debug, Default)]
pub(super) struct Print {
    text: Option<u64>,
    /// None where a later write could leave the same one.
    stamp: Option<Stamp>,
    link: bool,
}

/// When a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is known to have changed.
    Always,
    /// Unless its stamp is the same: nothing but the folder's size makes looking at all files dear.
    IfTouched,
}

/// What the file system says of a file, or of what a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

// === impl Print ===

impl Print {
    /// Reads a file, unless `old` says that nothing touched it. What is no file is `Unsupported`.
    pub(super) fn take(path: &Path, look: Look, old: Option<&Self>) -> io::Result<Option<(Self, String)>> {
        let own = fs::symlink_metadata(path)?;
        let link = own.is_symlink();
        let found = if link { fs::metadata(path)? } else { own };
        if !found.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let stamp = Stamp::of(&found);
        if look == Look::IfTouched && old.is_some_and(|old| old.stamp == Some(stamp)) {
            return Ok(None);
        }
        let now = SystemTime::now();
        let text = fs::read_to_string(path)?;
        let print = Self {
            text: Some(hash(&text)),
            stamp: Some(stamp).filter(|stamp| stamp.is_older_than(now)),
            link,
        };
        Ok(Some((print, text)))
    }

    /// Whether both are of the same text.
    pub(super) fn same_text(&self, other: &Self) -> bool {
        self.text.is_some() && self.text == other.text
    }

    /// Whether it is a symbolic link.
    pub(super) fn is_link(&self) -> bool {
        self.link
    }

    /// Notes of a file that cannot be read whether it is a link: what it leads to may come back without a word. It is
    /// read again at each look.
    pub(super) fn note_link(&mut self, path: &Path) {
        self.link = path.is_symlink();
        self.stamp = None;
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a write from `now` on leaves another stamp, however coarse the file system's clock is.
    fn is_older_than(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, _) = self.changed.max(self.modified);
        u64::try_from(seconds).is_ok_and(|seconds| Duration::from_secs(seconds) + COARSEST_CLOCK < now)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// FAT counts in steps of two seconds.
const COARSEST_CLOCK: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_trusted_when_no_clock_can_give_it_again() {
        let changed = Duration::from_secs(1_000_000);
        let stamp = Stamp {
            device: 1,
            inode: 2,
            length: 3,
            modified: (0, 0),
            changed: (1_000_000, 0),
        };
        let older_after = |time| stamp.is_older_than(UNIX_EPOCH + changed + time);
        assert!(!older_after(COARSEST_CLOCK));
        assert!(older_after(COARSEST_CLOCK + Duration::from_nanos(1)));
        assert!(!stamp.is_older_than(UNIX_EPOCH), "a clock that was set back");
    }
}
