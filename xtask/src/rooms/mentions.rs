//! Finds in a file's tokens the rooms and crates that it names, and its `unsafe`.
//!
//! Tokens, not text: comments and strings cannot mislead. Tokens, not syntax: what stands inside a macro counts too.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Something of which the table may speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) line: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A module at the root of the file's own crate.
    Room(String),
    /// The first segment of another path.
    Root(String),
    /// Unsafe code; an unsafe attribute is no code.
    Unsafe,
    /// A `mod tests` with its count of lines.
    Tests(usize),
}

/// Goes through the tokens, which lie `depth` modules below the crate's root, and collects.
struct Walk {
    mentions: Vec<Mention>,
}

/// Lists what `tokens` mention. `depth` is the file's: 0 for lib.rs, 1 for a room's file, 2 for a file below it.
pub(super) fn mentions(tokens: TokenStream, depth: usize) -> Vec<Mention> {
    let mut walk = Walk { mentions: Vec::new() };
    walk.stream(tokens, depth);
    walk.mentions
}

// === impl Walk ===

impl Walk {
    fn stream(&mut self, tokens: TokenStream, depth: usize) {
        let trees: Vec<_> = tokens.into_iter().collect();
        for (index, tree) in trees.iter().enumerate() {
            let (before, after) = (&trees[..index], &trees[index + 1..]);
            match tree {
                TokenTree::Ident(ident) => self.ident(ident, before, after, depth),
                TokenTree::Group(group) => self.group(group, before, depth),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    fn group(&mut self, group: &Group, before: &[TokenTree], depth: usize) {
        let module = match before {
            [.., TokenTree::Ident(keyword), TokenTree::Ident(name)] if keyword == "mod" => Some(name),
            _ => None,
        };
        if module.is_some_and(|name| name == "tests") {
            let lines = group.span_close().start().line - group.span_open().start().line;
            self.push(group.span_open().start().line, What::Tests(lines));
        }
        self.stream(group.stream(), depth + usize::from(module.is_some()));
    }

    fn ident(&mut self, ident: &Ident, before: &[TokenTree], after: &[TokenTree], depth: usize) {
        let line = ident.span().start().line;
        if ident == "unsafe" {
            let is_attribute =
                matches!(after, [TokenTree::Group(group), ..] if group.delimiter() == Delimiter::Parenthesis);
            if !is_attribute {
                self.push(line, What::Unsafe);
            }
            return;
        }
        if continues_a_path(before) {
            return;
        }
        if ident == "crate" || ident == "agent" {
            self.rooms(path_after(after));
        } else if ident == "super" {
            self.ancestors(after, depth);
        } else if path_after(after).is_some() || follows_use(before) {
            self.push(line, What::Root(ident.to_string()));
        }
    }

    /// Follows `super::super::…`: as many of them as there are modules above lead to the crate's root.
    fn ancestors(&mut self, after: &[TokenTree], depth: usize) {
        let mut rest = path_after(after);
        let mut climbed = 1;
        while let Some([TokenTree::Ident(ident), further @ ..]) = rest
            && ident == "super"
        {
            climbed += 1;
            rest = path_after(further);
        }
        if climbed >= depth {
            self.rooms(rest);
        }
    }

    /// The segment after the crate's root, or each of them where a group of imports follows.
    fn rooms(&mut self, path: Option<&[TokenTree]>) {
        match path {
            Some([TokenTree::Ident(ident), ..]) => self.push(ident.span().start().line, What::Room(ident.to_string())),
            Some([TokenTree::Group(group), ..]) => {
                let trees: Vec<_> = group.stream().into_iter().collect();
                let items = trees.split(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ','));
                for item in items {
                    self.rooms(Some(item));
                }
            }
            Some(_) | None => {}
        }
    }

    fn push(&mut self, line: usize, what: What) {
        self.mentions.push(Mention { line, what });
    }
}

/// What follows a leading `::`.
fn path_after(trees: &[TokenTree]) -> Option<&[TokenTree]> {
    match trees {
        [TokenTree::Punct(one), TokenTree::Punct(two), rest @ ..] if one.as_char() == ':' && two.as_char() == ':' => {
            Some(rest)
        }
        _ => None,
    }
}

/// Whether the tokens end in `name::` or `>::`, so that what follows is no first segment.
fn continues_a_path(before: &[TokenTree]) -> bool {
    let [rest @ .., TokenTree::Punct(one), TokenTree::Punct(two)] = before else {
        return false;
    };
    let separated = one.as_char() == ':' && two.as_char() == ':';
    let follows = match rest.last() {
        Some(TokenTree::Ident(_)) => !follows_use(rest),
        Some(TokenTree::Punct(punct)) => punct.as_char() == '>',
        Some(TokenTree::Group(_) | TokenTree::Literal(_)) | None => false,
    };
    separated && follows
}

fn follows_use(before: &[TokenTree]) -> bool {
    matches!(before.last(), Some(TokenTree::Ident(keyword)) if keyword == "use")
}
