//! The command line, as operators type it.

use clap::{CommandFactory as _, Parser, error::ErrorKind};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: DebugArgs,
}

fn parsed(line: &str) -> Result<DebugArgs, clap::Error> {
    Line::try_parse_from(["weft-debug"].into_iter().chain(line.split_whitespace())).map(|line| line.args)
}

#[test]
fn show_and_list_are_the_same_and_may_be_left_out() {
    for line in ["prog show", "prog list", "prog"] {
        assert!(matches!(parsed(line).unwrap().object, Object::Prog { .. }), "{line}");
    }
    assert!(matches!(
        parsed("pod list").unwrap().object,
        Object::Pod {
            command: Some(PodCommand::Show)
        }
    ));
}

#[test]
fn unique_prefixes_are_enough() {
    assert!(matches!(
        parsed("m d PODS").unwrap().object,
        Object::Map { command: Some(MapCommand::Dump { name }) } if name == "PODS"
    ));
    assert!(matches!(
        parsed("con k 17").unwrap().object,
        Object::Conn {
            command: Some(Conn::Kill { id: 17 })
        }
    ));
    assert!(matches!(
        parsed("po l").unwrap().object,
        Object::Pod {
            command: Some(PodCommand::Show)
        }
    ));
}

#[test]
fn what_is_ambiguous_unknown_or_contradicts_itself_is_a_usage_error() {
    let both = "route test --from a --to b --server-name c -H d:e";
    for line in ["p show", "c", "conn frob", "map dump", "conn kill abc", both] {
        assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn options_may_stand_anywhere() {
    for line in [
        "-j prog show --node n",
        "prog -j --node n show",
        "--node n prog show -j",
    ] {
        let options = parsed(line).unwrap().options;
        assert!(options.json, "{line}");
        assert_eq!(options.node.as_deref(), Some("n"), "{line}");
    }
}

#[test]
fn help_is_a_command_of_every_object() {
    for line in ["help", "map help", "map help dump", "conn help kill", "trace help"] {
        assert_eq!(parsed(line).unwrap_err().kind(), ErrorKind::DisplayHelp, "{line}");
    }
}

#[test]
fn every_help_has_examples() {
    fn check(command: &clap::Command, path: &str) {
        // `show` and `list` have no argument of their own; their object's help shows how they are called.
        let leaf_without_arguments = command.get_name() == "show" && !command.has_subcommands();
        if command.get_name() != "help" && !leaf_without_arguments {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{path} has no examples");
        }
        for child in command.get_subcommands() {
            check(child, &format!("{path} {}", child.get_name()));
        }
    }
    check(&Line::command(), "weft debug");
}
