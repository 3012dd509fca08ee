//! Which cluster a person means.

use std::{env, path::PathBuf};

use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser},
};

/// Which cluster is asked, and where the mesh lives in it.
#[derive(Args, Clone, Debug)]
pub struct PersonConfig {
    /// How to reach the API server [default: ~/.kube/config, or the service account of this pod]
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", value_parser = file_or_empty())]
    pub kubeconfig: Option<PathBuf>,

    /// The namespace of the mesh's own objects
    #[arg(
        long,
        value_name = "NAME",
        default_value = "weft-system",
        env = "WEFT_SYSTEM_NAMESPACE"
    )]
    pub system_namespace: String,
}

// === impl PersonConfig ===

impl PersonConfig {
    /// The file that says which cluster is meant; none for that of the pod in which this runs.
    pub fn file(&self) -> Option<PathBuf> {
        let at_home = || {
            let file = env::home_dir()?.join(".kube/config");
            file.is_file().then_some(file)
        };
        named(self.kubeconfig.as_ref()).or_else(at_home)
    }
}

/// Takes an empty name too: a variable that is set to nothing is no wrong usage.
pub(super) fn file_or_empty() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The file, where one is named: an empty variable counts as one that is not set, as with kubectl.
pub(super) fn named(kubeconfig: Option<&PathBuf>) -> Option<PathBuf> {
    kubeconfig.filter(|file| !file.as_os_str().is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_is_none() {
        assert_eq!(named(None), None);
        assert_eq!(named(Some(&PathBuf::new())), None);
        let file = PathBuf::from("kube/config");
        assert_eq!(named(Some(&file)), Some(file));
    }
}
