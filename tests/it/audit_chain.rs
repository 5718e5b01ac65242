//! The audit's hash chain on a real Postgres: what is changed, taken away or slipped in is found and named.

use sagabus::core::Sha256;
use sagabus::operations::{AuditReport, HeadJson, seal, verify_audit};
use sagabus::store::{AuditEntry, Console};
use sqlx::Connection as _;

use super::cli::{code, out, sagabus};
use super::support::database::TestDatabase;

async fn tell(console: &Console, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let entry = AuditEntry {
            who: "ada".to_owned(),
            verb: "cancel".to_owned(),
            target: format!("saga {number}"),
            reason: "a test".to_owned(),
            outcome: "decided".to_owned(),
            message: None,
        };
        console.tell(&entry).await.unwrap();
    }
}

/// As one who owns the tables.
async fn tamper(database: &TestDatabase, statement: &str) {
    database.run(&format!("SET session_replication_role = replica; {statement}")).await;
}

async fn verified(console: &Console) -> AuditReport {
    verify_audit(console, None).await.unwrap()
}

fn said(report: &AuditReport) -> Vec<(Option<i64>, &str)> {
    report.findings.iter().map(|finding| (finding.place, finding.what.as_str())).collect()
}

#[tokio::test]
async fn entries_are_sealed_once_none_older_can_turn_up_and_by_whoever_is_first() {
    let database = TestDatabase::migrated("audit_seal").await;
    let console = Console::connect(&database.url).await.unwrap();
    assert_eq!(seal(&console).await.unwrap(), 0, "there is nothing");
    tell(&console, 0..3).await;
    let (one, other) = tokio::join!(seal(&console), seal(&console));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.min(other), one.max(other)), (0, 3), "whoever is first has the places");

    // An entry of a transaction that is open holds back what is behind it.
    let mut open = database.connect().await;
    let mut transaction = open.begin().await.unwrap();
    let statement = "INSERT INTO audit (who, verb, target, reason, outcome) VALUES ('eve', 'v', 't', 'r', 'decided')";
    sqlx::raw_sql(statement).execute(&mut *transaction).await.unwrap();
    tell(&console, 3..5).await;
    assert_eq!(seal(&console).await.unwrap(), 0, "one that is older may turn up");
    assert_eq!(verified(&console).await.unsealed, 2);
    transaction.commit().await.unwrap();
    assert_eq!(seal(&console).await.unwrap(), 3);
    let report = verified(&console).await;
    assert_eq!((report.sealed, report.unsealed, report.head.place), (6, 0, 6));
    assert!(report.findings.is_empty(), "{report:?}");
}

