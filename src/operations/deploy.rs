//! Definition files into Postgres.

use crate::definition::{Compiled, Source};
use crate::store::{Console, DefinitionRow, Deployed};

use super::failure::Failure;

/// Deploys definitions, all or none, and says what became of each.
///
/// # Errors
/// The same version of one is active with other content (unless `replaces`), or the database does not answer.
pub(super) async fn deploy(console: &Console, found: &[(Source, Compiled)], replaces: bool) -> Result<(), Failure> {
    let rows: Vec<DefinitionRow> = found.iter().map(|(source, compiled)| row_of(source, compiled)).collect();
    let deployment = console.deploy(&rows, replaces).await?;
    for ((_, compiled), outcome) in found.iter().zip(deployment.outcomes) {
        let (name, version) = (&compiled.definition().name, compiled.definition().version);
        match outcome {
            Deployed::Activated => {
                tracing::info!(%name, version, generation = deployment.generation, "definition active")
            }
            Deployed::Unchanged => tracing::debug!(%name, version, "definition unchanged"),
            Deployed::Older => tracing::warn!(%name, version, "definition skipped, a newer version is active"),
        }
    }
    Ok(())
}

fn row_of(source: &Source, compiled: &Compiled) -> DefinitionRow {
    let definition = compiled.definition();
    DefinitionRow {
        hash: definition.hash,
        name: definition.name.clone(),
        version: definition.version,
        body: source.body(),
    }
}
