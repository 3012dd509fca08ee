//! Whether a pod is in the mesh: one rule for its labels, its namespace's, and what it is.

use super::objects::{MeshLabel, Namespace, Pod};
use crate::model::{Enrolment, NotEnrolled};

/// The label of namespaces and pods that takes them in or keeps them out.
pub(super) const MESH_LABEL: &str = "weft.dev/mesh";

/// Decides for a pod; a namespace without an object has no labels.
///
/// The pod's own label goes before its namespace's.
pub(super) fn decide(pod: &Pod, namespace: Option<&Namespace>) -> Enrolment {
    // An ended pod or one in the node's namespace has no network of its own, which explains more than its labels do.
    if let Some(obstacle @ (NotEnrolled::Ended | NotEnrolled::HostNetwork)) = pod.obstacle {
        return Enrolment::Out(obstacle);
    }
    match pod.enrols.or_else(|| namespace?.enrols) {
        None => Enrolment::Out(NotEnrolled::NoLabel),
        Some(MeshLabel::Disabled) => Enrolment::Out(NotEnrolled::OptedOut),
        Some(MeshLabel::Enabled) => pod.obstacle.map_or(Enrolment::Enrolled, Enrolment::Out),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::convert::sample::mk_pod, *};

    const ENABLED: Option<MeshLabel> = Some(MeshLabel::Enabled);
    const DISABLED: Option<MeshLabel> = Some(MeshLabel::Disabled);

    fn decided(pod: Option<MeshLabel>, namespace: Option<MeshLabel>, obstacle: Option<NotEnrolled>) -> Enrolment {
        let pod = Pod {
            enrols: pod,
            obstacle,
            ..mk_pod("web", "10.0.0.1")
        };
        decide(
            &pod,
            Some(&Namespace {
                enrols: namespace,
                ..Namespace::default()
            }),
        )
    }

    #[test]
    fn the_label_of_namespace_or_pod_enrols_and_none_does_not() {
        assert_eq!(decided(None, ENABLED, None), Enrolment::Enrolled);
        assert_eq!(decided(ENABLED, None, None), Enrolment::Enrolled);
        assert_eq!(decided(None, None, None), Enrolment::Out(NotEnrolled::NoLabel));
    }

    #[test]
    fn the_pods_label_goes_before_its_namespaces() {
        assert_eq!(decided(DISABLED, ENABLED, None), Enrolment::Out(NotEnrolled::OptedOut));
        assert_eq!(decided(ENABLED, DISABLED, None), Enrolment::Enrolled);
        assert_eq!(decided(None, DISABLED, None), Enrolment::Out(NotEnrolled::OptedOut));
    }

    #[test]
    fn a_namespace_without_an_object_has_no_labels() {
        let pod = mk_pod("web", "10.0.0.1");
        assert_eq!(decide(&pod, None), Enrolment::Out(NotEnrolled::NoLabel));
        assert_eq!(decide(&Pod { enrols: ENABLED, ..pod }, None), Enrolment::Enrolled);
    }

    #[test]
    fn sandboxes_and_sidecars_keep_out_what_the_labels_let_in() {
        for obstacle in [NotEnrolled::Sandboxed, NotEnrolled::OtherSidecar] {
            assert_eq!(decided(None, ENABLED, Some(obstacle)), Enrolment::Out(obstacle));
            assert_eq!(
                decided(None, None, Some(obstacle)),
                Enrolment::Out(NotEnrolled::NoLabel)
            );
        }
    }

    #[test]
    fn host_network_and_the_end_are_told_whatever_the_labels_say() {
        for obstacle in [NotEnrolled::HostNetwork, NotEnrolled::Ended] {
            assert_eq!(decided(DISABLED, None, Some(obstacle)), Enrolment::Out(obstacle));
            assert_eq!(decided(ENABLED, ENABLED, Some(obstacle)), Enrolment::Out(obstacle));
        }
    }
}
