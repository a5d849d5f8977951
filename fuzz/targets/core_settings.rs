#![no_main]

#[path = "../../tests/corpora/targets.rs"]
#[expect(dead_code, reason = "each binary runs one of the targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    targets::core_settings(bytes);
});
