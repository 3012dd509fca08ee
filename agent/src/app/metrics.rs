//! The kernel's own counters, read when somebody asks for the metrics.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use tokio::sync::watch;

use crate::kernel::{Counters, PodStatus, Status};

/// What the kernel side counts.
pub(super) struct KernelMetrics {
    pub(super) counters: Counters,
    pub(super) status: watch::Receiver<Arc<Status>>,
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
