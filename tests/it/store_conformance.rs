//! What every store must do, run against memory and Postgres: each rule of the batch statement with the interleaving that it closes.

use std::sync::Arc;

use sagabus::core::{Operation, Phase, Sha256, Timestamp, Verb, Verdict, saga_id};
use sagabus::store::{
    Advance, Change, DeadWriter, DefinitionRow, Fence, HoldTarget, JournalRow, NewPartition, OperationOutcome,
    OperationState, ParkedMessage, PartitionOffset, PartitionState, PendingRedrive, RedriveOutcome, SagaKey, SagaRow,
    SagaUpdate, Shrunk, Store, StoreError, wakes_at_release,
};
use uuid::Uuid;

use super::support::stores::{Bench, InMemory, OnPostgres};

async fn register(writer: &mut impl Store) -> Fence {
    let registration = writer.register(None, None).await.unwrap();
    Fence { writer: registration.writer, incarnation: registration.incarnation, batch: registration.batch }
}

async fn commit(writer: &mut impl Store, fence: &mut Fence, change: &Change) -> Result<(), StoreError> {
    let receipt = writer.commit(fence, change).await?;
    fence.batch = receipt.batch;
    Ok(())
}

fn key(text: &str) -> Uuid {
    saga_id("d", text, Timestamp::from_millis(1_700_000_000_000))
}

fn row(text: &str, wake_at: Option<Timestamp>) -> SagaRow {
    SagaRow {
        id: key(text),
        definition_hash: Sha256::of(b"d"),
        definition_name: "d".into(),
        business_key: text.into(),
        phase: Phase::Running,
        started_at: Timestamp::ZERO,
        finished_at: None,
        wake_at,
        error: None,
    }
}

fn facts(text: &str, seq: u32) -> JournalRow {
    JournalRow { saga_id: key(text), seq, facts: b"{}".to_vec() }
}

fn born(text: &str) -> Change {
    Change { journal: vec![facts(text, 1)], born: vec![row(text, None)], ..Change::default() }
}

fn advance(from: i64, to: i64) -> Advance {
    Advance { topic: "t".into(), partition: 0, from, to, gaps: 0, counts: [to - from, 0, 0, 0, 0, 0, 0] }
}

async fn seqs(writer: &mut impl Store, text: &str) -> usize {
    writer.load(&[SagaKey::Id(key(text))]).await.unwrap().first().map_or(0, |stored| stored.journal.len())
}

/// Number and next offset of each partition.
async fn ends(writer: &mut impl Store, topic: &str) -> Vec<(i32, i64)> {
    let mut found: Vec<(i32, i64)> = writer
        .offsets_of(topic)
        .await
        .unwrap()
        .into_iter()
        .map(|offset| (offset.partition.1, offset.next_offset))
        .collect();
    found.sort_unstable();
    found
}

async fn second_writer_for_one_saga_is_refused_whole(bench: &impl Bench) {
    let (mut a, mut b) = (bench.writer(), bench.writer());
    let (mut fence_a, mut fence_b) = (register(&mut a).await, register(&mut b).await);
    a.add_partitions(&[NewPartition { partition: ("t".into(), 0), first_offset: 0 }]).await.unwrap();
    commit(&mut a, &mut fence_a, &born("x")).await.unwrap();
    let late = Change {
        partitions: vec![advance(0, 1)],
        journal: vec![facts("x", 1)],
        parked: vec![parked()],
        emitting: vec![(key("x"), 1)],
        ..Change::default()
    };
    assert!(matches!(commit(&mut b, &mut fence_b, &late).await, Err(StoreError::SagaRaced)));
    assert_eq!(ends(&mut b, "t").await, [(0, 0)], "the offset did not move either");
    assert_eq!(bench.parked().await, 0);
    assert!(b.unemitted_of(&[key("x")]).await.unwrap().is_empty());
    commit(&mut b, &mut fence_b, &Change { journal: vec![facts("x", 2)], ..Change::default() }).await.unwrap();
    assert_eq!(seqs(&mut a, "x").await, 2);
}

fn parked() -> ParkedMessage {
    ParkedMessage {
        topic: "t".into(),
        partition: 0,
        offset: 0,
        reason: "orphan: unknown-saga".into(),
        key: None,
        value: None,
        headers: "[]".to_owned(),
        written_at: Timestamp::ZERO,
        is_whole: true,
    }
}

