//! The story of OPERATIONS.md section 1 in bulk, on real Kafka and Postgres: an outage makes sagas stuck, they are grouped, planned and
//! applied at a rate by a `serve` that is killed half-way. Needs `scripts/services up`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sagabus::core::Json;
use sagabus::engine::wall_clock;
use sagabus::participant::{Done, Handler};
use sagabus::wire::Received;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::support::served::{Served, publish_to};

/// `a` is the pivot, so a refusal at `b` makes the saga stuck.
fn definition(name: &str) -> String {
    format!(
        "saga: v1\nname: {name}\nversion: 1\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
         participants: {{a: {{commandTopic: {name}.a}}, b: {{commandTopic: {name}.b}}}}\n\
         defaults: {{timeout: 30s, patience: 600s}}\nsteps:\n  a: {{kind: pivot, command: {{type: t}}}}\n  \
         b: {{after: [a], kind: retriable, command: {{type: t}}}}\n"
    )
}

/// Which attempts of `b` each saga's command came with: each once, since the barrier knows the others.
type Attempts = Arc<Mutex<BTreeMap<Uuid, Vec<u16>>>>;

/// The ledger is closed as long as the flag says so.
struct Ledger {
    is_closed: Arc<AtomicBool>,
    attempts: Attempts,
}

impl Handler for Ledger {
    async fn handle(&mut self, _transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
        if &*command.step == "b" {
            self.attempts.lock().unwrap().entry(command.saga_id).or_default().push(command.attempt);
            if self.is_closed.load(Ordering::Relaxed) {
                let message = "the ledger is closed".to_owned();
                return Ok(Done::Failure { code: "LEDGER_CLOSED", message, retryable: false });
            }
        }
        Ok(Done::Success(Json::empty_object()))
    }
}

struct Outage {
    served: Served,
    attempts: Attempts,
    sagas: i64,
}

impl Outage {
    /// So many sagas, all of them stuck, and the ledger open again.
    async fn start(test: &str, sagas: usize) -> Self {
        let (is_closed, attempts) = (Arc::new(AtomicBool::new(true)), Attempts::default());
        let ledger = Ledger { is_closed: Arc::clone(&is_closed), attempts: Arc::clone(&attempts) };
        // A name, so that the engine that is started again takes over at once; jobs are taken over when their lease ends.
        let served = Served::start_as(test, &["--instance", "one"], definition, ledger).await;
        publish_to(&format!("{}.triggers", served.name), 0..sagas);
        let outage = Self { served, attempts, sagas: i64::try_from(sagas).unwrap() };
        outage.until("every saga is stuck", "SELECT count(*) FROM saga WHERE phase = 2", outage.sagas).await;
        is_closed.store(false, Ordering::Relaxed);
        outage
    }

    async fn until(&self, what: &str, statement: &str, count: i64) {
        let until = wall_clock().plus_millis(30_000 + 100 * u64::try_from(self.sagas).unwrap());
        while self.served.count(statement).await < count {
            assert!(wall_clock() < until, "{what}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.served.json(&[arguments, &["--output", "json"]].concat())
    }

    /// Plans a retry of the one group of failures, and applies it as somebody else.
    fn apply(&self, rate: &str) {
        let groups = self.json(&["failures", "--limit", "100000"]);
        assert_eq!((&groups[0]["code"], &groups[0]["sagas"]), (&"LEDGER_CLOSED".into(), &self.sagas.into()));
        let group = groups[0]["id"].as_str().unwrap();
        let plan = self.json(&["retry", "--failure", group, "--who", "ada"]);
        assert_eq!(
            (&plan["eligible"], &plan["refused"], &plan["needsSecondPerson"]),
            (&self.sagas.into(), &0.into(), &true.into())
        );
        let apply = [
            "apply",
            "p1",
            "--reason",
            "ledger open again, INC-123",
            "--rate",
            rate,
            "--stop-on-error-percent",
            "5",
            "--yes",
        ];
        assert_eq!(self.served.code(&[apply.as_slice(), &["--who", "ada"]].concat()), 4, "she planned it");
        assert_eq!(self.served.code(&[apply.as_slice(), &["--who", "grace"]].concat()), 0);
    }

    async fn decided(&self) -> i64 {
        self.served.count("SELECT count(*) FROM operation WHERE state <> 'pending'").await
    }

    /// Every saga was tried again once, did it once, and has ended.
    async fn check(&self) {
        self.until("every saga has ended", "SELECT count(*) FROM saga WHERE phase = 4", self.sagas).await;
        let attempts = self.attempts.lock().unwrap().clone();
        assert_eq!(i64::try_from(attempts.len()).unwrap(), self.sagas);
        for (saga, attempts) in &attempts {
            assert_eq!(attempts, &[1, 2], "commands of saga {saga}");
        }
        let twice = "SELECT count(*) FROM (SELECT FROM audit WHERE verb = 'retry' GROUP BY target HAVING count(*) <> 1) AS twice";
        assert_eq!(self.served.count(twice).await, 0, "each is one entry of the audit");
        let audited = "SELECT count(*) FROM audit WHERE verb = 'retry' AND who = 'grace' AND outcome = 'decided' AND reason LIKE 'ledger%'";
        assert_eq!(self.served.count(audited).await, self.sagas);
        let job = &self.json(&["plan", "show", "p1", "--limit", "1"])["job"];
        assert_eq!((&job["applied"], &job["refused"], &job["failed"]), (&self.sagas.into(), &0.into(), &0.into()));
        assert_eq!(self.served.code(&["verify"]), 0);
        assert_eq!(self.json(&["failures"]), serde_json::json!([]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_outage_left_stuck_is_tried_again_by_a_job_that_survives_a_kill_and_acts_on_nothing_twice() {
    let mut outage = Outage::start("outage", 300).await;
    outage.apply("100/s");
    outage.until("the job is under way", "SELECT released::bigint FROM plan", 100).await;
    outage.served.kill_and_start_again();
    let decided = outage.decided().await;
    assert!(decided < outage.sagas, "it was killed half-way, after {decided}");
    let watched = outage.served.sagabus(&["jobs", "watch", "p1"]);
    let said = String::from_utf8_lossy(&watched.stdout).into_owned();
    assert_eq!(watched.status.code(), Some(0), "{said}");
    assert!(said.lines().count() > 1 && said.ends_with("done  300 of 300 applied, 0 refused, 0 failed\n"), "{said}");
    outage.check().await;
}

mod volume {
    use super::Outage;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "minutes: make volume"]
    async fn ten_thousand_sagas_are_tried_again_by_a_job_that_is_killed_again_and_again() {
        let mut outage = Outage::start("outage-10k", 10_000).await;
        outage.apply("200/s");
        let mut decided_at_kills = Vec::new();
        for kill in 1..=8 {
            outage.until("the job goes on", "SELECT released::bigint FROM plan", kill * 1_150).await;
            outage.served.kill_and_start_again();
            decided_at_kills.push(outage.decided().await);
        }
        println!("killed when so many were decided: {decided_at_kills:?}");
        assert!(decided_at_kills.iter().all(|decided| *decided < outage.sagas));
        assert_eq!(outage.served.code(&["jobs", "watch", "p1"]), 0);
        outage.check().await;
    }
}
