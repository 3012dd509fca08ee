//! The fuzzer: libFuzzer's own `main`, which tries bytes on the target that WEFT_FUZZ_TARGET names.
#![no_main]

use std::{env, sync::LazyLock};

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env::var("WEFT_FUZZ_TARGET").expect("WEFT_FUZZ_TARGET names a target");
    Target::of_name(&name).expect("WEFT_FUZZ_TARGET names a target that exists")
});

fuzz_target!(|bytes: &[u8]| TARGET.check(bytes));
