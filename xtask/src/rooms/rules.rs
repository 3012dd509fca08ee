//! Compares a file with the table.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::TokenStream;

use super::{
    Violation, lies_in,
    mentions::{self, Mention, What},
    table::{self, Imports},
};

#[cfg(test)]
mod tests;

/// Every rule that the file at `path`, relative to the workspace's root, breaks.
pub(super) fn violations(path: &Path, source: &str) -> Result<Vec<Violation>> {
    let tokens: TokenStream = source
        .parse()
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("cannot read the tokens of {}", path.display()))?;
    let room = path.strip_prefix("agent/src").ok();
    let mentions = mentions::mentions(tokens, room.map_or(0, depth));
    let told = mentions.iter().filter_map(|mention| {
        let rule = match room {
            Some(file) => of_room(file, mention).or_else(|| of_any(path, mention)),
            None => of_any(path, mention),
        };
        Some((mention.line, rule?))
    });
    let violation = |(line, rule)| Violation {
        file: path.to_owned(),
        line,
        rule,
    };
    Ok(told.chain(of_shape(path, source)).map(violation).collect())
}

/// Rules which hold for the agent's rooms; `file` is relative to agent/src.
fn of_room(file: &Path, mention: &Mention) -> Option<String> {
    let name = room_of(file);
    if name == "lib" {
        return None;
    }
    let Some(room) = table::ROOMS.iter().find(|room| room.name == name) else {
        return Some(format!("room {name} is not in the table of rooms"));
    };
    match &mention.what {
        What::Room(other) => {
            let Imports::Only(allowed) = room.imports else {
                return None;
            };
            let refused = *other != name && !allowed.contains(&other.as_str());
            refused.then(|| format!("room {name} may not import {other}; it may: {}", list(allowed)))
        }
        What::Root(krate) => {
            let confined = table::CONFINED.iter().find(|confined| confined.krate == krate);
            if let Some(confined) = confined.filter(|confined| !confined.rooms.contains(&name.as_str())) {
                return Some(format!(
                    "crate {krate} is confined to the rooms: {}",
                    list(confined.rooms)
                ));
            }
            let refused = table::REFUSED.contains(&(name.as_str(), krate));
            refused.then(|| format!("room {name} must do without the crate {krate}"))
        }
        What::Unsafe | What::Tests(_) => None,
    }
}

/// Rules which hold for every file.
fn of_any(path: &Path, mention: &Mention) -> Option<String> {
    match mention.what {
        What::Unsafe => {
            let allowed = table::UNSAFE.iter().any(|place| lies_in(path, place));
            (!allowed).then(|| format!("unsafe is confined to: {}", list(table::UNSAFE)))
        }
        What::Tests(lines) => (lines > table::LONGEST_TESTS).then(|| {
            format!(
                "{lines} lines of tests; more than {} go to a tests.rs",
                table::LONGEST_TESTS
            )
        }),
        What::Room(_) | What::Root(_) => None,
    }
}

fn of_shape(path: &Path, source: &str) -> Vec<(usize, String)> {
    let lines = source.lines().count();
    let nameless = path
        .components()
        .filter_map(|component| Path::new(component.as_os_str()).file_stem()?.to_str())
        .find(|name| table::NAMELESS.contains(name));
    let rules = [
        (!source.starts_with("//!")).then(|| (1, "a file opens with `//!`: what lives here, what does not".to_owned())),
        (lines > table::LONGEST_FILE).then(|| {
            (
                lines,
                format!("{lines} lines; a file has {} at most", table::LONGEST_FILE),
            )
        }),
        nameless.map(|name| (1, format!("the name `{name}` says nothing of the content"))),
    ];
    rules.into_iter().flatten().collect()
}

/// How many modules lie above the file's own items.
fn depth(file: &Path) -> usize {
    match room_of(file).as_str() {
        "lib" | "main" => 0,
        _ => file.components().count(),
    }
}

/// The first name of the path: a room's own file, or one below it.
fn room_of(file: &Path) -> String {
    let first = file.iter().next().map(Path::new).and_then(Path::file_stem);
    first.unwrap_or_default().to_string_lossy().into_owned()
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
