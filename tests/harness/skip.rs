//! Tests that cannot run here say so.

use std::io::{self, Write as _};

/// Ends the calling test with `SKIP <test>: <reason>`.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::say_skipped(&format!($($reason)+));
        return;
    }};
}

/// The value, or the end of the calling test with the error as the reason.
#[macro_export]
macro_rules! or_skip {
    ($value:expr) => {
        match $value {
            Ok(value) => value,
            Err(reason) => $crate::skip!("{reason}"),
        }
    };
}

/// Says that the running test is skipped, past the capturing of libtest.
pub fn say_skipped(reason: &str) {
    tell(&format!("SKIP {}: {reason}", current_test()));
}

/// Writes a line that libtest does not capture.
pub(crate) fn tell(line: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The name of the running test: libtest names its threads by it.
pub fn current_test() -> String {
    std::thread::current().name().unwrap_or("unnamed").to_owned()
}
