#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reset_proxy::fuzzing::body(bytes));
