//! The report as JUnit's XML, for CI servers.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Suites, TestCase, TestCaseStatus, TestSuite};

use super::report::{Report, Row, Verdict};

/// One suite, a test case for each case.
pub(super) fn xml(report: &Report) -> String {
    let mut suite = TestSuite::new(format!("participant on {}", report.command_topic));
    suite.add_test_cases(report.cases.iter().map(case));
    let mut suites = Suites::new("sagabus participant test");
    suites.add_test_suite(suite);
    suites.to_string().expect("a report is text")
}

fn case(row: &Row) -> TestCase {
    let status = match row.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(row.hints.join(" "));
            status
        }
        Verdict::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(row.wrong.join("; "));
            let (sent, required, came, hints) = (row.sent, row.required, &row.came, row.hints.join("\n"));
            status.set_description(format!("sent: {sent}\nrequired: {required}\ncame: {came}\n{hints}"));
            status
        }
    };
    let mut case = TestCase::new(format!("{:02} {}", row.case, row.name), status);
    case.set_time(Duration::from_millis(row.millis));
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_was_sent_and_its_text_is_escaped() {
        let row = |verdict, wrong: &str| Row {
            case: 2,
            name: "duplicate do",
            sent: "do",
            required: "one <effect>",
            came: "\"two\" & more".to_owned(),
            verdict,
            wrong: vec![wrong.to_owned()],
            hints: vec!["store it".to_owned()],
            notes: Vec::new(),
            millis: 1_500,
        };
        let report = Report {
            command_topic: "c".to_owned(),
            reply_topic: "r".to_owned(),
            step: "s".to_owned(),
            effects_counted: false,
            cases: vec![row(Verdict::Failed, "then <other>"), row(Verdict::Skipped, ""), row(Verdict::Passed, "")],
        };
        let xml = xml(&report);
        for part in [
            "failures=\"1\"",
            "skipped=\"1\"",
            "tests=\"3\"",
            "then &lt;other&gt;",
            "required: one &lt;effect&gt;",
            "time=\"1.500\"",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
    }
}
