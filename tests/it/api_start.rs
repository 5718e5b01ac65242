//! Sagas that are started over HTTP, on real Kafka and Postgres. Needs `scripts/services up`.

use sagabus::operations::{Places, Role};
use serde_json::json;

use super::api_bulk::ends;
use super::cli::code;
use super::remote::at_server;
use super::support::http::Answer;
use super::support::listening::Listening;
use super::support::served::{Served, bootstrap};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_is_started_once_for_its_business_key_and_other_data_are_refused() {
    let mut served = Served::start_with("api-start", &["--instance", "one"]).await;
    let name = served.name.clone();
    let listening = Listening::at(&Places {
        kafka: Some(bootstrap()),
        database_url: Some(served.databases[0].url.clone()),
        group: name.clone(),
        ..Places::default()
    })
    .await;
    let operator = listening.token("operator", Role::Operator, None).await;
    let start = async |token: &str, definition: &str, data: serde_json::Value| -> Answer {
        let body = json!({"definition": definition, "data": data}).to_string();
        listening.post(token, "/v1/sagas", &[], &body).await
    };
    let one = json!({"id": "order-1", "amount": 7});
    let started = start(&operator, &name, one.clone()).await;
    assert_eq!((started.status, &started.json()["outcome"]), (201, &"started".into()), "{started:?}");
    let id = started.json()["sagaId"].as_str().unwrap().to_owned();
    let path = started.header("location").unwrap().to_owned();
    assert_eq!(path, format!("/v1/sagas/{id}"));
    assert_eq!(listening.get(&operator, &path).await.json()["businessKey"], "order-1");
    let again = start(&operator, &name, one).await;
    assert_eq!((again.status, &again.json()["sagaId"]), (200, &id.as_str().into()), "{again:?}");
    ends("other data", &start(&operator, &name, json!({"id": "order-1", "amount": 8})).await, 409, "refused");
    ends("no key", &start(&operator, &name, json!({"amount": 8})).await, 400, "invalid_request");
    ends("nowhere", &start(&operator, "nowhere", json!({"id": "order-2"})).await, 404, "not_found");
    let other = listening.token("other", Role::Operator, Some(&["another"])).await;
    ends("another's", &start(&other, &name, json!({"id": "order-2"})).await, 404, "not_found");
    assert_eq!(served.count("SELECT count(*) FROM saga").await, 1);
    let told = "SELECT count(*) FROM audit WHERE who = 'token:operator' AND verb = 'start'";
    assert_eq!(served.count(told).await, 1);

    // At the console the same way, and waited for.
    let server = format!("http://{}", listening.address);
    let data = r#"{"id": "order-9"}"#;
    let words = ["start", &name, "--data", data, "--wait", "30s", "--output", "json"];
    let output = at_server(&server, &operator, &words).output().unwrap();
    let begun: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!((code(&output), &begun["phase"]), (0, &"completed".into()), "{output:?}");
    assert_eq!(begun["businessKey"], "order-9");

    // Without an engine it is published, and begins when there is one.
    served.engine.kill().unwrap();
    served.engine.wait().unwrap();
    let published = start(&operator, &name, json!({"id": "order-3"})).await;
    assert_eq!((published.status, &published.json()["outcome"]), (202, &"published".into()), "{published:?}");
    served.kill_and_start_again();
    served.until("it begins", || async { served.count("SELECT count(*) FROM saga").await == 3 }).await;
    let path = published.header("location").unwrap();
    assert_eq!(listening.get(&operator, path).await.json()["businessKey"], "order-3");
}
