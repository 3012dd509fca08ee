//! The Go modules which the programs come from: a folder each with go.mod and go.sum, which pin every byte.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;

use crate::Program;

/// A module of ours that names programs of others as its tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    /// The cluster's store.
    Etcd,
    /// Kubernetes itself.
    Kubernetes,
    /// The runtime of the nodes' containers.
    Containerd,
    /// The cluster's DNS.
    Coredns,
    /// The conformance suite of the Gateway API.
    Conformance,
    /// The application which that suite runs in its pods: Istio's echo.
    Echo,
    /// The conformance suite of HTTP/2.
    H2spec,
    /// A client of gRPC.
    Grpcurl,
}

/// A folder of a dependency which is kept beside a module's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The dependency's module path.
    pub of: &'static str,
    /// The folder in it. Files only.
    pub folder: &'static str,
    /// What it is called beside the programs.
    pub name: &'static str,
}

/// A version as Go modules write it: `v1.36.3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

// === impl Module ===

impl Module {
    /// All of them; what is needed by most comes first.
    pub const ALL: [Self; 8] = [
        Self::Etcd,
        Self::Kubernetes,
        Self::Containerd,
        Self::Coredns,
        Self::Conformance,
        Self::Echo,
        Self::H2spec,
        Self::Grpcurl,
    ];

    /// Its name, which its folder bears.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
            Self::Containerd => "containerd",
            Self::Coredns => "coredns",
            Self::Conformance => "conformance",
            Self::Echo => "echo",
            Self::H2spec => "h2spec",
            Self::Grpcurl => "grpcurl",
        }
    }

    /// The folder of its go.mod.
    pub fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(self.name())
    }

    /// The programs that are built from it.
    pub fn programs(self) -> impl Iterator<Item = Program> {
        Program::all().filter(move |program| program.module() == self)
    }

    /// What is kept beside its programs.
    pub fn kept(self) -> Option<Kept> {
        match self {
            Self::Etcd | Self::Kubernetes | Self::Containerd | Self::Coredns | Self::H2spec | Self::Grpcurl => None,
            // The routes of the standard channel have fields that only the experimental one's definitions know.
            Self::Conformance => Some(Kept {
                of: "sigs.k8s.io/gateway-api",
                folder: "config/crd/experimental",
                name: "crds",
            }),
            Self::Echo => Some(Kept {
                of: "istio.io/istio",
                folder: "tests/testdata/certs/dns",
                name: "certs",
            }),
        }
    }

    /// The version of what it is there for, as its go.mod pins it.
    pub fn version(self) -> Result<Version> {
        let go_mod = self.read("go.mod")?;
        let version = go_mod.lines().find_map(|line| {
            // `require path version // indirect`, or the same without its first word in a block.
            let mut words = line.trim_start_matches("require ").split_whitespace();
            words.next().filter(|path| *path == self.requires())?;
            words.next().filter(|word| word.starts_with('v'))
        });
        let version =
            version.with_context(|| format!("{}: requires no {}", self.folder().display(), self.requires()))?;
        Ok(Version(version.to_owned()))
    }

    /// What `go build` is told beside its usual: Kubernetes learns its version only so, and clients refuse one without.
    pub fn linker_flags(self) -> Result<String> {
        let stripped = "-s -w";
        Ok(match self {
            Self::Kubernetes => {
                let version = self.version()?;
                let (major, minor) = version.major_minor()?;
                let variables = [
                    ("gitVersion", version.0.as_str()),
                    ("gitMajor", major),
                    ("gitMinor", minor),
                ];
                let set = |(name, value)| format!(" -X k8s.io/component-base/version.{name}={value}");
                variables
                    .map(set)
                    .into_iter()
                    .fold(stripped.to_owned(), |flags, flag| flags + &flag)
            }
            Self::Etcd
            | Self::Containerd
            | Self::Coredns
            | Self::Conformance
            | Self::Echo
            | Self::H2spec
            | Self::Grpcurl => stripped.to_owned(),
        })
    }

    /// What tells one build's output from another's: the version to read, and a hash of all that decides.
    pub(crate) fn key(self) -> Result<String> {
        let decides = [self.read("go.mod")?, self.read("go.sum")?, self.linker_flags()?].join("\0");
        let hash = digest::digest(&digest::SHA256, decides.as_bytes());
        let hash: String = hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{}-{}-{hash}", self.name(), self.version()?))
    }

    fn requires(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kubernetes => "k8s.io/kubernetes",
            Self::Containerd => "github.com/containerd/containerd/v2",
            Self::Coredns => "github.com/coredns/coredns",
            Self::Conformance => "sigs.k8s.io/gateway-api/conformance",
            Self::Echo => "istio.io/istio",
            Self::H2spec => "github.com/summerwind/h2spec",
            Self::Grpcurl => "github.com/fullstorydev/grpcurl",
        }
    }

    fn read(self, name: &str) -> Result<String> {
        let path = self.folder().join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

// === impl Version ===

impl Version {
    fn major_minor(&self) -> Result<(&str, &str)> {
        let numbers = self.0.strip_prefix('v').and_then(|numbers| numbers.split_once('.'));
        let (major, rest) = numbers.with_context(|| format!("{self} is no version"))?;
        let minor = rest.split_once('.').map_or(rest, |(minor, _)| minor);
        Ok((major, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_pins_a_version_and_names_programs() {
        for module in Module::ALL {
            let key = module.key().unwrap();
            assert!(key.starts_with(&format!("{}-v", module.name())), "{key}");
            assert!(!key.contains(char::is_whitespace), "{key}");
            assert!(module.programs().count() > 0, "{key}");
        }
    }

    #[test]
    fn kubernetes_learns_its_version_by_the_linker() {
        let version = Module::Kubernetes.version().unwrap();
        let flags = Module::Kubernetes.linker_flags().unwrap();
        assert!(flags.contains(&format!("gitVersion={version} ")), "{flags}");
        assert_eq!(Version("v1.36.3".to_owned()).major_minor().unwrap(), ("1", "36"));
        assert!(Version("master".to_owned()).major_minor().is_err());
    }

    #[test]
    fn every_program_is_a_tool_of_its_module() {
        for program in Program::all() {
            let go_mod = program.module().read("go.mod").unwrap();
            assert!(go_mod.contains(program.package()), "{program:?}");
        }
    }
}
