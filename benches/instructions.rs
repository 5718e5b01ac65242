//! Counts instructions under valgrind (`make instructions`): counts are the same on a busy machine, where times are not. Each has a limit some
//! three percent above what it took when the limit was set: a change that takes more fails, and one that takes less lowers it.

use std::hint::black_box;
use std::sync::Arc;

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use sagabus::core::{Decision, Saga};
use sagabus::definition::Compiled;
use sagabus::dispatch::{Ready, choose};
use sagabus::wire::{Outgoing, Record};
use sagabus_benches::{CEL, Line, PATH, chain, decided, encoded, folded, may_go, read, records, reply_record};

/// Not more instructions than this.
fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::with_args(["--cache-sim=no"]).hard_limits([(EventKind::Ir, instructions)]));
    config
}

fn plan(data: &str) -> Arc<Compiled> {
    chain(data).1
}

fn life() -> (Arc<Compiled>, Vec<Decision>) {
    let plan = plan(PATH);
    let decisions = decided(&plan);
    (plan, decisions)
}

fn stored() -> (Arc<Compiled>, Vec<Vec<u8>>) {
    let (plan, decisions) = life();
    (plan, encoded(&decisions))
}

// Six decisions: a trigger and five answers.
#[library_benchmark(config = limit(214_000))]
#[bench::path(args = (PATH), setup = plan)]
fn decide(plan: Arc<Compiled>) -> Vec<Decision> {
    black_box(decided(black_box(&plan)))
}

// The same with an expression that no plain path is.
#[library_benchmark(config = limit(1_161_000))]
#[bench::cel(args = (CEL), setup = plan)]
fn decide_with_expressions(plan: Arc<Compiled>) -> Vec<Decision> {
    black_box(decided(black_box(&plan)))
}

// The order in which 500 commands go out.
#[library_benchmark(config = limit(224_000))]
#[bench::batch(args = (), setup = may_go)]
fn dispatch(ready: Vec<Ready>) -> Vec<Ready> {
    black_box(choose(black_box(ready)))
}

// Six journal rows.
#[library_benchmark(config = limit(22_300))]
#[bench::life(args = (), setup = life)]
fn encode(life: (Arc<Compiled>, Vec<Decision>)) -> Vec<Vec<u8>> {
    black_box(encoded(black_box(&life.1)))
}

// Six journal rows are read back and folded.
#[library_benchmark(config = limit(39_500))]
#[bench::stored(args = (), setup = stored)]
fn fold(stored: (Arc<Compiled>, Vec<Vec<u8>>)) -> Saga {
    black_box(folded(black_box(&stored.0), black_box(&stored.1)))
}

// The records of five commands and an announcement.
#[library_benchmark(config = limit(84_000))]
#[bench::life(args = (), setup = life)]
fn emit(life: (Arc<Compiled>, Vec<Decision>)) -> Vec<Outgoing> {
    black_box(records(black_box(&life.0), black_box(&life.1)))
}

fn answered() -> Record {
    reply_record(&plan(PATH))
}

// One answer, from its headers to what the rules know.
#[library_benchmark(config = limit(12_800))]
#[bench::reply(args = (), setup = answered)]
fn decode(record: Record) -> sagabus::core::Reply {
    black_box(read(black_box(&record)))
}

// A hundred sagas from their triggers to their ends, by the engine itself over memory, with their participants.
#[library_benchmark(config = limit(79_800_000))]
#[bench::sagas(args = (), setup = Line::begin)]
fn line(line: Line) -> usize {
    black_box(black_box(line).run())
}

library_benchmark_group!(
    name = parts,
    benchmarks = [decide, decide_with_expressions, dispatch, encode, fold, emit, decode, line]
);

main!(library_benchmark_groups = parts);
