//! The start-up check (RELIABILITY.md section 2.4): closed by default, printed once, relaxed loudly by `--dev`.

use std::collections::BTreeMap;

use crate::bus::{Admin, Finding, Level, Purpose, TopicNeed, judge_topics};
use crate::engine::wall_clock;
use crate::store::{Console, Durability};

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
    findings.extend(unread_triggers(&admin, console, options, needs).await?);
    findings.extend(judge_postgres(&console.durability().await?));
    if settings.is_plaintext() && !options.allow_plaintext && !settings.bootstrap.split(',').all(is_loopback) {
        let hint = "set security.protocol=ssl or sasl_ssl, or say --allow-plaintext";
        findings.push(refuse("kafka", "records travel unencrypted beyond this machine", hint));
    }
    if options.listen.is_some_and(|address| !address.ip().is_loopback()) {
        findings.push(refuse("listen", "no authentication on an address that is not loopback", "listen on 127.0.0.1"));
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

/// A week of orders replayed by accident is worse than an error.
async fn unread_triggers(
    admin: &Admin,
    console: &Console,
    options: &ServeOptions,
    needs: &[TopicNeed],
) -> Result<Vec<Finding>, Failure> {
    let known = console.balance().await?;
    let mut findings = Vec::new();
    for need in needs.iter().filter(|need| need.purpose == Purpose::Trigger) {
        let is_known = known.iter().any(|balance| balance.partition.0 == need.name);
        // A missing topic is a finding of its own.
        let marks = admin.watermarks(&need.name).unwrap_or_default();
        let records: i64 = marks.iter().map(|(_, low, high)| high - low).sum();
        if !is_known && records > 0 && options.from.is_none() {
            let subject = format!("topic {}", need.name);
            let hint = "say where to begin: --from earliest, latest or a time";
            findings.push(refuse(&subject, &format!("holds {records} records and was never read"), hint));
        }
        for (number, low, high) in marks {
            let stands = known
                .iter()
                .find(|balance| balance.partition == (need.name.clone(), number))
                .map(|balance| balance.next_offset);
            if let Some(next) = stands.filter(|next| !(low..=high).contains(next)) {
                let found = format!("offset {next} is outside the log, which holds {low} to {high}");
                let hint = "the topic was made anew or has lost records: sagabus topics seek restarts the partition";
                findings.push(refuse(&format!("partition {}/{number}", need.name), &found, hint));
            }
        }
    }
    Ok(findings)
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
            "give the application INSERT and SELECT only",
        ));
    }
    findings
}
