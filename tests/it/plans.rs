//! Plans: kept outputs of what operators read; and on a real Postgres what a worker that died, or is late, may do to a job: nothing twice.

use sagabus::cli::render;
use sagabus::core::{Action, Rules, Sha256, Timestamp, Verb};
use sagabus::operations::{self, Draft, JobJson, Moment, PlanJson, PlanShown, TimeFormat, Times};
use sagabus::store::{Console, LeasedJob, NewItem, NewPlan, NextItem, PlanPace, PlanState};
use uuid::Uuid;

use super::console::golden;
use super::given::{Driven, Plain, TRADE, refusal, success};
use super::support::database::TestDatabase;

const NOW: Timestamp = Timestamp::ZERO;

fn retry() -> Verb {
    Verb::Retry { step: None, force: false }
}

/// Two trades whose clearing cannot be undone, one that is undone, one that runs.
fn draft(verb: &Verb) -> Draft {
    let mut stuck = Driven::start(TRADE);
    stuck.succeed("order clearing notification");
    stuck.reply("risk", Action::Do, 1, refusal());
    stuck.reply("notification", Action::Undo, 1, success());
    let undone = |answer| {
        let mut saga = Driven::start(TRADE);
        saga.succeed("order clearing notification");
        saga.reply("risk", Action::Do, 1, refusal());
        saga.reply("notification", Action::Undo, 1, success());
        saga.reply("clearing", Action::Undo, 1, answer);
        saga
    };
    let mut ended = undone(success());
    ended.reply("order", Action::Undo, 1, success());
    let sagas = [undone(refusal()), Driven::start(TRADE), ended, undone(refusal())];
    let item = |(number, saga): (usize, &Driven)| {
        let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
        let item = operations::plan_item(rules, &saga.saga, verb, saga.now);
        NewItem { saga_id: Uuid::from_u128(u128::try_from(number).unwrap() + 1), ..item }
    };
    Draft::new(verb.clone(), sagas.iter().enumerate().map(item).collect())
}

fn planned() -> PlanJson {
    let at = |millis| Some(Moment(Timestamp::from_millis(millis)));
    PlanJson {
        id: Some("p31".to_owned()),
        planned_by: Some("ada".to_owned()),
        planned_at: at(-60_000),
        valid_until: at(3_540_000),
        state: Some("planned"),
        ..operations::drafted(&draft(&retry()), "--failure Gc0ffee", 100)
    }
}

fn applied() -> PlanJson {
    let job = JobJson {
        applied_by: "grace".to_owned(),
        reason: "ledger open again".to_owned(),
        applied_at: Moment(Timestamp::from_millis(-5_000)),
        rate: "20/s".to_owned(),
        ramp: true,
        max: Some(300),
        stop_on_error_percent: Some(5),
        released: 2,
        pending: 0,
        applied: 1,
        refused: 1,
        failed: 0,
        skipped: 2,
        stuck_again: 1,
    };
    PlanJson { state: Some("partial"), needs_second_person: true, job: Some(job), ..planned() }
}

fn shown(plan: PlanJson) -> PlanShown {
    let items = draft(&retry()).items.into_iter().enumerate().map(|(number, item)| operations::ItemJson {
        saga_id: item.saga_id,
        business_key: Some(format!("order-{number}")),
        seq: item.seq,
        effect: serde_json::from_str(&item.effect).ok(),
        state: if item.refusal.is_some() { "skipped".to_owned() } else { "pending".to_owned() },
        message: item.refusal,
        stuck_again: false,
    });
    PlanShown { items: items.collect(), plan }
}

#[test]
fn a_plan_tells_how_many_would_go_why_others_would_not_and_what_would_be_sent() {
    let times = Times { format: TimeFormat::Relative, now: NOW };
    golden("plan", &render::planned(&planned()));
    golden("plan_dry_run", &render::planned(&operations::drafted(&draft(&retry()), "--failure Gc0ffee", 100)));
    golden("plan_list", &render::plans(&[planned(), applied()], times));
    golden("plan_show", &render::plan_shown(&shown(planned()), times));
    golden("plan_show_json", &serde_json::to_string_pretty(&shown(applied())).unwrap());
    golden("jobs_list", &render::jobs(&[planned(), applied()], times));
    let paused = PlanJson {
        message: Some("2 of 20 went wrong, more than 5 percent".to_owned()),
        state: Some("paused"),
        ..applied()
    };
    golden(
        "jobs_watch",
        &format!("{}{}{}", render::progress(&planned()), render::progress(&applied()), render::progress(&paused)),
    );
}

#[test]
fn two_plans_of_the_same_state_have_the_same_hash_and_any_difference_another() {
    assert_eq!(draft(&retry()).hash(), draft(&retry()).hash());
    let mut hashes = vec![draft(&retry()).hash(), draft(&Verb::Abandon).hash()];
    let changed = |change: fn(&mut NewItem)| {
        let mut draft = draft(&retry());
        change(&mut draft.items[0]);
        draft.hash()
    };
    hashes.push(changed(|item| item.seq += 1));
    hashes.push(changed(|item| item.saga_id = Uuid::nil()));
    hashes.push(changed(|item| item.effect.push(' ')));
    hashes.push(changed(|item| item.refusal = Some(String::new() + "no")));
    let mut one_less = draft(&retry());
    one_less.items.pop();
    hashes.push(one_less.hash());
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 7);
}