async fn a_business_key_has_one_saga_whatever_its_id(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    commit(&mut writer, &mut fence, &born("x")).await.unwrap();
    let twin = SagaRow { id: saga_id("d", "x", Timestamp::from_millis(1)), ..row("x", None) };
    let change = Change {
        journal: vec![JournalRow { saga_id: twin.id, seq: 1, facts: b"{}".to_vec() }],
        born: vec![twin],
        ..Change::default()
    };
    assert!(matches!(commit(&mut writer, &mut fence, &change).await, Err(StoreError::SagaRaced)));
    let business = SagaKey::Business { definition_name: "d".into(), business_key: "x".into() };
    assert_eq!(writer.load(&[business]).await.unwrap()[0].row.id, key("x"));
}

async fn a_zombie_behind_a_takeover_writes_nothing(bench: &impl Bench) {
    let (mut zombie, mut taker) = (bench.writer(), bench.writer());
    let mut fence = register(&mut zombie).await;
    let mut with_commands = born("x");
    with_commands.emitting = vec![(key("x"), 1)];
    commit(&mut zombie, &mut fence, &with_commands).await.unwrap();
    bench.pass(9_000).await;
    let mut fence_taker = register(&mut taker).await;
    let dead = taker.dead_writers(8_000, None, &fence_taker).await.unwrap();
    assert_eq!(dead.iter().map(|dead| dead.writer).collect::<Vec<_>>(), [fence.writer]);
    let taken = taker.take_over(&fence_taker, &dead[0]).await.unwrap();
    assert_eq!(taken[0].rows, [(key("x"), 1)]);
    assert!(matches!(commit(&mut zombie, &mut fence, &born("y")).await, Err(StoreError::Fenced)));
    assert!(taker.take_over(&fence_taker, &dead[0]).await.unwrap().is_empty(), "nobody takes over twice");
    let name = (taken[0].writer, taken[0].batch);
    assert_eq!(taker.unemitted_of(&[key("x")]).await.unwrap(), [key("x")]);
    commit(&mut taker, &mut fence_taker, &Change { acknowledged: vec![name], ..Change::default() }).await.unwrap();
    assert!(taker.unemitted_of(&[key("x")]).await.unwrap().is_empty(), "deleted by its name");
    assert_eq!(seqs(&mut taker, "y").await, 0);
}

async fn a_taker_that_was_itself_taken_over_takes_nothing(bench: &impl Bench) {
    let (mut dead, mut taker, mut third) = (bench.writer(), bench.writer(), bench.writer());
    let mut fence = register(&mut dead).await;
    commit(&mut dead, &mut fence, &Change { emitting: vec![(key("x"), 1)], ..born("x") }).await.unwrap();
    let taker_fence = register(&mut taker).await;
    bench.pass(9_000).await;
    let mut third_fence = register(&mut third).await;
    let silent = third.dead_writers(8_000, None, &third_fence).await.unwrap();
    let of = |writer: i64| silent.iter().find(|found| found.writer == writer).unwrap();
    assert!(third.take_over(&third_fence, of(taker_fence.writer)).await.unwrap().is_empty());
    // The taker wakes up and goes on with what it had seen before it stopped.
    let zombie = taker.take_over(&taker_fence, of(fence.writer)).await;
    assert!(matches!(&zombie, Err(StoreError::Fenced)) || zombie.as_ref().is_ok_and(Vec::is_empty), "{zombie:?}");
    let now_dead = third.dead_writers(8_000, None, &third_fence).await.unwrap();
    let seen_again = now_dead.iter().find(|found| found.writer == fence.writer).unwrap();
    let taken = third.take_over(&third_fence, seen_again).await.unwrap();
    assert_eq!(taken[0].rows, [(key("x"), 1)], "what the zombie touched is not lost");
    let name = (taken[0].writer, taken[0].batch);
    commit(&mut third, &mut third_fence, &Change { acknowledged: vec![name], ..Change::default() }).await.unwrap();
}

