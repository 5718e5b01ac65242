//! What must hold when all sagas of a stage have ended: RELIABILITY.md P1, P2, P4 and P6 by the ledger, the counts and the fold.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig as _};
use sagabus::bus::{Admin, KafkaSettings};
use sagabus::core::Phase;
use sagabus::engine::wall_clock;
use sagabus::store::{Console, SagaFilter};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::participants::{STEPS, UNDONE_BEFORE, fails};
use super::stage::{Stage, World, number, sagabus};

/// An effect: its place in time, the step, `do` or `undo`.
type Effect = (i64, String, String);

/// Everything that does not hold.
pub(crate) async fn check(world: &World, stage: &Stage, sagas: i64) -> Vec<String> {
    let mut violations = outcomes(world, stage, sagas).await;
    violations.extend(counts(world, stage).await);
    let url = stage.url(world);
    if !sagabus(&["replay", "verify", "--database-url", &url]) {
        violations.push("the fold of a journal differs from what is stored".to_owned());
    }
    let parked = number(&url, "SELECT count(*) FROM parked_message").await;
    if parked != Some(0) && !stage.may_park {
        violations.push(format!("records are parked: {parked:?}"));
    }
    violations
}

/// Each trigger has its saga, each saga ended as its story says, and the ledger holds what that demands: once, in order.
async fn outcomes(world: &World, stage: &Stage, sagas: i64) -> Vec<String> {
    let mut ledger = PgConnection::connect(&stage.ledger).await.expect("the ledger answers");
    let rows: Vec<(i64, Uuid, String, String)> =
        sqlx::query_as("SELECT id, saga_id, step, action FROM effect ORDER BY id")
            .fetch_all(&mut ledger)
            .await
            .expect("the ledger answers");
    let mut effects: BTreeMap<Uuid, Vec<Effect>> = BTreeMap::new();
    for (id, saga, step, action) in rows {
        effects.entry(saga).or_default().push((id, step, action));
    }
    let console = Console::connect(&stage.url(world)).await.expect("Postgres answers");
    let listed = console
        .list(&SagaFilter::default(), usize::try_from(sagas).unwrap() * 2 + 1_000)
        .await
        .expect("Postgres answers");
    let mut violations = Vec::new();
    if i64::try_from(listed.len()).unwrap() != sagas {
        let known: BTreeSet<&str> = listed.iter().map(|saga| &*saga.row.business_key).collect();
        let key = |number: i64| format!("{}-{number}", stage.name);
        let missing: Vec<String> = (0..sagas).map(key).filter(|key| !known.contains(&**key)).collect();
        violations.push(format!("{} sagas, not {sagas}: {missing:?} are missing", listed.len()));
        let judged = console.balance().await.expect("Postgres answers");
        let triggers = judged.iter().filter(|balance| balance.partition.0.ends_with(".triggers"));
        violations.extend(triggers.map(|balance| format!("triggers: {balance:?}")));
    }
    for saga in listed {
        let of_saga = effects.remove(&saga.row.id).unwrap_or_default();
        let key = &saga.row.business_key;
        violations.extend(one(key, saga.row.phase, &of_saga).map(|what| format!("{key}: {what}: {of_saga:?}")));
    }
    violations.extend(effects.iter().map(|(saga, effects)| format!("effects of no saga, {saga}: {effects:?}")));
    violations
}

/// What is wrong with one saga.
fn one(key: &str, phase: Phase, effects: &[Effect]) -> Option<String> {
    let place = |step: &str, action: &str| effects.iter().find(|effect| effect.1 == step && effect.2 == action);
    let expected = if fails(key) { Phase::Compensated } else { Phase::Completed };
    if phase != expected {
        return Some(format!("is {phase}, must be {expected}"));
    }
    let mut once: Vec<(&str, &str)> = effects.iter().map(|effect| (effect.1.as_str(), effect.2.as_str())).collect();
    once.sort_unstable();
    once.dedup();
    if once.len() != effects.len() {
        return Some("a second effect".to_owned());
    }
    if phase == Phase::Completed {
        let all = STEPS.iter().all(|step| place(step, "do").is_some());
        return (!all || effects.len() != STEPS.len()).then(|| "not each step once".to_owned());
    }
    if place("accounting", "do").is_some() || place("risk", "do").is_some() {
        return Some("went on behind the pivot".to_owned());
    }
    UNDONE_BEFORE.iter().find_map(|(step, before)| {
        let (done, undone) = (place(step, "do"), place(step, "undo"));
        let late =
            before.iter().any(|other| place(other, "undo").map(|effect| effect.0) > undone.map(|effect| effect.0));
        let wrong = done.is_some() != undone.is_some() || late;
        wrong.then(|| format!("{step} is not undone, or not in order"))
    })
}

/// Every record of every input topic was judged once: the counts balance against the offsets, and these against Kafka.
async fn counts(world: &World, stage: &Stage) -> Vec<String> {
    let console = Console::connect(&stage.url(world)).await.expect("Postgres answers");
    let admin = Admin::connect(&KafkaSettings::new(&world.kafka, "chaos-audit", None)).expect("Kafka answers");
    let mut violations = Vec::new();
    for topic in [format!("{}.triggers", stage.name), format!("{}.replies", stage.name)] {
        for (partition, _, end) in admin.watermarks(&topic).expect("Kafka answers") {
            let until = wall_clock().plus_millis(20_000);
            loop {
                let balances = console.balance().await.expect("Postgres answers");
                let found = balances.iter().find(|balance| balance.partition == (topic.clone(), partition));
                let Some(balance) = found else {
                    violations.push(format!("{topic}/{partition} was never read"));
                    break;
                };
                let judged = balance.gaps + balance.counts.iter().sum::<i64>();
                if balance.next_offset - balance.first_offset != judged {
                    violations.push(format!("{topic}/{partition} does not balance: {balance:?}"));
                }
                // Nothing here writes transactions, so a gap is a record that nobody judged.
                if balance.gaps > 0 && stage.more_triggers >= 0 {
                    violations.push(format!("{topic}/{partition} has gaps: {balance:?}"));
                }
                if balance.next_offset == end {
                    break;
                }
                if wall_clock() > until {
                    violations.push(format!("{topic}/{partition} is read to {} of {end}", balance.next_offset));
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    violations
}

/// A client for what only an adversary does to a cluster.
pub(crate) fn administrator(world: &World) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &world.kafka).set("log_level", "3");
    AdminClient::from_config(&config).expect("a Kafka client")
}

/// The broker need not carry the topics of stages that are over.
pub(crate) async fn forget_topics(world: &World, name: &str, steps: &[&str]) {
    let topics: Vec<String> =
        steps.iter().chain(&["triggers", "replies", "events"]).map(|topic| format!("{name}.{topic}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    _ = administrator(world).delete_topics(&topics, &AdminOptions::new()).await;
}
