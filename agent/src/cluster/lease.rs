//! A Lease by which one of several processes is elected (coordination.k8s.io).

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease as Object, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{Api, api::PostParams};

use super::{api::ApiServer, shared::Written};

/// A Lease by its name.
#[derive(Clone, Debug)]
pub struct Lease {
    api: Api<Object>,
    name: String,
}

/// A Lease as it was read.
#[derive(Clone, Debug)]
pub struct FoundLease(Object);

/// A Lease cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the Lease {name}")]
pub struct LeaseError {
    name: String,
    #[source]
    source: Box<kube::Error>,
}

// === impl Lease ===

impl Lease {
    /// The one of this name; nothing is sent yet.
    pub fn new(server: &ApiServer, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(server.client.clone(), namespace),
            name: name.to_owned(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn read(&self) -> Result<Option<FoundLease>, LeaseError> {
        let found = self.api.get_opt(&self.name).await;
        Ok(found.map_err(|error| self.failed(error))?.map(FoundLease))
    }

    /// Takes it for a holder, or keeps it for the same one, if it still is as it was found. Without a holder it is free.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses for another reason than that somebody was faster.
    pub async fn write(
        &self,
        found: Option<FoundLease>,
        holder: Option<&str>,
        duration: Duration,
    ) -> Result<Written, LeaseError> {
        let made = found.is_none();
        let mut object = found.map_or_else(Object::default, |found| found.0);
        object.metadata.name = Some(self.name.clone());
        let before = object.spec.take().unwrap_or_default();
        let changes = before.holder_identity.as_deref() != holder;
        let now = Some(MicroTime(Timestamp::now()));
        object.spec = Some(LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if changes { now.clone() } else { before.acquire_time },
            renew_time: now,
            lease_transitions: Some(
                before
                    .lease_transitions
                    .unwrap_or_default()
                    .saturating_add(changes.into()),
            ),
            ..LeaseSpec::default()
        });
        let options = PostParams::default();
        let written = if made {
            self.api.create(&options, &object).await
        } else {
            self.api.replace(&self.name, &options, &object).await
        };
        match written {
            Ok(_) => Ok(Written::Done),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(Written::Overtaken),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, source: kube::Error) -> LeaseError {
        LeaseError {
            name: self.name.clone(),
            source: Box::new(source),
        }
    }
}

// === impl FoundLease ===

impl FoundLease {
    /// Who holds it.
    pub fn holder(&self) -> Option<&str> {
        let holder = self.0.spec.as_ref()?.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }

    /// For how long it holds from each renewal.
    pub fn duration(&self) -> Duration {
        let spec = self.0.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
        Duration::from_secs(
            seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .unwrap_or_default(),
        )
    }

    /// What is another one after each renewal.
    pub fn version(&self) -> &str {
        self.0.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

const CONFLICT: u16 = 409;