#[tokio::test]
async fn what_was_changed_taken_away_or_slipped_in_is_found() {
    let database = TestDatabase::migrated("audit_tamper").await;
    let console = Console::connect(&database.url).await.unwrap();
    tell(&console, 0..6).await;
    seal(&console).await.unwrap();
    let whole = verified(&console).await;
    assert!(whole.findings.is_empty() && whole.sealed == 6);
    let refused = sqlx::raw_sql("UPDATE audit SET who = 'eve'").execute(&mut database.connect().await).await;
    assert!(refused.unwrap_err().to_string().contains("append-only"), "against mistakes");

    tamper(&database, "UPDATE audit SET who = 'eve' WHERE target = 'saga 1'").await;
    let report = verified(&console).await;
    assert!(report.findings.len() == 1 && said(&report)[0].0 == Some(2), "{report:?}");
    tamper(&database, "UPDATE audit SET who = 'ada' WHERE target = 'saga 1'").await;
    assert!(verified(&console).await.findings.is_empty(), "as it was");

    tamper(&database, "DELETE FROM audit WHERE target = 'saga 2'").await;
    assert_eq!(said(&verified(&console).await), [(Some(3), "the entry is not there any more")]);
    tamper(&database, "DELETE FROM audit_seal WHERE place = 3").await;
    assert_eq!(said(&verified(&console).await), [(Some(4), "places 3 to 3 are missing")], "its place too");

    // Slipped in among old ones: before it is sealed, and after.
    let slipped = "INSERT INTO audit (at, who, verb, target, reason, outcome) VALUES (now() - interval '1 hour', 'eve', 'v', 't', 'r', 'decided')";
    database.run(slipped).await;
    let report = verified(&console).await;
    assert!(report.findings.len() == 2 && report.findings[1].what.contains("slipped in"), "{report:?}");
    seal(&console).await.unwrap();
    let report = verified(&console).await;
    assert!(report.findings.len() == 2 && report.findings[1].what.contains("slipped in"), "{report:?}");

    // The end cut off: only an end that was kept elsewhere tells.
    let kept = whole.head;
    assert!(said(&verify_audit(&console, Some(kept)).await.unwrap()).len() == 2, "the end of before is in the chain");
    tamper(
        &database,
        "DELETE FROM audit_seal WHERE place >= 5; DELETE FROM audit WHERE target IN ('saga 4', 'saga 5', 't')",
    )
    .await;
    assert_eq!(verified(&console).await.findings.len(), 1, "nothing tells");
    let report = verify_audit(&console, Some(kept)).await.unwrap();
    assert!(report.findings.iter().any(|finding| finding.what.contains("ends before")), "{report:?}");
    let forged = HeadJson { place: 1, hash: Sha256::of(b"another") };
    let report = verify_audit(&console, Some(forged)).await.unwrap();
    assert!(report.findings.iter().any(|finding| finding.what.contains("kept elsewhere")), "{report:?}");
}

#[tokio::test]
async fn the_command_line_lists_verifies_and_exports_and_keeps_a_token_to_itself() {
    let database = TestDatabase::migrated("audit_cli").await;
    let url = Some(database.url.as_str());
    let create = ["tokens", "create", "ada", "--role", "viewer", "--reason", "on call"];
    let made = sagabus(url, &create);
    let token = out(&made).trim().to_owned();
    assert!(code(&made) == 0 && token.starts_with("sagabus_") && token.len() == 72, "{made:?}");
    assert_eq!(code(&sagabus(url, &create)), 4, "a name is never given twice");
    assert_eq!(code(&sagabus(url, &["tokens", "create", "b", "--role", "root", "--reason", "r"])), 2);
    assert_eq!(code(&sagabus(url, &["tokens", "revoke", "bob", "--reason", "r"])), 3);
    assert_eq!(code(&sagabus(url, &["tokens", "revoke", "ada", "--reason", "lost laptop"])), 0);
    let listed = out(&sagabus(url, &["tokens", "list"]));
    assert!(listed.contains("ada") && listed.contains("revoked") && !listed.contains(&token), "{listed}");

    let console = Console::connect(&database.url).await.unwrap();
    assert_eq!(seal(&console).await.unwrap(), 2);
    let audit = out(&sagabus(url, &["audit", "list"]));
    assert!(audit.contains("create token") && audit.contains("lost laptop"), "{audit}");
    let verified = sagabus(url, &["audit", "verify"]);
    assert_eq!(code(&verified), 0);
    let text = out(&verified);
    let head = text.lines().find_map(|line| line.strip_prefix("head ")).unwrap();
    assert!(text.starts_with("2 entries sealed, 0 not yet; 0 wrong"), "{text}");
    assert_eq!(code(&sagabus(url, &["audit", "verify", "--kept", head])), 0);
    let exported = out(&sagabus(url, &["audit", "export"]));
    let last: serde_json::Value = serde_json::from_str(exported.lines().last().unwrap()).unwrap();
    assert_eq!(format!("{}:{}", last["place"], last["hash"].as_str().unwrap()), head);
    tamper(&database, "UPDATE audit SET reason = 'found' WHERE verb = 'revoke token'").await;
    let wrong = sagabus(url, &["audit", "verify", "--output", "json"]);
    assert_eq!(code(&wrong), 1);
    let wrong: serde_json::Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(wrong["findings"][0]["place"], 2);
}
