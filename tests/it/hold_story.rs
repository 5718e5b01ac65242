//! A participant is held for a while on a real Postgres: at the console, straight and at a server, while an engine runs.

use sagabus::operations::Role;

use super::cli::{code, error, out, sagabus};
use super::story::{Story, ends};
use super::support::database::TestDatabase;
use super::support::participants::Behaviour;
use super::verify::Busy;

fn seen(story: &Story, step: &str) -> usize {
    story.busy.world.participants.seen.iter().filter(|command| &*command.step == step).count()
}

const WAITS: &str = "SELECT count(*) FROM saga WHERE wake_at > '8999-01-01'";
const ENDED: &str = "SELECT count(*) FROM saga WHERE finished_at IS NOT NULL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_participant_is_held_explained_and_released_and_nothing_of_it_was_sent_meanwhile() {
    let mut story = Story::begin(Busy::start("hold_story", Box::new(|_| Behaviour::Answers)).await).await;
    ends(&story.straight(&["hold", "list"]), 0, "HOLD");
    let hold = ["hold", "participant", "risk", "--reason", "maintenance", "--yes"];
    story.busy.turn().await;
    story
        .busy
        .database
        .run("UPDATE writer SET heeds_holds = false, heartbeat_at = heartbeat_at - interval '1 h'")
        .await;
    ends(&story.straight(&hold), 4, "an engine may run that does not know of holds");
    story.busy.database.run("UPDATE writer SET heeds_holds = true, heartbeat_at = clock_timestamp()").await;
    ends(&story.straight(&["hold", "participant", "risk", "--dry-run"]), 0, "would hold participant risk: in trade");
    ends(&story.at_server(Role::Viewer, &hold), 1, "this needs the role operator");
    ends(&story.straight(&hold), 0, "h1  held participant risk: in trade-settlement");
    ends(&story.at_server(Role::Operator, &hold), 4, "participant risk is held already");
    for (words, exit) in [
        (["hold", "participant", "nobody", "--dry-run"].as_slice(), 3),
        (&["hold", "step", "trade-settlement", "nothing", "--dry-run"], 3),
        (&["hold", "definition", "nothing", "--dry-run"], 3),
        (&["hold", "release", "h9", "--dry-run"], 3),
        (&["hold", "release", "9", "--dry-run"], 2),
    ] {
        let (straight, server) = (story.straight(words), story.at_server(Role::Operator, words));
        ends(&straight, exit, "");
        assert_eq!((code(&straight), error(&straight)), (code(&server), error(&server)), "{words:?}");
    }

    let former = "INSERT INTO writer (age, incarnation) VALUES (0, gen_random_uuid())";
    let mut connection = story.busy.database.connect().await;
    let refused = sqlx::raw_sql(former).execute(&mut connection).await.unwrap_err();
    assert!(refused.to_string().contains("something is held"), "{refused}");

    for key in ["k1", "k2"] {
        story.busy.trigger(key);
    }
    story.until_counted(WAITS, 2).await;
    assert_eq!((seen(&story, "clearing"), seen(&story, "risk")), (2, 0));
    let explained = story.straight(&["explain", "k1"]);
    ends(&explained, 0, "waiting for a person to release it");
    ends(&explained, 0, "holds participant risk (h1): maintenance; nothing of risk is sent");
    let listed = story.straight(&["hold", "list", "--time-format", "iso"]);
    ends(&listed, 0, "maintenance");
    let at_server = story.at_server(Role::Viewer, &["hold", "list", "--time-format", "iso"]);
    assert_eq!(out(&listed), out(&at_server), "{}", error(&at_server));
    // What waits for a person is not silent, and nothing else is wrong.
    ends(&story.straight(&["verify"]), 0, "");

    // Nothing is held where it is taken to.
    let lab = TestDatabase::migrated("hold_story_lab").await;
    let file = std::env::temp_dir().join(format!("sagabus-held-{}", std::process::id()));
    std::fs::write(
        &file,
        story.straight(&["replay", "export", "--where", "phase=running", "--reveal", "--reason", "lab"]).stdout,
    )
    .unwrap();
    ends(&sagabus(Some(&lab.url), &["replay", "import", file.to_str().unwrap()]), 0, "");
    std::fs::remove_file(file).unwrap();
    let due = "SELECT count(*) FROM saga WHERE wake_at <= clock_timestamp()";
    assert_eq!((lab.count(WAITS).await, lab.count(due).await), (0, 2));

    let release = ["hold", "release", "h1", "--reason", "it is over", "--yes"];
    ends(&story.at_server(Role::Operator, &release), 0, "h1  released participant risk");
    ends(&story.straight(&release), 3, "h1 is not in force");
    story.until_counted(ENDED, 2).await;
    assert_eq!(seen(&story, "risk"), 2);
    ends(&story.straight(&["verify"]), 0, "");
    ends(&story.straight(&["replay", "verify"]), 0, "");
    let told = "SELECT count(*) FROM audit WHERE target = 'participant risk' AND outcome = 'decided'";
    assert_eq!(story.busy.database.count(told).await, 2);
}
