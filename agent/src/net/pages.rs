//! The pages of the program's own files, given back where only its start has needed them.
//!
//! A start runs through most of the code once: flags, YAML, kernel programs, netlink. Each page that it touches stays
//! resident, with its neighbours (`do_fault_around`), until memory is short.

use std::{fs, io, ops::Range, ptr};

/// Gives back what is mapped from files and was never written; what is used again comes back from the page cache.
///
/// Says how many bytes of addresses that is about.
pub fn give_back_files() -> io::Result<usize> {
    let mut length = 0;
    for range in unwritten(&fs::read_to_string("/proc/self/smaps")?) {
        // SAFETY: the mapping is private and may not be written, and none of its pages ever was: the file holds what they
        // held. Nobody takes such a mapping away: no library of this process is unloaded.
        let given = unsafe {
            libc::madvise(
                ptr::without_provenance_mut(range.start),
                range.len(),
                libc::MADV_DONTNEED,
            )
        };
        if given != 0 {
            return Err(io::Error::last_os_error());
        }
        length += range.len();
    }
    Ok(length)
}

/// The private mappings of files, in the format of proc_pid_smaps(5), that are not writable and hold no page of their own:
/// relocations are written before a mapping becomes read-only.
fn unwritten(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        match line.strip_prefix("Anonymous:") {
            None => mapping = range_of_file(line).or(mapping),
            Some(size) => found.extend(
                mapping
                    .take()
                    .filter(|range| !range.is_empty() && size.trim() == "0 kB"),
            ),
        }
    }
    found
}

/// The range of a mapping's first line; empty for a mapping that is not to be touched, none for any other line.
fn range_of_file(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let range = number(start)?..number(end)?;
    let permissions = words.next()?;
    let of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    let readable = matches!(permissions, "r--p" | "r-xp");
    Some(if of_file && readable { range } else { 0..0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_files_hold_and_nobody_wrote_is_given_back() {
        let smaps = "\
55d000-55f000 r--p 00000000 fd:00 1234                       /usr/bin/weft
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
55f000-560000 r-xp 00002000 fd:00 1234                       /usr/bin/weft
Anonymous:             0 kB
560000-561000 r--p 00003000 fd:00 1234                       /usr/bin/weft
Anonymous:             4 kB
561000-562000 rw-p 00004000 fd:00 1234                       /usr/bin/weft
Anonymous:             0 kB
562000-563000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
7f0000-7f1000 r--s 00000000 00:0e 99                         anon_inode:bpf-map
Anonymous:             0 kB
7f1000-7f2000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
";
        assert_eq!(unwritten(smaps), [0x55d000..0x55f000, 0x55f000..0x560000]);
    }

    #[test]
    fn what_was_given_back_comes_back() {
        assert!(give_back_files().unwrap() > 0);
        // Code and constants of this very test among them.
        assert_eq!(format!("{:?}", unwritten("").len()), "0");
    }
}
