//! The time that each hot path takes. On a noisy machine believe the fastest sample.

use divan::Bencher;
use sagabus_benches::Given;

fn main() {
    divan::main();
}

macro_rules! timed {
    ($($path:ident),*) => {
        $(#[divan::bench]
        fn $path(bencher: Bencher) {
            let given = Given::new();
            bencher.bench_local(|| given.$path());
        })*
    };
}

timed!(start, decide, fold, encode, decode, command, read);