async fn a_dead_writer_is_forgotten_once_everything_of_it_was_sent(bench: &impl Bench) {
    let (mut dead, mut taker) = (bench.writer(), bench.writer());
    let mut fence = register(&mut dead).await;
    commit(&mut dead, &mut fence, &Change { emitting: vec![(key("x"), 1)], ..born("x") }).await.unwrap();
    bench.pass(9_000).await;
    let mut taker_fence = register(&mut taker).await;
    let silent = taker.dead_writers(8_000, None, &taker_fence).await.unwrap();
    let taken = taker.take_over(&taker_fence, &silent[0]).await.unwrap();
    let name = (taken[0].writer, taken[0].batch);
    taker.forget_writers(&taker_fence).await.unwrap();
    assert!(taker.dead_writers(8_000, None, &taker_fence).await.unwrap().is_empty(), "it owns nothing any more");
    assert_eq!(taker.unemitted_of(&[key("x")]).await.unwrap(), [key("x")], "what it owned is the taker's");
    commit(&mut taker, &mut taker_fence, &Change { acknowledged: vec![name], ..Change::default() }).await.unwrap();
    assert!(taker.unemitted_of(&[key("x")]).await.unwrap().is_empty());
}

async fn what_is_read_again_after_a_seek_is_parked_again(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    writer.add_partitions(&[NewPartition { partition: ("t".into(), 0), first_offset: 0 }]).await.unwrap();
    let change = Change { partitions: vec![advance(0, 1)], parked: vec![parked()], ..Change::default() };
    commit(&mut writer, &mut fence, &change).await.unwrap();
    assert!(bench.seek(0).await, "an operator goes back");
    commit(&mut writer, &mut fence, &change).await.unwrap();
    assert_eq!((bench.parked().await, ends(&mut writer, "t").await), (2, vec![(0, 1)]));
}

async fn a_stopped_partition_is_read_again_from_where_an_operator_says(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    assert!(!bench.seek(3).await, "nobody has read it yet");
    let partition = ("t".into(), 0);
    let new = NewPartition { partition: partition.clone(), first_offset: 5 };
    writer.add_partitions(std::slice::from_ref(&new)).await.unwrap();
    writer.stop_partition(&partition, 4, "outside the log").await.unwrap();
    writer.stop_partition(&partition, 5, "outside the log").await.unwrap();
    let state = |found: Vec<PartitionOffset>| (found[0].next_offset, found[0].state);
    assert_eq!(state(writer.offsets(std::slice::from_ref(&partition)).await.unwrap()), (5, PartitionState::Stopped));
    assert!(bench.seek(20).await);
    assert_eq!(state(writer.offsets(std::slice::from_ref(&partition)).await.unwrap()), (20, PartitionState::Reading));
    let stale = Change { partitions: vec![advance(5, 8)], ..Change::default() };
    assert!(matches!(commit(&mut writer, &mut fence, &stale).await, Err(StoreError::OffsetMoved)));
}

async fn lost_commits_are_noticed_by_the_first_statement(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    commit(&mut writer, &mut fence, &born("x")).await.unwrap();
    let mut ahead = Fence { batch: fence.batch + 3, ..fence };
    assert!(matches!(commit(&mut writer, &mut ahead, &born("y")).await, Err(StoreError::Fenced)));
}

async fn a_fail_over_that_nobody_noticed_is_noticed_by_the_first_statement(bench: &impl Bench) {
    let (mut writer, mut other) = (bench.writer(), bench.writer());
    let (mut fence, mut others) = (register(&mut writer).await, register(&mut other).await);
    commit(&mut writer, &mut fence, &born("x")).await.unwrap();
    bench.fail_over().await;
    assert!(matches!(commit(&mut writer, &mut fence, &born("y")).await, Err(StoreError::Fenced)));
    let dead = DeadWriter { writer: others.writer, incarnation: others.incarnation };
    assert!(matches!(writer.take_over(&fence, &dead).await, Err(StoreError::Fenced)));
    let mut anew = register(&mut writer).await;
    commit(&mut writer, &mut anew, &born("y")).await.unwrap();
    assert!(matches!(commit(&mut other, &mut others, &born("z")).await, Err(StoreError::Fenced)));
}

