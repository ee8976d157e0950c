#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cedarjit_tests::fuzz::saved(data));
