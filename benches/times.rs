//! Times the parts of the line (`make times`): for whoever changes one of them, before and after. What guards them is `instructions.rs`.

use divan::{Bencher, counter::ItemsCount};
use sagabus::dispatch::choose;
use sagabus_benches::{CEL, Line, PATH, chain, decided, encoded, folded, may_go, read, records, reply_record};

/// As the binary that is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

// A saga's six decisions: a trigger and five answers. Once with a plain path in its commands, once with an expression.
#[divan::bench(args = [PATH, CEL])]
fn decide(bencher: Bencher, data: &str) {
    let (_, plan) = chain(data);
    bencher.bench(|| decided(&plan));
}

// The order in which 500 commands go out.
#[divan::bench]
fn dispatch(bencher: Bencher) {
    bencher.with_inputs(may_go).bench_values(choose);
}

// Six journal rows.
#[divan::bench]
fn encode(bencher: Bencher) {
    let decisions = decided(&chain(PATH).1);
    bencher.bench(|| encoded(&decisions));
}

// Six journal rows are read back and folded.
#[divan::bench]
fn fold(bencher: Bencher) {
    let (_, plan) = chain(PATH);
    let rows = encoded(&decided(&plan));
    bencher.bench(|| folded(&plan, &rows));
}

// The records of five commands and an announcement.
#[divan::bench]
fn emit(bencher: Bencher) {
    let (_, plan) = chain(PATH);
    let decisions = decided(&plan);
    bencher.bench(|| records(&plan, &decisions));
}

// One answer, from its headers to what the rules know.
#[divan::bench]
fn decode(bencher: Bencher) {
    let record = reply_record(&chain(PATH).1);
    bencher.bench(|| read(&record));
}

// A hundred sagas from their triggers to their ends, by the engine itself over memory, with their participants.
#[divan::bench(sample_size = 1)]
fn line(bencher: Bencher) {
    bencher.counter(ItemsCount::new(100_u32)).with_inputs(Line::begin).bench_values(Line::run);
}