async fn an_offset_moves_only_from_where_it_stands(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    let partitions = [0, 1].map(|number| NewPartition { partition: ("t".into(), number), first_offset: 5 });
    writer.add_partitions(&partitions).await.unwrap();
    let both = Change { partitions: vec![advance(5, 8), Advance { partition: 1, ..advance(4, 8) }], ..born("x") };
    assert!(matches!(commit(&mut writer, &mut fence, &both).await, Err(StoreError::OffsetMoved)));
    assert_eq!(ends(&mut writer, "t").await, [(0, 5), (1, 5)], "neither moved");
    assert_eq!(seqs(&mut writer, "x").await, 0);
    let change = Change { partitions: vec![advance(5, 8)], ..born("x") };
    commit(&mut writer, &mut fence, &change).await.unwrap();
    let again = [NewPartition { partition: ("t".into(), 0), first_offset: 0 }];
    assert_eq!(writer.add_partitions(&again).await.unwrap()[0].next_offset, 8, "a known partition keeps its offset");
}

async fn yesterdays_definitions_decide_nothing(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    let version = |version: u32, text: &str| DefinitionRow {
        hash: Sha256::of(text.as_bytes()),
        name: "d".into(),
        version,
        body: text.to_owned(),
    };
    let generation = bench.deploy(&[version(1, "one")], false).await.unwrap();
    assert!(matches!(commit(&mut writer, &mut fence, &born("x")).await, Err(StoreError::CatalogueChanged)));
    commit(&mut writer, &mut fence, &Change { generation, ..born("x") }).await.unwrap();
    assert_eq!(bench.deploy(&[version(1, "one")], false).await.unwrap(), generation, "nothing changed");
    assert!(bench.deploy(&[version(1, "other")], false).await.is_err(), "the same version, other content");
    assert_eq!(bench.deploy(&[version(2, "two")], false).await.unwrap(), generation + 1);
    assert_eq!(bench.deploy(&[version(1, "one")], false).await.unwrap(), generation + 1, "older: skipped");
    assert_eq!(writer.catalogue().await.unwrap().active[0].body, "two");
    assert_eq!(bench.deploy(&[version(2, "mended")], true).await.unwrap(), generation + 2);
}

async fn a_due_saga_is_claimed_by_one_and_comes_back_after_its_lease(bench: &impl Bench) {
    let (mut a, mut b) = (bench.writer(), bench.writer());
    let registered = a.register(None, None).await.unwrap();
    let mut fence = Fence { writer: registered.writer, incarnation: registered.incarnation, batch: 0 };
    let due = Change { journal: vec![facts("x", 1)], born: vec![row("x", Some(registered.now))], ..Change::default() };
    commit(&mut a, &mut fence, &due).await.unwrap();
    assert!(a.claim_due(5_000, 0, 10).await.unwrap().is_empty(), "a live peer's timer holds it");
    bench.pass(5_001).await;
    assert_eq!(a.claim_due(5_000, 0, 10).await.unwrap().len(), 1);
    assert!(b.claim_due(0, 0, 10).await.unwrap().is_empty(), "claimed");
    bench.pass(10_001).await;
    assert_eq!(b.claim_due(0, 0, 10).await.unwrap().len(), 1, "the lease is over");
}

async fn what_waits_for_a_release_is_claimed_once_it_came(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    let before = writer.catalogue().await.unwrap();
    let hold = bench.hold("risk").await.unwrap();
    assert_eq!(bench.hold("risk").await, None, "once");
    assert!(matches!(commit(&mut writer, &mut fence, &born("x")).await, Err(StoreError::CatalogueChanged)));
    let held = writer.catalogue().await.unwrap();
    assert_eq!((held.generation, held.released, held.holds.len()), (before.generation + 1, before.released, 1));
    assert_eq!(held.holds[0].target, HoldTarget::Participant("risk".into()));
    let waits = |generation| Some(wakes_at_release(generation));
    let change = |text: &str, generation| Change {
        generation: held.generation,
        journal: vec![facts(text, 1)],
        born: vec![row(text, waits(generation))],
        ..Change::default()
    };
    commit(&mut writer, &mut fence, &change("x", held.generation)).await.unwrap();
    commit(&mut writer, &mut fence, &change("y", held.generation + 2)).await.unwrap();
    assert!(writer.claim_due(0, held.released, 10).await.unwrap().is_empty(), "it is held");
    bench.release(hold).await;
    let released = writer.catalogue().await.unwrap();
    assert_eq!((released.generation, released.released), (held.generation + 1, held.generation + 1));
    assert!(released.holds.is_empty());
    let claimed = writer.claim_due(0, released.released, 10).await.unwrap();
    let ids: Vec<Uuid> = claimed.iter().map(|claim| claim.saga_id).collect();
    assert_eq!(ids, [key("x")], "y was held after that release");
    assert!(writer.claim_due(0, released.released, 10).await.unwrap().is_empty(), "claimed");
}

