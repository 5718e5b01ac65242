//! Your business code: what a command of step clearing does, and how that is undone.
//!
//! It runs inside the transaction that also stores the answer, at most once in effect for each command id: write through `transaction`
//! only, and do not commit. An error means that the outcome is not known: everything is rolled back, and the command comes again. A
//! failure is definite: nothing was done and nothing ever will be under this command id.

use sagabus::core::{Action, Json};
use sagabus::participant::{Done, Handler};
use sagabus::wire::Received;
use serde_json::json;
use sqlx::PgConnection;

/// What this service does.
#[derive(Debug)]
pub struct Business;

impl Handler for Business {
    fn handles(&self, command: &Received) -> bool {
        matches!(
            (command.action, &*command.kind),
            (Action::Do, "clearing.book") | (Action::Undo, "clearing.cancel")
        )
    }

    async fn handle(
        &mut self,
        transaction: &mut PgConnection,
        command: &Received,
    ) -> Result<Done, sqlx::Error> {
        match command.action {
            Action::Do => perform(transaction, command).await,
            Action::Undo => undo(transaction, command).await,
        }
    }
}

async fn perform(transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
    let data: serde_json::Value =
        serde_json::from_str(command.data.get()).expect("a command's data are JSON");
    if data["refuse"] == true {
        // As an example: your rules come here.
        return Ok(Done::Failure {
            code: "REFUSED",
            message: "the data ask to be refused".to_owned(),
            retryable: false,
        });
    }
    sqlx::query(
        "INSERT INTO effect (command_id, saga_id, step, data) VALUES ($1, $2, $3, $4::jsonb)",
    )
    .bind(command.id)
    .bind(command.saga_id)
    .bind(&*command.step)
    .bind(command.data.get())
    .execute(transaction)
    .await?;
    Ok(success(&json!({"effectId": command.id.to_string()})))
}

/// Undoes whichever attempt had an effect: found by saga and step, since an undo has an id of its own.
async fn undo(transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
    sqlx::query("DELETE FROM effect WHERE saga_id = $1 AND step = $2")
        .bind(command.saga_id)
        .bind(&*command.step)
        .execute(transaction)
        .await?;
    Ok(success(&json!({})))
}

fn success(data: &serde_json::Value) -> Done {
    Done::Success(Json::parse(data.to_string().as_bytes()).expect("serde_json writes JSON"))
}
