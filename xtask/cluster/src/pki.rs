//! The cluster's certificate authority, and the certificates of its components and users.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// A certificate authority whose files lie in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

/// A certificate with its key (PEM).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// The names which a server is called by.
#[derive(Clone, Debug, Default)]
pub struct Names<'a> {
    /// As DNS has them.
    pub dns: &'a [&'a str],
    /// Its addresses.
    pub ips: &'a [IpAddr],
}

// === impl Authority ===

impl Authority {
    /// Makes an authority, and the key pair by which service account tokens are signed.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = named("kubernetes", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).context("cannot sign the root")?.pem();
        let tokens = KeyPair::generate().context("cannot make a key")?;
        write(&folder.join(ROOT), &root)?;
        write(&folder.join(KEY), &key.serialize_pem())?;
        write(&folder.join(TOKENS), &tokens.serialize_pem())?;
        write(&folder.join(TOKENS_PUBLIC), &tokens.public_key_pem())?;
        Self::open(folder)
    }

    /// Takes the authority of a folder that [`Authority::create`] made.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let root = read(ROOT)?;
        let key = KeyPair::from_pem(&read(KEY)?).context("cannot read the authority's key")?;
        let issuer = Issuer::from_ca_cert_pem(&root, key).context("cannot read the root")?;
        Ok(Self {
            folder: folder.to_owned(),
            issuer,
            root,
        })
    }

    /// The root certificate (PEM).
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The root certificate's file.
    pub fn root_file(&self) -> PathBuf {
        self.folder.join(ROOT)
    }

    /// The file of the private key that signs service account tokens.
    pub fn token_key_file(&self) -> PathBuf {
        self.folder.join(TOKENS)
    }

    /// The file of the public key that proves them.
    pub fn token_public_key_file(&self) -> PathBuf {
        self.folder.join(TOKENS_PUBLIC)
    }

    /// A client's certificate: Kubernetes takes the user from the common name, and the group from the organization.
    pub fn user(&self, user: &str, group: Option<&str>) -> Result<Credentials> {
        self.server(user, group, Names::default())
    }

    /// The certificate of a server, which is a client too.
    pub fn server(&self, user: &str, group: Option<&str>, names: Names<'_>) -> Result<Credentials> {
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = named(user, group);
        for name in names.dns {
            let name = (*name).try_into().context("a name must be ASCII")?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let ips = names.ips.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(ips);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !params.subject_alt_names.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("cannot sign the certificate of {user}"))?;
        Ok(Credentials {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

// === impl Credentials ===

impl Credentials {
    /// Writes `NAME.crt` and `NAME.key`, and returns where they lie.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        write(&certificate, &self.certificate)?;
        write(&key, &self.key)?;
        Ok((certificate, key))
    }
}

fn named(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, user);
    params.distinguished_name = name;
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - CLOCK_SKEW).into(), (now + LIFE).into());
    params
}

fn write(path: &Path, content: &str) -> Result<()> {
    let file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

const ROOT: &str = "ca.crt";
const KEY: &str = "ca.key";
const TOKENS: &str = "service-accounts.key";
const TOKENS_PUBLIC: &str = "service-accounts.pub";

const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// Longer than any cluster of tests lives.
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