async fn an_operation_is_decided_once(bench: &impl Bench) {
    let (mut a, mut b) = (bench.writer(), bench.writer());
    let (mut fence_a, mut fence_b) = (register(&mut a).await, register(&mut b).await);
    commit(&mut a, &mut fence_a, &born("x")).await.unwrap();
    let id = key("operation");
    let operation = Operation { id, verb: Verb::Cancel, who: "ada".into(), reason: "test".into(), expect_seq: None };
    bench.ask(key("x"), operation).await;
    assert_eq!(a.asked(10).await.unwrap().operations.len(), 1);
    let outcome = OperationOutcome {
        id,
        state: OperationState::Decided,
        code: None,
        message: None,
        seq_before: Some(1),
        seq_after: Some(2),
    };
    let decided =
        |seq| Change { journal: vec![facts("x", seq)], operations: vec![outcome.clone()], ..Change::default() };
    commit(&mut a, &mut fence_a, &decided(2)).await.unwrap();
    assert!(matches!(commit(&mut b, &mut fence_b, &decided(3)).await, Err(StoreError::SagaRaced)));
    assert_eq!(seqs(&mut a, "x").await, 2);
    assert_eq!(bench.outcome(id).await, OperationState::Decided);
    assert!(a.asked(10).await.unwrap().operations.is_empty());
}

async fn a_record_that_enters_the_line_again_is_judged_once(bench: &impl Bench) {
    let (mut a, mut b) = (bench.writer(), bench.writer());
    let (mut fence_a, mut fence_b) = (register(&mut a).await, register(&mut b).await);
    let message = ParkedMessage {
        key: Some(vec![0, 255]),
        value: Some(b"not json".to_vec()),
        headers: r#"[["ce_id","1"],["empty",null]]"#.to_owned(),
        written_at: Timestamp::from_micros(1_700_000_000_123_000),
        ..parked()
    };
    let aside = Change { parked: vec![message.clone()], ..Change::default() };
    commit(&mut a, &mut fence_a, &aside).await.unwrap();
    let id = key("redrive");
    bench.redrive(id).await;
    let asked = PendingRedrive { id, message: ParkedMessage { reason: String::new(), ..message } };
    let found = a.asked(10).await.unwrap().redrives.remove(0);
    assert_eq!(PendingRedrive { message: ParkedMessage { reason: String::new(), ..found.message }, ..found }, asked);
    let outcome = RedriveOutcome { id, verdict: Verdict::Applied, message: None, stays_parked: false };
    let judged = |text, redriven| Change {
        journal: vec![facts(text, 1)],
        born: vec![row(text, None)],
        redriven,
        ..Change::default()
    };
    commit(&mut a, &mut fence_a, &judged("x", vec![outcome.clone()])).await.unwrap();
    assert!(matches!(commit(&mut b, &mut fence_b, &judged("y", vec![outcome])).await, Err(StoreError::SagaRaced)));
    assert_eq!((seqs(&mut a, "x").await, seqs(&mut a, "y").await), (1, 0));
    assert!(a.asked(10).await.unwrap().redrives.is_empty());
}

async fn a_value_that_cannot_be_stored_is_refused_by_its_sqlstate(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    let mut change = born("x");
    change.born[0].business_key = Arc::from("a\0b");
    let refused = commit(&mut writer, &mut fence, &change).await;
    assert!(matches!(refused, Err(StoreError::Refused { sqlstate, .. }) if sqlstate == "22021"));
}

async fn nothing_is_written_ahead_of_the_databases_clock(bench: &impl Bench) {
    let mut writer = bench.writer();
    let registered = writer.register(None, None).await.unwrap();
    let mut fence = Fence { writer: registered.writer, incarnation: registered.incarnation, batch: 0 };
    let early = Change { now: registered.now.plus_millis(60_000), ..born("x") };
    assert!(matches!(commit(&mut writer, &mut fence, &early).await, Err(StoreError::Contention(_))));
    assert_eq!(seqs(&mut writer, "x").await, 0);
    commit(&mut writer, &mut fence, &Change { now: registered.now, ..born("x") }).await.unwrap();
}

