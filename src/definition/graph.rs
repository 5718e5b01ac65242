//! The steps as a graph: order, ancestors, and the rules about who may fail where. Iterative throughout: a chain of 10,000 steps
//! is refused, never a full stack.

use std::collections::HashMap;

use crate::core::{StepIx, StepKind, limits};

/// The graph of a definition's steps, by place.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) after: Vec<Vec<usize>>,
    pub(super) before: Vec<Vec<usize>>,
    /// All steps, each after its predecessors; shorter than the number of steps when there is a cycle.
    pub(super) order: Vec<usize>,
}

/// A rule that a step breaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) step: usize,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl Graph {
    /// The graph of these predecessors.
    pub(super) fn new(after: Vec<Vec<usize>>) -> Self {
        let mut before = vec![Vec::new(); after.len()];
        let mut waiting: Vec<usize> = after.iter().map(Vec::len).collect();
        for (step, predecessors) in after.iter().enumerate() {
            predecessors.iter().for_each(|predecessor| before[*predecessor].push(step));
        }
        let mut order: Vec<usize> = (0..after.len()).filter(|step| waiting[*step] == 0).collect();
        let mut next = 0;
        while next < order.len() {
            for successor in &before[order[next]] {
                waiting[*successor] -= 1;
                if waiting[*successor] == 0 {
                    order.push(*successor);
                }
            }
            next += 1;
        }
        Self { after, before, order }
    }

    /// Steps that are too many, too deep or too wide.
    pub(super) fn over_limits(&self, names: &[String]) -> Vec<Broken> {
        let mut broken = Vec::new();
        if self.after.len() > limits::STEPS {
            let message = format!("{} steps, at most {} are allowed", self.after.len(), limits::STEPS);
            broken.push(Broken { step: limits::STEPS, message, hint: "split the saga into several" });
        }
        let mut depth = vec![1_usize; self.after.len()];
        for step in &self.order {
            depth[*step] = self.after[*step].iter().map(|before| depth[*before] + 1).max().unwrap_or(1);
        }
        if let Some(step) = (0..depth.len()).find(|step| depth[*step] > limits::DEPTH) {
            let message = format!(
                "step {} stands behind {} others, at most {} are allowed",
                names[step],
                depth[step] - 1,
                limits::DEPTH - 1
            );
            broken.push(Broken { step, message, hint: "shorten the chain" });
        }
        let wide =
            |step: &usize| self.before[*step].len() > limits::FAN_OUT || self.after[*step].len() > limits::FAN_OUT;
        if let Some(step) = (0..self.after.len()).find(wide) {
            let count = self.before[step].len().max(self.after[step].len());
            let message = format!(
                "step {} has {count} direct neighbours on one side, at most {} are allowed",
                names[step],
                limits::FAN_OUT
            );
            broken.push(Broken { step, message, hint: "put a step between them" });
        }
        broken
    }

    /// The steps of one cycle, in order, when there is one.
    pub(super) fn cycle(&self) -> Option<Vec<usize>> {
        let mut in_order = vec![false; self.after.len()];
        self.order.iter().for_each(|step| in_order[*step] = true);
        let mut at = (0..self.after.len()).find(|step| !in_order[*step])?;
        let mut seen = HashMap::new();
        let mut walk = Vec::new();
        // Every step that is not in the order has such a predecessor, so the walk comes back on itself.
        while !seen.contains_key(&at) {
            seen.insert(at, walk.len());
            walk.push(at);
            at = *self.after[at].iter().find(|before| !in_order[**before])?;
        }
        let mut cycle = walk.split_off(seen[&at]);
        cycle.reverse();
        Some(cycle)
    }

    /// This graph without the edge that closes the cycle.
    pub(super) fn without_edges_between(mut self, cycle: &[usize]) -> Self {
        let (first, last) = (cycle[0], cycle[cycle.len() - 1]);
        self.after[first].retain(|before| *before != last);
        Self::new(self.after)
    }

    /// For each step, true for each step that it comes after, directly or not.
    pub(super) fn ancestors(&self) -> Vec<Vec<bool>> {
        let mut found = vec![vec![false; self.after.len()]; self.after.len()];
        for step in &self.order {
            let mut own = std::mem::take(&mut found[*step]);
            for before in &self.after[*step] {
                own[*before] = true;
                own.iter_mut().zip(&found[*before]).for_each(|(own, inherited)| *own |= inherited);
            }
            found[*step] = own;
        }
        found
    }

    /// True for each step that has a pivot among its ancestors.
    pub(super) fn behind_pivot(&self, kinds: &[StepKind]) -> Vec<bool> {
        let mut behind = vec![false; kinds.len()];
        for step in &self.order {
            behind[*step] = self.after[*step].iter().any(|before| behind[*before] || kinds[*before] == StepKind::Pivot);
        }
        behind
    }

    /// Who may fail where: once a pivot has succeeded, nothing may fail any more.
    pub(super) fn failing(&self, kinds: &[StepKind], names: &[String], ancestors: &[Vec<bool>]) -> Vec<Broken> {
        let pivots: Vec<usize> = (0..kinds.len()).filter(|step| kinds[*step] == StepKind::Pivot).collect();
        let above: Vec<&Vec<bool>> = pivots.iter().map(|pivot| &ancestors[*pivot]).collect();
        let mut broken = Vec::new();
        for (step, kind) in kinds.iter().enumerate() {
            match kind {
                StepKind::Retriable => {}
                StepKind::Pivot => {
                    let unrelated = pivots
                        .iter()
                        .zip(&above)
                        .find(|(other, above)| **other < step && !above[step] && !ancestors[step][**other]);
                    if let Some((other, _)) = unrelated {
                        let message = format!("pivot {} is not on the path of pivot {}", names[step], names[*other]);
                        broken.push(Broken {
                            step,
                            message,
                            hint: "one could fail after the other has succeeded: put one after the other",
                        });
                    }
                }
                StepKind::Compensatable | StepKind::ReadOnly => {
                    if let Some((pivot, _)) = pivots.iter().zip(&above).find(|(_, ancestors)| !ancestors[step]) {
                        let message =
                            format!("step {} can fail, and is not before pivot {}", names[step], names[*pivot]);
                        let hint = "it could fail after the pivot has succeeded: put the pivot after it, or make it kind: retriable";
                        broken.push(Broken { step, message, hint });
                    }
                }
            }
        }
        broken
    }
}

/// Places as the rules know them.
pub(super) fn places(steps: &[usize]) -> Vec<StepIx> {
    steps.iter().map(|step| StepIx(u16::try_from(*step).expect("at most 500 steps"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_named_in_order() {
        let graph = Graph::new(vec![vec![], vec![3], vec![1], vec![2, 0]]);
        let cycle = graph.cycle().unwrap();
        assert_eq!(cycle.len(), 3);
        assert!(cycle.iter().zip(cycle.iter().cycle().skip(1)).all(|(step, next)| graph.after[*next].contains(step)));
    }

    #[test]
    fn ten_thousand_steps_in_a_chain_are_refused_without_a_full_stack() {
        let after = (0..10_000_usize).map(|step| step.checked_sub(1).into_iter().collect()).collect();
        let names: Vec<String> = (0..10_000).map(|step| format!("s{step}")).collect();
        assert_eq!(Graph::new(after).over_limits(&names).len(), 2);
    }
}
