//! Which of the folder's files the runtime takes: the first by name.

use std::{fs, io, path::Path};

use super::chain::{Kind, made_of, only_delegates};

/// The files that matter to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The first file of somebody else that makes the pods' network.
    pub(super) network: Option<Configuration>,
    /// Lists that were made of single plugins.
    pub(super) made: Vec<Configuration>,
}

/// A file that runtimes read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) text: String,
}

// === impl Chosen ===

impl Chosen {
    /// Looks through a folder.
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
        Ok(Self::among(all(folder)?))
    }

    fn among(mut files: Vec<Configuration>) -> Self {
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let (made, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|file| file.kind == Kind::List && made_of(&file.text).is_some());
        let mut others = others.into_iter();
        Self {
            network: others.find(|file| !only_delegates(&file.text)),
            made,
        }
    }
}

/// All files of a folder that runtimes read.
pub(super) fn all(folder: &Path) -> io::Result<Vec<Configuration>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(kind) = Kind::of(&name) else { continue };
        // It may have gone in between, or be half written: the next change tells.
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        files.push(Configuration { name, kind, text });
    }
    Ok(files)
}

/// The name of a list that comes before a file.
pub(super) fn name_before(file: &str) -> String {
    ["00-weft.conflist", "!00-weft.conflist"]
        .into_iter()
        .find(|name| *name < file)
        // Nothing that people write comes before it.
        .map_or_else(|| format!("!{file}.conflist"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_file(name: &str, text: &str) -> Configuration {
        Configuration {
            name: name.to_owned(),
            kind: Kind::of(name).unwrap(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_first_by_name_makes_the_network() {
        let files = [
            mk_file("20-b.conflist", "{}"),
            mk_file("10-a.conf", "{}"),
            mk_file("00-multus.conf", r#"{ "type": "multus" }"#),
            mk_file(
                "00-weft.conflist",
                r#"{ "weft.dev/made-of": "10-a.conf", "plugins": [] }"#,
            ),
        ];
        let chosen = Chosen::among(files.to_vec());
        assert_eq!(chosen.network.unwrap().name, "10-a.conf");
        assert_eq!(chosen.made, [files[3].clone()]);
        assert_eq!(Chosen::among(files[2..].to_vec()).network, None);
    }

    #[test]
    fn a_list_of_ours_comes_before_what_it_was_made_of() {
        for file in ["10-a.conf", "00-a.conf", "0.conf", "!a.conf", "zz.json"] {
            let name = name_before(file);
            assert!(*name < *file, "{name} is not before {file}");
            assert_eq!(Kind::of(&name), Some(Kind::List));
        }
    }
}