async fn a_saga_row_that_is_not_there_is_a_defect(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    let update = SagaUpdate { id: key("nobody"), phase: Phase::Stuck, finished_at: None, wake_at: None, error: None };
    let change = Change { turned: vec![update], ..Change::default() };
    assert!(matches!(commit(&mut writer, &mut fence, &change).await, Err(StoreError::Defect(_))));
}

async fn a_saga_that_is_old_and_not_there_any_more_was_a_race(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    commit(&mut writer, &mut fence, &born("x")).await.unwrap();
    let gone = Change { journal: vec![facts("y", 7)], aged: vec![key("x"), key("y")], ..Change::default() };
    let refused = commit(&mut writer, &mut fence, &gone).await;
    assert!(matches!(refused, Err(StoreError::SagaRaced)), "it is read again, and found missing: {refused:?}");
    let there = Change { journal: vec![facts("x", 2)], aged: vec![key("x")], ..Change::default() };
    commit(&mut writer, &mut fence, &there).await.unwrap();
    assert_eq!((seqs(&mut writer, "x").await, seqs(&mut writer, "y").await), (2, 0));
}

async fn an_older_registration_of_a_name_is_dead_at_once(bench: &impl Bench) {
    let (mut old, mut young) = (bench.writer(), bench.writer());
    let first = old.register(Some("one"), None).await.unwrap();
    let second = young.register(Some("one"), None).await.unwrap();
    assert!(second.age > first.age);
    let fence = Fence { writer: second.writer, incarnation: second.incarnation, batch: 0 };
    assert_eq!(young.dead_writers(8_000, Some("one"), &fence).await.unwrap()[0].writer, first.writer);
    assert!(old.has_younger_namesake("one", first.age).await.unwrap());
    let again = old.register(Some("one"), Some(first.age)).await.unwrap();
    assert_eq!(again.age, first.age, "re-registration keeps the age");
    assert!(!young.has_younger_namesake("one", second.age).await.unwrap());
}

async fn a_former_registration_of_this_process_is_dead_at_once_without_a_name(bench: &impl Bench) {
    let (mut writer, mut peer) = (bench.writer(), bench.writer());
    let first = writer.register(None, None).await.unwrap();
    register(&mut peer).await;
    let second = writer.register(None, Some(first.age)).await.unwrap();
    let fence = Fence { writer: second.writer, incarnation: second.incarnation, batch: 0 };
    let dead = writer.dead_writers(8_000, None, &fence).await.unwrap();
    assert_eq!(
        dead.iter().map(|dead| dead.writer).collect::<Vec<_>>(),
        [first.writer],
        "its own, and not a live peer's"
    );
}

async fn a_partition_is_stopped_only_where_it_stands_and_then_moves_no_more(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    let partitions = [0, 1].map(|number| NewPartition { partition: ("t".into(), number), first_offset: 5 });
    writer.add_partitions(&partitions).await.unwrap();
    writer.stop_partition(&("t".into(), 0), 4, "a stale report").await.unwrap();
    assert!(stopped_of(&mut writer).await.is_empty(), "it was sought meanwhile");
    writer.stop_partition(&("t".into(), 0), 5, "outside the log").await.unwrap();
    assert_eq!(stopped_of(&mut writer).await, [0]);
    let moved = Change { partitions: vec![advance(5, 8)], ..born("x") };
    assert!(matches!(commit(&mut writer, &mut fence, &moved).await, Err(StoreError::OffsetMoved)));
    assert_eq!(seqs(&mut writer, "x").await, 0);
    let other = Change { partitions: vec![Advance { partition: 1, ..advance(5, 8) }], ..born("x") };
    commit(&mut writer, &mut fence, &other).await.unwrap();
}

async fn stopped_of(writer: &mut impl Store) -> Vec<i32> {
    let found = writer.offsets_of("t").await.unwrap();
    let stopped = found.iter().filter(|offset| offset.state == PartitionState::Stopped);
    stopped.map(|offset| offset.partition.1).collect()
}

