//! Seeded defects: wrong turns that the tests must notice (`make defects`). Each is one mark `defect!("name")` where right code stands;
//! without the feature `seeded-defects` a mark is `false` and costs nothing. `tests/tidy.rs` checks that every name is marked once.

/// True when this seeded defect is the chosen one. The name must be listed in `ALL`, or the build fails.
macro_rules! defect {
    ($name:literal) => {
        crate::defects::is_chosen(const { crate::defects::place($name) })
    };
}

/// Every seeded defect: its name, and what goes wrong with it.
pub const ALL: [(&str, &str); 46] = [
    (
        "answer to an earlier attempt applied",
        "An answer is taken for the attempt that is outstanding, whichever it answers.",
    ),
    ("approval gone around", "A repair says yes where only an approval may."),
    ("approval gone around behind it", "A repair lets what comes after an approval begin before it is given."),
    (
        "batch forgotten before it is acknowledged",
        "The note of what is to be sent is deleted although the broker has said nothing.",
    ),
    ("catalogue not compared", "A batch commits that was decided with yesterday's definitions."),
    ("conflict ignored", "A participant that contradicts itself is not noticed."),
    ("conflicting trigger dropped", "A second trigger with other data moves the offset and is kept nowhere."),
    ("deadline not extended by progress", "A participant that says it is at work is asked again all the same."),
    ("due sagas never claimed", "Nobody wakes the sagas of an engine that died."),
    ("duplicate taken as new", "The same answer a second time counts as another one."),
    ("emit before commit", "Commands go out before their facts are safe."),
    ("failed taken as unknown", "A step that definitely failed is undone."),
    ("failures not counted", "A retryable failure is tried again without end."),
    ("give up blind", "A step is given up although answers wait to be read."),
    ("give up what was never delivered", "A command counts as unanswered although the broker never had it."),
    ("held step issued", "A command goes out although a person holds its step."),
    ("hold does not freeze patience", "Time passes for a step that a person holds."),
    ("join on any instead of all", "A step runs when one of its predecessors is done."),
    ("late success ignored", "A step that an operator failed succeeds after all, and stays done."),
    ("new attempt id on time-out", "Silence is taken for a failure: the effect may happen twice."),
    ("new attempt under the old id", "A second attempt has the id of the first one, and gets its answer."),
    ("no fence", "A writer that was taken over, or whose commits were lost, writes on."),
    ("no journal key", "Two writers write the same journal row."),
    ("no wake-up written", "Postgres does not know when a saga is due."),
    ("notice not withdrawn", "A saga that has turned waits on for what does not matter any more."),
    ("offset not compared", "A batch commits although another writer has judged its records."),
    ("parked record dropped", "A record that cannot be read moves the offset and is kept nowhere."),
    ("pause does not freeze patience", "Time passes for a saga that a person has paused."),
    ("pivot passed and still compensated", "A saga is undone although it may only go forward."),
    ("raced batch dropped", "A batch that lost a race is forgotten, with its records."),
    ("records in hand kept at a rebalance", "Records of a former start are judged at the offsets of the new one."),
    ("released sagas never claimed", "Nobody wakes what waited for a release, once its engine is dead."),
    ("reload changes running sagas", "A saga goes on with the newest definition instead of its own."),
    ("reply from a foreign topic applied", "An answer counts whoever may have written it."),
    ("retriable given up", "A step that is asked without end is given up."),
    ("seek behind the offset", "A partition is read from one record too far."),
    ("takeover sends nothing again", "What a dead writer had committed and not sent is never sent."),
    ("timer ahead of the database's clock", "A fast clock of the machine fires timers early."),
    ("two sagas for one business key", "A second trigger starts a second saga."),
    ("undo beside its dependant", "A step is undone while what depends on it still stands."),
    ("undo in forward order", "A step is undone before what depends on it."),
    ("undo tried without end", "An undo that fails is never at its end."),
    ("undo twice", "An undo that succeeded is followed by another one."),
    ("undo while a do is in flight", "A saga is undone although a command of it is unanswered."),
    ("unemitted batch not noted", "A crash behind a commit loses what was to be sent."),
    ("unknown taken as failed", "A step that is possibly done is not undone."),
];

/// The place of a name in `ALL`.
///
/// # Panics
/// It is not listed: at compile time, where marks ask.
pub const fn place(name: &str) -> usize {
    let mut place = 0;
    while place < ALL.len() {
        if is_same(ALL[place].0.as_bytes(), name.as_bytes()) {
            return place;
        }
        place += 1;
    }
    panic!("a seeded defect that is not listed")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(all(feature = "seeded-defects", not(debug_assertions)))]
compile_error!("seeded defects are for `make defects` alone: a release has none");

#[cfg(not(feature = "seeded-defects"))]
#[inline]
pub(crate) const fn is_chosen(_place: usize) -> bool {
    false
}

#[cfg(feature = "seeded-defects")]
static CHOSEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

#[cfg(feature = "seeded-defects")]
pub(crate) fn is_chosen(place: usize) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == place
}

/// From now on the whole process has this defect (`None`: no defect).
#[cfg(feature = "seeded-defects")]
pub fn choose(place: Option<usize>) {
    CHOSEN.store(place.unwrap_or(usize::MAX), std::sync::atomic::Ordering::Relaxed);
}