#[test]
fn a_saga_that_is_named_twice_is_acted_on_once() {
    let Draft { verb, mut items } = draft(&retry());
    items.extend(items.clone());
    assert_eq!(Draft::new(verb, items), draft(&retry()));
}

/// A job of so many sagas that do not exist: here nobody decides.
async fn job(name: &str, sagas: u128) -> (TestDatabase, Console) {
    let database = TestDatabase::migrated(name).await;
    let console = Console::connect(&database.url).await.unwrap();
    let item = |number| NewItem {
        saga_id: Uuid::from_u128(number),
        seq: 1,
        effect: "null".to_owned(),
        leaves_stuck: false,
        refusal: None,
    };
    let plan = NewPlan {
        hash: Sha256::of(b"test"),
        verb: "retry",
        request: serde_json::to_string(&retry()).unwrap(),
        selected: "--where phase=stuck".to_owned(),
        who: "ada".to_owned(),
        items: (1..=sagas).map(item).collect(),
    };
    let number =
        console.write_plan(&plan, |plan, saga| Uuid::new_v5(&saga, plan.to_string().as_bytes())).await.unwrap();
    let pace = PlanPace { rate: "1000/s".to_owned(), ramp: false, items_max: None, stop_percent: None };
    assert!(console.apply_plan(number, "ada", "test", &pace).await.unwrap());
    (database, console)
}

async fn release(console: &Console, worker: Uuid, job: &LeasedJob, count: u32) -> Vec<NextItem> {
    let items = console.next_items(job, count).await.unwrap();
    let asked: Vec<_> = items.iter().map(|item| (item.clone(), "{}".to_owned())).collect();
    console.release(worker, job, &asked, job.now).await.unwrap();
    items
}

#[tokio::test]
async fn a_job_is_one_worker_s_and_one_that_was_too_late_changes_nothing() {
    let (database, console) = job("plans_lease", 9).await;
    let asked = async || database.count("SELECT count(*) FROM operation").await;
    let (first, second) = (console.new_worker().await.unwrap(), console.new_worker().await.unwrap());
    let held = console.lease_jobs(first, 600_000).await.unwrap().pop().unwrap();
    assert_eq!(console.lease_jobs(second, 600_000).await.unwrap(), [], "it is another's");
    assert_eq!(release(&console, first, &held, 3).await.len(), 3);
    assert_eq!(asked().await, 3);
    // Its answer was lost: it does the same again, and nothing comes of it.
    release(&console, first, &held, 3).await;
    assert_eq!(asked().await, 3);
    // It is slow, its lease ends, another one goes on where it stood.
    console.lease_jobs(first, 0).await.unwrap();
    let taken = console.lease_jobs(second, 600_000).await.unwrap().pop().unwrap();
    assert_eq!(taken.released, 3);
    let stale = LeasedJob { released: 3, ..held };
    release(&console, first, &stale, 3).await;
    console.end_job(first, taken.number, PlanState::Done, None).await.unwrap();
    assert_eq!(asked().await, 3, "the job is not its any more");
    let next = release(&console, second, &taken, 3).await;
    assert_eq!(asked().await, 6);
    assert_eq!(next.iter().map(|item| item.saga_id.as_u128()).collect::<Vec<_>>(), [4, 5, 6]);
    // A person's word comes in between.
    let job = console.lease_jobs(second, 600_000).await.unwrap().pop().unwrap();
    assert!(
        console.steer_plan(job.number, (PlanState::Applying, PlanState::Paused), "pause", "ada", "wait").await.unwrap()
    );
    release(&console, second, &job, 3).await;
    console.end_job(second, job.number, PlanState::Done, None).await.unwrap();
    assert_eq!(asked().await, 6, "it is paused");
    assert_eq!(console.plan(job.number).await.unwrap().unwrap().state, PlanState::Paused);
}

#[tokio::test]
async fn an_item_s_action_is_asked_for_once_even_if_the_job_is_put_back() {
    let (database, console) = job("plans_once", 4).await;
    let worker = console.new_worker().await.unwrap();
    let held = console.lease_jobs(worker, 600_000).await.unwrap().pop().unwrap();
    release(&console, worker, &held, 4).await;
    database.run("UPDATE operation SET state = 'decided'; UPDATE plan SET released = 0").await;
    let again = console.lease_jobs(worker, 600_000).await.unwrap().pop().unwrap();
    release(&console, worker, &again, 4).await;
    assert_eq!(database.count("SELECT count(*) FROM operation WHERE state = 'decided'").await, 4);
    assert_eq!(database.count("SELECT count(*) FROM operation").await, 4);
}
