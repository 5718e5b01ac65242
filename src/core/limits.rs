//! Every limit in one place, each with its source. A limit is part of the contract: inputs over it are refused, never cut.

/// Records handled by one batch at most. 500 rows commit in 7 to 24 ms on two shared cores (BATCH.md); four times that keeps a
/// backlog flowing while a statement stays far below `statement_timeout`.
pub const BATCH_RECORDS: usize = 2_000;
/// Bytes of the records of one batch, about: 2,000 records of 8 KiB. The statement carries them again as facts or parked messages.
pub const BATCH_BYTES: usize = 16 * 1_024 * 1_024;
/// Bytes of a record's value, and of a rendered command: Kafka's default `max.message.bytes`.
pub const VALUE_BYTES: usize = 1_048_576;
/// Headers that a record may have (RELIABILITY.md E10).
pub const HEADERS: usize = 64;
/// Bytes of all header names and values of a record together (E10).
pub const HEADER_BYTES: usize = 16_384;
/// Bytes of a record's key and of a business key (E3).
pub const KEY_BYTES: usize = 1_024;
/// Bytes of an id or an error code from outside: `[A-Za-z0-9._:-]{1,128}` (E10).
pub const ID_BYTES: usize = 128;
/// Nesting of foreign JSON (E3).
pub const JSON_DEPTH: usize = 64;
/// Values in one foreign JSON document (E3): a tree of them costs up to 98 times its text.
pub const JSON_NODES: usize = 10_000;
/// Digits of a number in foreign JSON (E3).
pub const NUMBER_DIGITS: usize = 34;
/// Bytes of a parked record that are kept (E2).
pub const PARKED_BYTES: usize = 4_096;
/// Bytes of an expression's text.
pub const EXPRESSION_BYTES: usize = 1_024;
/// Bytes of a definition file, and of each schema that it names (RELIABILITY.md section 3 G): 500 steps of 500 bytes. Reading one with
/// the places of its values takes about 0.2 us a byte.
pub const DEFINITION_BYTES: usize = 262_144;
/// Operators and calls of an expression, and its dots: CEL calls itself for each that stands in another, and 64 in a chain overflowed a
/// stack of 2 MiB in a build that is not optimized.
pub const EXPRESSION_OPERATORS: usize = 32;
/// See `EXPRESSION_OPERATORS`.
pub const EXPRESSION_DOTS: usize = 64;
/// Brackets within brackets of an expression, for the same reason: at 16 CEL's parser needed 2.8 MiB.
pub const EXPRESSION_DEPTH: usize = 10;
/// What an expression's loops may cost, in values that are copied: each turn copies whatever it reads of the trigger and of replies, 64
/// bytes of text counting as a value. Meanwhile all other sagas of the engine wait.
pub const EXPRESSION_WORK: usize = 4_000_000;
/// Mistakes of one definition file that are said at once: more would not be read.
pub const FINDINGS: usize = 100;
/// Steps of a definition (G).
pub const STEPS: usize = 500;
/// Steps on the longest path of a definition (G).
pub const DEPTH: usize = 200;
/// Direct successors, or predecessors, of one step (G).
pub const FAN_OUT: usize = 200;
/// Places in payloads that a definition masks: each is looked for in every payload that is shown.
pub const MASKED_PLACES: usize = 100;
/// Contradictions that are kept of one command; more of them are counted, and say nothing new.
pub const CONTRADICTIONS: usize = 4;
/// A saga that has ended is kept for this long at least, in milliseconds; `remove_sagas` (migration 0010) holds to the same.
pub const KEEP_MIN_MS: u64 = 86_400_000;
/// A saga that began this long ago, in milliseconds, may have been removed since it was read, so the statement that writes for it looks
/// whether it is there. Half of `KEEP_MIN_MS`: clocks may differ by the other half.
pub const AGED_MS: u64 = KEEP_MIN_MS / 2;
/// How far beyond the issued attempts a reply's command id is searched: evidence of lost commits (CONTRACT.md section 3).
pub const LOST_ATTEMPTS: u16 = 32;
