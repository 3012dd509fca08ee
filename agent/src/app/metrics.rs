//! The kernel's own counters and the age of the mesh, read when somebody asks for the metrics.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use tokio::sync::watch;

use super::source::age;
use crate::{
    cluster::Update,
    kernel::{Counters, PodStatus, Status},
};

/// What the kernel side counts.
pub(super) struct KernelMetrics {
    pub(super) counters: Counters,
    pub(super) status: watch::Receiver<Arc<Status>>,
}

/// How far the mesh can be trusted.
#[derive(Debug)]
pub(super) struct MeshMetrics(pub(super) watch::Receiver<Update>);

// === impl MeshMetrics ===

impl Collector for MeshMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let age = age(self.0.borrow().contact).unwrap_or_default();
        let family = encoder.encode_descriptor(
            "weft_mesh_age_seconds",
            "How long ago the source of the mesh last confirmed it; 0 while it does",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(age.as_secs_f64()).encode(family)
    }
}

// === impl KernelMetrics ===

impl fmt::Debug for KernelMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KernelMetrics")
    }
}

impl Collector for KernelMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counted = self.counters.read().unwrap_or_else(|error| {
            tracing::warn!(%error, "Counters of the kernel programs cannot be read");
            Vec::new()
        });
        let mut family = encoder.encode_descriptor(
            "weft_kernel_decisions",
            "What the kernel programs decided about connections",
            None,
            MetricType::Counter,
        )?;
        for (count, value) in counted {
            let labels = [("decision", count.label())];
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }

        let status = self.status.borrow().clone();
        let captured = |status: &&PodStatus| matches!(status, PodStatus::Captured { .. });
        let all = status.pods.len();
        let captured = status.pods.values().filter(captured).count();
        let mut family = encoder.encode_descriptor(
            "weft_pods",
            "Enrolled pods of the node, by how far their capture is",
            None,
            MetricType::Gauge,
        )?;
        for (state, pods) in [("captured", captured), ("waiting", all - captured)] {
            let pods = i64::try_from(pods).unwrap_or(i64::MAX);
            ConstGauge::new(pods).encode(family.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}
