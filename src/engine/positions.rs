//! Where this engine stands in each partition that it was given: Postgres's offsets, and what this batch adds to them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::core::{Partition, Verdict};
use crate::store::Advance;

/// The next offset of each partition in hand.
#[derive(Debug, Default)]
pub(super) struct Positions {
    next: FxHashMap<Partition, i64>,
}

impl Positions {
    /// Takes over what Postgres says.
    pub(super) fn set(&mut self, partition: Partition, next: i64) {
        self.next.insert(partition, next);
    }

    /// The next offset that is expected, if the partition is in hand.
    pub(super) fn next(&self, partition: &Partition) -> Option<i64> {
        self.next.get(partition).copied()
    }

    /// Forgets a partition.
    pub(super) fn remove(&mut self, partition: &Partition) {
        self.next.remove(partition);
    }

    /// Forgets all partitions.
    pub(super) fn clear(&mut self) {
        self.next.clear();
    }

    /// What the statement moved.
    pub(super) fn advanced(&mut self, advances: &[Advance]) {
        for advance in advances {
            self.next.insert((Arc::clone(&advance.topic), advance.partition), advance.to);
        }
    }
}

/// The offsets that one batch moves, with a count for each verdict. Offsets that hold no record (transaction markers, compacted
/// or expired ones) are gaps.
#[derive(Debug, Default)]
pub(super) struct Moves {
    moves: FxHashMap<Partition, Advance>,
}

impl Moves {
    /// Counts a record at `offset`, whose partition stood at `from` before this batch.
    pub(super) fn record(&mut self, partition: &Partition, from: i64, offset: i64, verdict: Verdict) {
        let advance = self.at(partition, from);
        assert!(offset >= advance.to, "records in hand lie behind where their partition stands, in order");
        advance.gaps += offset - advance.to;
        advance.to = offset + 1;
        let place = Verdict::ALL.iter().position(|other| *other == verdict).expect("every verdict is listed");
        advance.counts[place] += 1;
    }

    /// Moves to the partition's end: what lies before it holds no record.
    pub(super) fn end(&mut self, partition: &Partition, from: i64, end: i64) {
        let advance = self.at(partition, from);
        if end > advance.to {
            advance.gaps += end - advance.to;
            advance.to = end;
        }
    }

    fn at(&mut self, partition: &Partition, from: i64) -> &mut Advance {
        self.moves.entry(partition.clone()).or_insert_with(|| Advance {
            topic: Arc::clone(&partition.0),
            partition: partition.1,
            from,
            to: from,
            gaps: 0,
            counts: [0; 7],
        })
    }

    /// The moves, for the statement.
    pub(super) fn into_advances(self) -> Vec<Advance> {
        self.moves.into_values().filter(|advance| advance.to > advance.from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gaps_balance_against_the_offsets() {
        let partition: Partition = (Arc::from("orders"), 0);
        let mut moves = Moves::default();
        moves.record(&partition, 5, 7, Verdict::Applied);
        moves.record(&partition, 5, 8, Verdict::Orphan);
        moves.end(&partition, 5, 10);
        let advances = moves.into_advances();
        let advance = &advances[0];
        assert_eq!((advance.from, advance.to, advance.gaps), (5, 10, 3));
        assert_eq!(advance.to - advance.from, advance.counts.iter().sum::<i64>() + advance.gaps);
    }
}