async fn a_batch_shrinks_to_what_is_not_acknowledged(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    let two = Change {
        journal: vec![facts("x", 1), facts("y", 1)],
        born: vec![row("x", None), row("y", None)],
        emitting: vec![(key("x"), 1), (key("y"), 1)],
        ..Change::default()
    };
    commit(&mut writer, &mut fence, &two).await.unwrap();
    let name = (fence.writer, fence.batch);
    let left = Shrunk { name, rows: vec![(key("y"), 1)] };
    commit(&mut writer, &mut fence, &Change { shrunk: vec![left], ..Change::default() }).await.unwrap();
    assert_eq!(writer.unemitted_of(&[key("x"), key("y")]).await.unwrap(), [key("y")]);
    commit(&mut writer, &mut fence, &Change { acknowledged: vec![name], ..Change::default() }).await.unwrap();
    assert!(writer.unemitted_of(&[key("x"), key("y")]).await.unwrap().is_empty());
}

async fn what_was_parked_before_can_be_parked_again(bench: &impl Bench) {
    let mut writer = bench.writer();
    let mut fence = register(&mut writer).await;
    for _ in 0..2 {
        commit(&mut writer, &mut fence, &Change { parked: vec![parked()], ..Change::default() }).await.unwrap();
    }
    assert_eq!(bench.parked().await, 2, "as after a seek back, or when a topic was made anew");
}

async fn a_definition_stays_pinned_while_an_ended_saga_has_something_to_come(bench: &impl Bench) {
    let mut writer = bench.writer();
    let registered = writer.register(None, None).await.unwrap();
    let mut fence = Fence { writer: registered.writer, incarnation: registered.incarnation, batch: 0 };
    let version = |version: u32, text: &str| DefinitionRow {
        hash: Sha256::of(text.as_bytes()),
        name: "d".into(),
        version,
        body: text.to_owned(),
    };
    bench.deploy(&[version(1, "d")], false).await.unwrap();
    let generation = bench.deploy(&[version(2, "newer")], false).await.unwrap();
    let ended = SagaRow {
        phase: Phase::Compensated,
        finished_at: Some(registered.now),
        ..row("x", Some(registered.now.plus_millis(5_000)))
    };
    let change = Change { generation, journal: vec![facts("x", 1)], born: vec![ended], ..Change::default() };
    commit(&mut writer, &mut fence, &change).await.unwrap();
    let pinned = writer.catalogue().await.unwrap().pinned;
    assert_eq!(pinned.iter().map(|row| row.version).collect::<Vec<_>>(), [1], "its late undo will be answered");
}

macro_rules! conformance {
    ($($rule:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test] async fn $rule() {
                let bench = InMemory::default();
                bench.pass(0).await;
                super::$rule(&bench).await;
            })*
        }
        mod postgres {
            use super::*;
            $(#[tokio::test] async fn $rule() {
                super::$rule(&OnPostgres::new(stringify!($rule)).await).await;
            })*
        }
    };
}

conformance!(
    a_former_registration_of_this_process_is_dead_at_once_without_a_name,
    a_partition_is_stopped_only_where_it_stands_and_then_moves_no_more,
    a_batch_shrinks_to_what_is_not_acknowledged,
    what_was_parked_before_can_be_parked_again,
    a_definition_stays_pinned_while_an_ended_saga_has_something_to_come,
    second_writer_for_one_saga_is_refused_whole,
    a_business_key_has_one_saga_whatever_its_id,
    a_fail_over_that_nobody_noticed_is_noticed_by_the_first_statement,
    a_zombie_behind_a_takeover_writes_nothing,
    a_taker_that_was_itself_taken_over_takes_nothing,
    a_dead_writer_is_forgotten_once_everything_of_it_was_sent,
    what_is_read_again_after_a_seek_is_parked_again,
    a_stopped_partition_is_read_again_from_where_an_operator_says,
    lost_commits_are_noticed_by_the_first_statement,
    an_offset_moves_only_from_where_it_stands,
    yesterdays_definitions_decide_nothing,
    a_due_saga_is_claimed_by_one_and_comes_back_after_its_lease,
    what_waits_for_a_release_is_claimed_once_it_came,
    an_operation_is_decided_once,
    a_record_that_enters_the_line_again_is_judged_once,
    a_value_that_cannot_be_stored_is_refused_by_its_sqlstate,
    nothing_is_written_ahead_of_the_databases_clock,
    a_saga_row_that_is_not_there_is_a_defect,
    a_saga_that_is_old_and_not_there_any_more_was_a_race,
    an_older_registration_of_a_name_is_dead_at_once,
);
