//! Definition files into Postgres.

use std::path::Path;

use crate::definition::{Compiled, Source, read_folder};
use crate::store::{Console, DefinitionRow, Deployed};

use super::failure::Failure;

/// Deploys a folder's definitions, all or none. Returns them with what became of each.
///
/// # Errors
/// Any of them is wrong, or the same version is active with other content (unless `replaces`), or the database does not answer.
pub async fn deploy_folder(
    console: &Console,
    folder: &Path,
    replaces: bool,
) -> Result<Vec<(Compiled, Deployed)>, Failure> {
    deploy(console, read_folder(folder)?, replaces).await
}

/// Deploys definitions that are read already, as `deploy_folder`.
pub(super) async fn deploy(
    console: &Console,
    found: Vec<(Source, Compiled)>,
    replaces: bool,
) -> Result<Vec<(Compiled, Deployed)>, Failure> {
    let rows: Vec<DefinitionRow> = found.iter().map(|(source, compiled)| row_of(source, compiled)).collect();
    let deployment = console.deploy(&rows, replaces).await?;
    let outcomes: Vec<(Compiled, Deployed)> =
        found.into_iter().map(|(_, compiled)| compiled).zip(deployment.outcomes).collect();
    for (compiled, outcome) in &outcomes {
        let (name, version) = (&compiled.definition().name, compiled.definition().version);
        match outcome {
            Deployed::Activated => {
                tracing::info!(%name, version, generation = deployment.generation, "definition active")
            }
            Deployed::Unchanged => tracing::debug!(%name, version, "definition unchanged"),
            Deployed::Older => tracing::warn!(%name, version, "definition skipped, a newer version is active"),
        }
    }
    Ok(outcomes)
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
