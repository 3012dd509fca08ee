//! The demonstration: two simulated nodes, an agent on each, a CA, small services as pods, and what each step shows.
//!
//! `cargo xtask demo` builds all it needs and becomes this program.

mod requests;
mod security;
mod shop;
mod steps;
mod table;
mod wire;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    thread,
};

use nix::sys::signal::{SigSet, Signal};

use crate::{shop::Shop, steps::STEPS, table::Table};

fn main() -> ExitCode {
    clean_up_on_signals();
    let keep = env::args().skip(1).any(|argument| argument == "--keep");
    let mut shop = Shop::open();
    let mut table = Table::default();
    for (number, step) in (1..).zip(STEPS) {
        println!("\n{number}. {}", step.title);
        println!("   {}", step.why);
        table.add(step.title, (step.run)(&mut shop));
    }
    println!("\n{table}");
    if keep {
        println!("{}", shop.commands_to_try());
        println!("Ctrl-C takes it all down.");
        // What is printed must be seen before the long wait.
        let _ = io::stdout().flush();
        loop {
            thread::park();
        }
    }
    if table.all_as_expected() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Ctrl-C and SIGTERM take everything down at once, at whatever step: the guards of the main thread are not waited for.
fn clean_up_on_signals() {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    // Every thread that is started later inherits the mask; processes do not (std empties it).
    signals.thread_block().expect("a thread may block signals");
    thread::spawn(move || {
        // Only the signals of the set come here.
        let _ = signals.wait();
        harness::take_down();
        std::process::exit(130);
    });
}
