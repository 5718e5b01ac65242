//! What an input does to a saga, as facts. One file an input; this one only delegates.

use super::definition::{Definition, Render};

/// What the rules need to know of a definition: its steps, and the seam that renders its data.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The checked definition that the saga is pinned to.
    pub definition: &'a Definition,
    /// Its expressions and schemas.
    pub render: &'a dyn Render,
}
