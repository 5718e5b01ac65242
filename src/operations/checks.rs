//! The start-up check (RELIABILITY.md section 2.4): closed by default, printed once, relaxed loudly by `--dev`.

use std::collections::BTreeMap;

use crate::bus::{Admin, Finding, Level, Purpose, TopicNeed, judge_topics, outside_log};
use crate::engine::wall_clock;
use crate::store::{Balance, Console, Durability};

use super::failure::{Exit, Failure};
use super::places::Places;
use super::serve::ServeOptions;

/// Clocks further apart than this are said.
const CLOCK_DIFFERENCE_MS: u64 = 1_000;

/// Everything that is checked before an engine starts.
pub(super) async fn check(
    places: &Places,
    console: &Console,
    options: &ServeOptions,
    needs: &[TopicNeed],
) -> Result<Vec<Finding>, Failure> {
    let settings = places.kafka(None)?;
    let admin = Admin::connect(&settings)?;
    let brokers = admin.brokers()?;
    let mut findings = judge_topics(&admin.diff(needs).await?, brokers);
    findings.extend(judge_offsets(&admin, console, options, needs).await?);
    findings.extend(judge_postgres(&console.durability().await?));
    if settings.is_plaintext() && !options.allow_plaintext && !settings.bootstrap.split(',').all(is_loopback) {
        let hint = "set security.protocol=ssl or sasl_ssl, or say --allow-plaintext";
        findings.push(refuse("kafka", "records travel unencrypted beyond this machine", hint));
    }
    Ok(findings)
}

