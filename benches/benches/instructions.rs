//! The instructions that each hot path takes, counted by valgrind: a gate that a noisy machine does not move. Who makes a path cheaper
//! lowers its limit; who makes it dearer says why in the commit that raises it.

use std::hint::black_box;

use gungraun::prelude::*;
use sagabus_benches::Given;

macro_rules! counted {
    ($($path:ident <= $most:literal),* $(,)?) => {
        $(#[library_benchmark(config = LibraryBenchmarkConfig::default()
            .tool(Callgrind::default().hard_limits([(EventKind::Ir, $most)])))]
        #[bench::five_steps(setup = Given::new)]
        fn $path(given: Given) -> Given {
            black_box(given.$path());
            given
        })*
        library_benchmark_group!(name = hot_paths, benchmarks = [$($path),*]);
    };
}

counted! {
    start <= 1_000_000,
    decide <= 1_000_000,
    fold <= 1_000_000,
    encode <= 1_000_000,
    decode <= 1_000_000,
    command <= 1_000_000,
    read <= 1_000_000,
}

main!(library_benchmark_groups = hot_paths);
