//! What the bench found.

use std::fmt::Write as _;

use crate::bench::{Capacity, Model, Report, Share, Suite};

use super::{lines, table};

/// Every load in a line, and what each engine holds.
pub fn suite(suite: &Suite) -> String {
    let mut rows = table(&["ENGINE", "HOLDS SAGAS/S", "P99 MS", "CPU S/1,000"]);
    for Capacity { engine, sagas_per_second, report, .. } in &suite.capacities {
        let figure = |figure: fn(&Report) -> f64, digits: usize| {
            report.as_ref().map_or_else(|| "-".to_owned(), |report| format!("{:.digits$}", figure(report)))
        };
        let p99 = figure(|report| report.latency_p99_ms, 0);
        rows.add_row([(*engine).to_owned(), format!("{sagas_per_second:.0}"), p99, figure(Report::all_cpu, 3)]);
    }
    let mut text = lines(&rows);
    if let [ours, naive] = suite.capacities.as_slice() {
        let gain = ours.sagas_per_second / naive.sagas_per_second.max(1.0);
        _ = writeln!(text, "{gain:.1} times the textbook design\n");
    }
    text += &loads(suite.loads.iter().chain(&suite.cases));
    text += "\n";
    text += &widths(&suite.widths);
    if let Some(model) = &suite.model {
        text += "\n";
        text += &shares(model);
    }
    let (before, after) = (suite.machine_before, suite.machine_after);
    _ = writeln!(
        text,
        "\nmachine: {:.0} then {:.0} MiB/s of SHA-256, a page on the disk in {:.2} then {:.2} ms",
        before.digest_mib_per_second, after.digest_mib_per_second, before.sync_ms, after.sync_ms
    );
    if suite.has_drifted {
        text += "NOT COMPARABLE: the machine gave a fifth more or less at the end than at the beginning\n";
    }
    text
}

/// All that systems of several widths can do.
fn widths(reports: &[Report]) -> String {
    let mut rows = table(&[
        "ENGINES",
        "PARTITIONS",
        "SAGAS/S",
        "ENGINE",
        "SERVICES",
        "POSTGRES",
        "BROKER",
        "ALL",
        "COMMITS/1,000",
    ]);
    for report in reports {
        let cpu =
            [report.engine_cpu, report.participants_cpu, report.postgres_cpu, report.broker_cpu, report.all_cpu()];
        let mut row =
            vec![report.engines.to_string(), report.partitions.to_string(), format!("{:.0}", report.sagas_per_second)];
        row.extend(cpu.map(|seconds| format!("{seconds:.3}")));
        row.push(format!("{:.0}", report.transactions_per_thousand));
        rows.add_row(row);
    }
    lines(&rows)
}

/// What each group of processes spends for a saga, and for a commit.
fn shares(model: &Model) -> String {
    let mut rows = table(&["MODEL", "CPU S/1,000 SAGAS", "CPU MS/COMMIT", "OFF BY"]);
    let groups = [
        ("engine", model.engine),
        ("services", model.participants),
        ("postgres", model.postgres),
        ("broker", model.broker),
    ];
    for (name, Share { seconds_per_thousand_sagas, millis_per_commit, error_percent }) in groups {
        let figures = [
            format!("{seconds_per_thousand_sagas:.3}"),
            format!("{millis_per_commit:.2}"),
            format!("{error_percent:.0} %"),
        ];
        rows.add_row([name.to_owned()].into_iter().chain(figures));
    }
    lines(&rows)
}

fn loads<'a>(reports: impl Iterator<Item = &'a Report>) -> String {
    let mut rows = table(&[
        "CASE", "OFFERED", "SAGAS/S", "P50 MS", "P99", "MAX", "ENGINE", "SERVICES", "POSTGRES", "BROKER", "ALL",
        "WAL B", "RSS MIB",
    ]);
    for report in reports {
        let cpu = |seconds: f64| format!("{seconds:.3}");
        rows.add_row([
            report.case.to_owned(),
            report.offered_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}")),
            format!("{:.0}{}", report.sagas_per_second, if report.is_hopeless { " behind" } else { "" }),
            format!("{:.0}", report.latency_p50_ms),
            format!("{:.0}", report.latency_p99_ms),
            format!("{:.0}", report.latency_max_ms),
            cpu(report.engine_cpu),
            cpu(report.participants_cpu),
            cpu(report.postgres_cpu),
            cpu(report.broker_cpu),
            cpu(report.all_cpu()),
            format!("{:.0}", report.wal_bytes_per_saga),
            (report.engine_resident_bytes / 1_048_576).to_string(),
        ]);
    }
    lines(&rows)
}