/// Says what was found, once, what is alike together; refuses what must not be, unless in development.
pub(super) fn enforce(findings: &[Finding], is_dev: bool) -> Result<(), Failure> {
    let mut groups: BTreeMap<(Level, &str, &str), Vec<&str>> = BTreeMap::new();
    for finding in findings {
        groups.entry((finding.level, &finding.found, &finding.hint)).or_default().push(&finding.subject);
    }
    let mut refused = Vec::new();
    for ((level, found, hint), subjects) in groups {
        let subject = match subjects.as_slice() {
            [one] => (*one).to_owned(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
            [] => continue,
        };
        match level {
            Level::Fine => tracing::debug!(subject, found, "start-up check"),
            Level::Refuse if !is_dev => refused.push(format!("{subject}: {found} ({hint})")),
            Level::Refuse => tracing::warn!(subject, found, hint, "refused without --dev"),
            Level::Warn => tracing::warn!(subject, found, hint, "start-up check"),
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("the start-up check refuses:\n  {}", refused.join("\n  "));
    Err(Failure::new(Exit::Refused, message, "--dev starts all the same, for development only"))
}

fn refuse(subject: &str, found: &str, hint: &str) -> Finding {
    Finding { level: Level::Refuse, subject: subject.to_owned(), found: found.to_owned(), hint: hint.to_owned() }
}

fn is_loopback(server: &str) -> bool {
    let host = server.trim().rsplit_once(':').map_or(server, |(host, _)| host);
    host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Holds what Postgres knows of the topics that are read against what the cluster has.
async fn judge_offsets(
    admin: &Admin,
    console: &Console,
    options: &ServeOptions,
    needs: &[TopicNeed],
) -> Result<Vec<Finding>, Failure> {
    let known = console.balance().await?;
    let mut findings = Vec::new();
    for need in needs.iter().filter(|need| matches!(need.purpose, Purpose::Trigger | Purpose::Reply)) {
        // A missing topic is a finding of its own.
        let marks = admin.watermarks(&need.name).unwrap_or_default();
        let known: Vec<&Balance> = known.iter().filter(|balance| balance.partition.0 == need.name).collect();
        findings.extend(judge_unread(need, &known, &marks, options.from.is_some()));
        findings.extend(judge_known(need, &known, &marks));
    }
    Ok(findings)
}

/// A week of orders replayed by accident is worse than an error.
fn judge_unread(
    need: &TopicNeed,
    known: &[&Balance],
    marks: &[(i32, i64, i64)],
    is_told_where: bool,
) -> Option<Finding> {
    let records: i64 = marks.iter().map(|(_, low, high)| high - low).sum();
    let is_unread = need.purpose == Purpose::Trigger && known.is_empty() && records > 0 && !is_told_where;
    let hint = "say where to begin: --from earliest, latest or a time";
    is_unread
        .then(|| refuse(&format!("topic {}", need.name), &format!("holds {records} records and was never read"), hint))
}

/// A topic that lost partitions is another one. An offset outside its log stops its partition alone, and is said.
fn judge_known(need: &TopicNeed, known: &[&Balance], marks: &[(i32, i64, i64)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !marks.is_empty() && known.len() > marks.len() {
        let found = format!("has {} partitions, {} were read before", marks.len(), known.len());
        let hint = "it was made anew: give it the partitions that it had";
        findings.push(refuse(&format!("topic {}", need.name), &found, hint));
    }
    for balance in known {
        let number = balance.partition.1;
        let mark = marks.iter().find(|(partition, ..)| *partition == number);
        if let Some(found) = mark.and_then(|(_, low, high)| outside_log(balance.next_offset, *low, *high)) {
            findings.push(Finding {
                level: Level::Warn,
                subject: format!("partition {}/{number}", need.name),
                found,
                hint: "the topic was made anew or has lost records: sagabus topics seek restarts the partition"
                    .to_owned(),
            });
        }
    }
    findings
}

fn judge_postgres(settings: &Durability) -> Vec<Finding> {
    let mut findings = Vec::new();
    let durable = [
        ("fsync", settings.fsync),
        ("full_page_writes", settings.full_page_writes),
        ("synchronous_commit", settings.synchronous_commit),
    ];
    for (name, _) in durable.iter().filter(|(_, is_on)| !is_on) {
        findings.push(refuse("postgres", &format!("{name} is off"), "committed decisions could be lost: switch it on"));
    }
    if settings.in_recovery {
        findings.push(refuse("postgres", "it is a standby", "name the primary"));
    }
    if settings.version < 140_000 {
        findings.push(refuse("postgres", &format!("version {}", settings.version), "14 or newer is needed"));
    }
    let warn = |found: String, hint: &str| Finding {
        level: Level::Warn,
        subject: "postgres".to_owned(),
        found,
        hint: hint.to_owned(),
    };
    let now = wall_clock();
    let apart = now.millis_since(settings.now).max(settings.now.millis_since(now));
    if apart > CLOCK_DIFFERENCE_MS {
        findings.push(warn(format!("its clock differs by {apart} ms"), "timers go by the database's clock"));
    }
    if settings.may_change_journal {
        findings.push(warn(
            "the role may update or delete the journal".to_owned(),
            "give the application INSERT and SELECT only; retention run, as the owner of the tables, then makes and drops periods",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need() -> TopicNeed {
        TopicNeed { name: "orders".to_owned(), purpose: Purpose::Trigger }
    }

    fn read(partition: i32, next_offset: i64) -> Balance {
        let partition = ("orders".to_owned(), partition);
        Balance { partition, first_offset: 0, next_offset, gaps: 0, counts: [0; 7], stopped_because: None }
    }

    #[test]
    fn a_topic_that_holds_records_and_was_never_read_needs_a_word_where_to_begin() {
        let marks = [(0, 5, 9), (1, 0, 0)];
        assert_eq!(judge_unread(&need(), &[], &marks, false).unwrap().level, Level::Refuse);
        assert!(judge_unread(&need(), &[], &marks, true).is_none());
        assert!(judge_unread(&need(), &[&read(0, 5)], &marks, false).is_none());
        assert!(judge_unread(&need(), &[], &[(0, 7, 7)], false).is_none(), "it is empty");
    }

    #[test]
    fn a_topic_with_fewer_partitions_is_refused_and_one_with_more_is_fine() {
        let known = [&read(0, 5), &read(1, 5)];
        assert_eq!(judge_known(&need(), &known, &[(0, 0, 9)])[0].level, Level::Refuse);
        assert!(judge_known(&need(), &known, &[(0, 0, 9), (1, 0, 9), (2, 0, 9)]).is_empty());
    }

    #[test]
    fn an_offset_outside_its_log_is_said_and_refuses_nothing_since_its_partition_stops_alone() {
        for outside in [2, 10] {
            let findings = judge_known(&need(), &[&read(0, outside)], &[(0, 3, 9)]);
            assert_eq!((findings.len(), findings[0].level), (1, Level::Warn));
        }
        assert!(judge_known(&need(), &[&read(0, 9)], &[(0, 3, 9)]).is_empty(), "at its end");
    }
}
