//! What a text that cannot be read may be: a security policy that is passed over would leave open what it closes.

use std::collections::BTreeSet;

use super::super::objects::Kind;
use crate::model::{ObjectName, PolicyId};

/// The security policies that a text may hold: each kind that it names, in each namespace that it names.
///
/// It goes by words, since there is nothing else to go by; one policy too many closes more than its author wants until
/// the text is mended.
pub(super) fn suspects(text: &str) -> Vec<PolicyId> {
    let words: Vec<&str> = text
        .split(|letter: char| !is_of_word(letter))
        .filter(|word| !word.is_empty())
        .collect();
    if !words.iter().any(|word| word.starts_with(GROUP)) {
        return Vec::new();
    }
    let kinds = words.iter().filter_map(|word| Kind::named(word)?.policy());
    let kinds: BTreeSet<_> = kinds.collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "namespace");
    let mut namespaces: BTreeSet<&str> = pairs.map(|pair| pair[1]).collect();
    if namespaces.is_empty() {
        namespaces.insert("default");
    }
    let suspects = kinds.into_iter().flat_map(|kind| {
        namespaces.iter().map(move |namespace| PolicyId {
            kind,
            name: ObjectName::new(*namespace, UNNAMED),
        })
    });
    suspects.collect()
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-./".contains(letter)
}

/// The group of Weft's own kinds.
const GROUP: &str = "mesh.weft.dev/";

/// Stands for the name.
const UNNAMED: &str = "?";

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        suspects(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_broken_policy_is_one_of_its_kind_in_its_namespace() {
        let text =
            "apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop\nspec:";
        assert_eq!(told(text), ["AuthorizationPolicy shop/?"]);
        let json = r#"{"apiVersion": "mesh.weft.dev/v1alpha1", "kind": "AuthenticationPolicy", "metadata": {"#;
        assert_eq!(told(json), ["AuthenticationPolicy default/?"]);
    }

    #[test]
    fn other_broken_objects_are_none() {
        for text in [
            "apiVersion: v1\nkind: Pod\nmetadata: {name: [",
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: [",
            "apiVersion: mesh.weft.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: [",
        ] {
            assert_eq!(told(text), [""; 0], "{text}");
        }
    }
}
