//! What the MeshConfig is told, from what was written of it.

use serde_json::{Value as Json, from_value};

use super::*;

fn mk_config(name: &str, spec: Json, status: Json) -> BTreeMap<ObjectName, WrittenMeshConfig> {
    let object = json!({
        "apiVersion": "mesh.weft.dev/v1alpha1",
        "kind": "MeshConfig",
        "metadata": { "name": name, "generation": 3, "resourceVersion": "7" },
        "spec": spec,
        "status": status,
    });
    let config = WrittenMeshConfig::new(from_value(object).expect("an object"));
    BTreeMap::from([(ObjectName::new("", name), config)])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

fn judged(config: &BTreeMap<ObjectName, WrittenMeshConfig>, now: i64) -> StatusVerdict {
    judge_mesh_configs(config, at(now)).remove(0)
}

/// The message of the refusal that was told.
fn refusal(verdict: StatusVerdict) -> String {
    assert!(!verdict.accepted);
    let condition = &verdict.wanted.expect("to be written")["conditions"][0];
    assert_eq!([&condition["status"], &condition["reason"]], ["False", "Invalid"]);
    condition["message"].as_str().expect("a message").to_owned()
}

#[test]
fn a_good_one_is_accepted_and_told_so_once() {
    let spec = json!({ "egress": "Deny" });
    let first = judged(&mk_config("default", spec.clone(), Json::Null), 0);
    assert_eq!(
        (first.accepted, first.object()),
        (true, "MeshConfig default".to_owned())
    );
    let expected = json!({ "conditions": [{
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "It holds",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
        "observedGeneration": 3,
    }] });
    assert_eq!(first.wanted, Some(expected.clone()));
    let later = judged(&mk_config("default", spec, expected), 1000);
    assert_eq!((later.accepted, later.wanted), (true, None), "nothing has changed");
}

#[test]
fn what_is_not_understood_is_refused_with_field_and_reason() {
    let message = |spec| refusal(judged(&mk_config("default", spec, Json::Null), 0));
    let unknown = message(json!({ "egress": "deny" }));
    assert!(
        unknown.starts_with("spec.egress: ") && unknown.contains("`deny`"),
        "{unknown}"
    );
    let range = message(json!({ "podCIDRs": ["10.0.0.0/8", "10.0.0.0/33"] }));
    assert!(range.starts_with("spec.podCIDRs[1]: "), "{range}");
    let misspelt = message(json!({ "egres": "Deny" }));
    assert!(misspelt.contains("`egres`"), "{misspelt}");
}

#[test]
fn one_of_another_name_is_told_that_it_is_not_read() {
    let message = refusal(judged(&mk_config("other", json!({}), Json::Null), 0));
    assert_eq!(message, "metadata.name: only the MeshConfig named `default` is read");
}

#[test]
fn a_condition_has_the_time_at_which_it_became_so_and_those_of_others_stay() {
    let theirs = json!({
        "type": "Audited",
        "status": "True",
        "reason": "Audited",
        "message": "",
        "lastTransitionTime": "1999-01-01T00:00:00Z",
    });
    let status = json!({ "conditions": [theirs, {
        "type": "Accepted",
        "status": "False",
        "reason": "Invalid",
        "message": "spec.egress: an older finding",
        "lastTransitionTime": "1970-01-01T00:00:07Z",
        "observedGeneration": 2,
    }] });
    let still = judged(&mk_config("default", json!({ "egress": "deny" }), status.clone()), 1000);
    let conditions = still.wanted.expect("another message")["conditions"].take();
    assert_eq!(conditions[0], theirs);
    assert_eq!(conditions[1]["lastTransitionTime"], "1970-01-01T00:00:07Z");
    let mended = judged(&mk_config("default", json!({}), status), 1000);
    let conditions = mended.wanted.expect("another status")["conditions"].take();
    assert_eq!(conditions[0], theirs);
    assert_eq!(conditions[1]["lastTransitionTime"], "1970-01-01T00:16:40Z");
}
