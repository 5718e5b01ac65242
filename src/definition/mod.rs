//! A definition file becomes a checked definition: YAML, expressions, schemas, lint.
