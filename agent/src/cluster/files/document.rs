//! One YAML document as a tree that remembers on which line each value stands. JSON is YAML too.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use super::super::field::Step;

/// A value with its line, from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Value {
    /// Null, a boolean, a number or a text.
    Scalar(Json),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Debug)]
pub(super) struct Entry {
    line: u32,
    key: String,
    value: Node,
}

/// Text that is no YAML.
#[derive(Debug)]
pub(super) struct Syntax {
    /// Where it ceases to be YAML.
    pub(super) line: u32,
    /// What is wrong with it.
    pub(super) reason: String,
    /// The text.
    pub(super) text: String,
}

/// Splits a text at its document markers and reads each part for itself, so that a broken one leaves the others alone.
///
/// YAML allows `---` at the start of a line as a marker only, whatever it stands in (`c-forbidden`, YAML 1.2.2). Empty
/// documents are left out. One tree at a time is made: it takes many times the room of what is kept of it.
pub(super) fn documents(text: &str) -> impl Iterator<Item = Result<Node, Syntax>> {
    parts(text)
        .into_iter()
        .filter_map(|(first_line, part)| parse(part, first_line).transpose())
}

fn parts(text: &str) -> Vec<(u32, &str)> {
    let mut starts = vec![(1, 0)];
    let mut offset = 0;
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        let marker = content
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim_start().len() < rest.len() || rest.is_empty());
        if marker && offset > 0 {
            starts.push((line, offset));
        }
        offset += content.len();
    }
    let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([text.len()]);
    let ranges = starts
        .iter()
        .zip(ends)
        .map(|((line, start), end): (_, usize)| (*line, Range { start: *start, end }));
    ranges
        .filter_map(|(line, range)| Some((line, text.get(range)?)))
        .collect()
}

fn parse(part: &str, first_line: u32) -> Result<Option<Node>, Syntax> {
    let line_in_file = |line: u64| first_line + u32::try_from(line).unwrap_or(u32::MAX).saturating_sub(1);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: MAX_NODES, max_nodes: MAX_NODES },
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Option<Tree>>(part, options) {
        Ok(None) => Ok(None),
        Ok(Some(tree)) => Ok(Some(tree.into_node(first_line))),
        Err(error) => Err(Syntax {
            line: error
                .location()
                .map_or(first_line, |location| line_in_file(location.line())),
            reason: error.render_with_formatter(&serde_saphyr::UserMessageFormatter),
            text: part.to_owned(),
        }),
    }
}

// === impl Node ===

impl Node {
    /// The value of a key, where this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The text of a key, where it has one.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Scalar(Json::String(text)) => Some(text),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The line of the value that the steps lead to, or of the last one on the way that is there.
    pub(super) fn line_of(&self, steps: &[Step]) -> u32 {
        let Some((step, rest)) = steps.split_first() else {
            return self.line;
        };
        let next = match (step, &self.value) {
            (Step::Key(key), Value::Map(_)) => self.entry(key).map(|entry| (entry.line, &entry.value)),
            (Step::Index(index), Value::List(items)) => items.get(*index).map(|item| (item.line, item)),
            (_, Value::Scalar(_) | Value::List(_) | Value::Map(_)) => None,
        };
        match next {
            None => self.line,
            Some((line, _)) if rest.is_empty() => line,
            Some((_, node)) => node.line_of(rest),
        }
    }

    /// The tree without its lines.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }
}

/// What serde makes of a document; lines count from the start of the part.
#[derive(Deserialize)]
#[serde(transparent)]
struct Tree(Spanned<Shape>);

enum Shape {
    Scalar(Json),
    List(Vec<Tree>),
    Map(Vec<(Spanned<String>, Tree)>),
}

// === impl Tree ===

impl Tree {
    fn into_node(self, first_line: u32) -> Node {
        let in_file = |line: u64| first_line + u32::try_from(line).unwrap_or(u32::MAX).saturating_sub(1);
        let value = match self.0.value {
            Shape::Scalar(scalar) => Value::Scalar(scalar),
            Shape::List(items) => Value::List(items.into_iter().map(|item| item.into_node(first_line)).collect()),
            Shape::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        line: in_file(key.referenced.line()),
                        key: key.value,
                        value: value.into_node(first_line),
                    })
                    .collect(),
            ),
        };
        Node {
            line: in_file(self.0.referenced.line()),
            value,
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        Shape::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Shape::Map(map))
    }
}

/// A List of all pods of a large cluster is one document.
const MAX_NODES: usize = 50_000_000;

#[cfg(test)]
mod tests {
    use super::{super::super::field::Field, *};

    fn only(text: &str) -> Node {
        documents(text).next().unwrap().unwrap()
    }

    fn syntax_lines(text: &str) -> Vec<Option<u32>> {
        documents(text)
            .map(|document| document.err().map(|syntax| syntax.line))
            .collect()
    }

    #[test]
    fn values_know_their_lines() {
        let node = only("# comment\na: 1\nb:\n  - x: 2\n    y: [3, 4]\n  -\n    z: 5\n");
        let line = |field: &Field| node.line_of(field.steps());
        assert_eq!(line(&Field::at("a")), 2);
        assert_eq!(line(&Field::at("b")), 3);
        assert_eq!(line(&Field::at("b").index(0).key("y").index(1)), 5);
        assert_eq!(line(&Field::at("b").index(1).key("z")), 7);
        assert_eq!(line(&Field::at("b").index(0).key("missing")), 4);
    }

    #[test]
    fn lines_count_from_the_start_of_the_file_in_each_document() {
        let lines: Vec<u32> = documents("a: 1\n---\nb: 2\n--- # third\n\nc: 3\n")
            .zip(["a", "b", "c"])
            .map(|(node, key)| node.unwrap().line_of(Field::at(key).steps()))
            .collect();
        assert_eq!(lines, [1, 3, 6]);
    }

    #[test]
    fn empty_documents_are_left_out() {
        assert!(documents("").next().is_none());
        assert!(documents("# only a comment\n").next().is_none());
        assert_eq!(documents("---\n---\na: 1\n---\n# end\n").count(), 1);
    }

    #[test]
    fn a_broken_document_leaves_the_others_alone() {
        assert_eq!(syntax_lines("a: 1\n---\nb: [1,\n---\nc: 3\n"), [None, Some(3), None]);
    }

    #[test]
    fn dashes_within_a_line_are_no_marker() {
        assert_eq!(documents("a: |\n  ---\nb: ----\n").count(), 1);
        assert_eq!(documents("----: 1\n").count(), 1);
    }

    #[test]
    fn scalars_have_kubernetes_types() {
        let json = only("a: 1\nb: '1'\nc: true\nd: ~\ne:\nf: 1.5\ng: x\nh: yes").to_json();
        assert_eq!(
            json,
            serde_json::json!({"a": 1, "b": "1", "c": true, "d": null, "e": null, "f": 1.5, "g": "x", "h": true})
        );
    }

    #[test]
    fn json_is_read_too() {
        assert_eq!(
            only(r#"{"a": [1, {"b": "c"}]}"#).to_json(),
            serde_json::json!({"a": [1, {"b": "c"}]})
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert_eq!(syntax_lines("a: 1\nb: 2\na: 3\n"), [Some(3)]);
    }
}
