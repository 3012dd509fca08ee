//! Values with a form, as Weft's own kinds write them: the CRDs tell the form to the API server, which then refuses what
//! [`convert`](super) would.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An address range, such as `10.0.0.0/8` or `fd00::/8`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(
    inline,
    extend("x-kubernetes-validations" = [{"rule": "isCIDR(self)", "message": "must be an address range such as 10.0.0.0/8"}])
)]
pub(super) struct Cidr(#[schemars(length(max = 49))] String);

/// The number of a port, from 1 to 65535.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct PortNumber(#[schemars(range(min = 1, max = 65535))] i32);

/// A DNS label (RFC 1123): at most 63 lower case letters, digits and `-`, a letter or digit at each end.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Label(#[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))] String);

/// A DNS subdomain (RFC 1123): at most 253 lower case letters, digits, `-` and `.`, a letter or digit at each end of each
/// part.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Subdomain(
    #[schemars(
        length(max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    String,
);

/// An identity: `namespace/account`, `namespace/*`, `*` (any that is proven), or
/// `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. Without a trust domain the mesh's own is meant.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Principal(
    #[schemars(
        length(max = 1024),
        regex(
            pattern = r"^(\*|(spiffe://[a-z0-9._-]{1,255}/ns/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*/sa|[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*)/(\*|[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*))$"
        )
    )]
    String,
);

/// The mode of mutual TLS. The API server takes the words that are known here, an agent of an older version any.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Mode {
    /// Plaintext is taken too.
    Permissive,
    /// Plaintext is refused.
    Strict,
    /// What a later version may know.
    #[serde(untagged)]
    Unsupported(String),
}

/// What becomes of a connection that a rule matches; as with [`Mode`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Action {
    /// It may connect.
    #[serde(rename = "ALLOW")]
    Allow,
    /// It may not.
    #[serde(rename = "DENY")]
    Deny,
    /// It is recorded.
    #[serde(rename = "AUDIT")]
    Audit,
    /// What a later version may know.
    #[serde(untagged)]
    Unsupported(String),
}

// === impl Mode ===

impl JsonSchema for Mode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words(&["Permissive", "Strict"])
    }
}

// === impl Action ===

impl JsonSchema for Action {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words(&["ALLOW", "DENY", "AUDIT"])
    }
}

// === impl Cidr ===

impl AsRef<str> for Cidr {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

// === impl PortNumber ===

impl PortNumber {
    /// The number, in bounds or not.
    pub(super) fn written(self) -> i32 {
        self.0
    }
}

// === impl Label ===

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

// === impl Subdomain ===

impl From<Subdomain> for String {
    fn from(subdomain: Subdomain) -> Self {
        subdomain.0
    }
}

// === impl Principal ===

impl AsRef<str> for Principal {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn words(known: &[&str]) -> Schema {
    json_schema!({"type": "string", "enum": known})
}
