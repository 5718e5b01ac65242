//! The rules of a job, pure: what may be applied and by whom, which items go now, when it waits for a person, how it ends.
//!
//! ```text
//! planned -> applying <-> paused          a person applies, pauses, resumes; too many errors pause
//!                 |-> done | partial      when every item is decided
//! planned, applying, paused -> cancelled  at a person's word; planned -> expired after an hour
//! ```

use uuid::Uuid;

use crate::core::Timestamp;
use crate::store::{LeasedJob, PlanProgress, PlanRow, PlanState};

/// Actions that are asked for and not decided yet, of one job: as many as an engine takes into one batch. A job that is faster than
/// the engines waits here, and a person's own action does not wait behind it for long.
const UNDECIDED_MAX: u32 = 500;
/// What the rate let go and nobody released is caught up for this long: a job that stood still does not begin with a burst.
const CATCH_UP_MS: i64 = 1_000;
/// Errors are counted in percent from so many outcomes on.
const COUNTED_FROM: u32 = 20;
/// A job that is ramped up goes in waves of so many items, then in waves of the last of these.
const WAVES: [u32; 9] = [1, 2, 5, 10, 25, 50, 100, 250, 500];

/// Items a time, as a person says it: `20/s`, `300/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    every_micros: i64,
}

impl Rate {
    /// What is said when nothing is.
    pub const DEFAULT: &'static str = "20/s";

    /// Reads `20/s`, `300/m` or `1000/h`.
    ///
    /// # Errors
    /// It is none of these, or more than 1,000 a second: for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let said = || format!("{text} is not a rate: say 20/s, 300/m or 1000/h");
        let (count, unit) = text.split_once('/').ok_or_else(said)?;
        let unit_micros = match unit {
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000_i64,
            _ => return Err(said()),
        };
        let count: u32 = count.parse().ok().filter(|count| *count > 0).ok_or_else(said)?;
        if i64::from(count) * 1_000 > unit_micros {
            return Err(format!("{text} is more than 1,000 a second"));
        }
        // Rounded up: never faster than was said.
        Ok(Self { every_micros: (unit_micros + i64::from(count) - 1) / i64::from(count) })
    }

    /// How many items may go at `now`, and when the next one may.
    pub(super) fn due(self, next_at: Timestamp, now: Timestamp, at_most: u32) -> (u32, Timestamp) {
        let from = next_at.micros().max(now.micros() - CATCH_UP_MS * 1_000);
        if from > now.micros() {
            return (0, next_at);
        }
        let due = (now.micros() - from) / self.every_micros + 1;
        let count = u32::try_from(due).unwrap_or(u32::MAX).min(at_most);
        (count, Timestamp::from_micros(from + i64::from(count) * self.every_micros))
    }
}

/// What a worker does next with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Nothing may go yet.
    Wait,
    /// Asks for the actions of the next items.
    Release {
        /// How many.
        count: u32,
        /// No item goes earlier after them.
        next_at: Timestamp,
    },
    /// Waits for a person.
    Pause(String),
    /// Every item is decided.
    End(PlanState),
}

/// What to do next with a job as it stands at its `now`.
pub(super) fn next_move(job: &LeasedJob) -> Move {
    let total = job.pace.items_max.map_or(job.eligible, |most| most.min(job.eligible));
    let (decided, errors) = (decided(&job.progress), errors(&job.progress));
    if decided >= total {
        let is_whole = job.progress.refused + job.progress.failed == 0;
        return Move::End(if is_whole { PlanState::Done } else { PlanState::Partial });
    }
    if let Some(why) = is_too_bad(job, decided, errors) {
        return Move::Pause(why);
    }
    let rate = match Rate::parse(&job.pace.rate) {
        Ok(rate) => rate,
        Err(why) => return Move::Pause(why),
    };
    let undecided = job.released.saturating_sub(decided);
    let open = if job.pace.ramp { total.min(ramped(decided)) } else { total };
    let at_most = open.saturating_sub(job.released).min(UNDECIDED_MAX.saturating_sub(undecided));
    match rate.due(job.next_at, job.now, at_most) {
        (0, _) => Move::Wait,
        (count, next_at) => Move::Release { count, next_at },
    }
}

fn decided(progress: &PlanProgress) -> u32 {
    progress.applied + progress.refused + progress.failed
}

/// What went wrong: refused, failed, or carried out and stuck again.
fn errors(progress: &PlanProgress) -> u32 {
    progress.refused + progress.failed + progress.stuck_again
}

/// Why the job should wait for a person, counted from when one last let it go on.
fn is_too_bad(job: &LeasedJob, decided: u32, errors: u32) -> Option<String> {
    let percent = job.pace.stop_percent?;
    let (decided, errors) = (decided.saturating_sub(job.forgiven.0), errors.saturating_sub(job.forgiven.1));
    let is_bad = decided >= COUNTED_FROM && u64::from(errors) * 100 > u64::from(percent) * u64::from(decided);
    is_bad.then(|| format!("{errors} of {decided} went wrong, more than {percent} percent"))
}

/// How many items may be released in all while so many are decided: a wave waits until those before it are.
fn ramped(decided: u32) -> u32 {
    let last = WAVES[WAVES.len() - 1];
    let mut end = 0;
    for wave in WAVES.into_iter().chain(std::iter::repeat(last)) {
        end += wave;
        if end > decided {
            break;
        }
    }
    end
}

/// The id of the action on one saga of a plan: derived, so that it can be asked for once only, whoever asks, and however often.
pub(super) fn operation_id(plan: i64, saga: Uuid) -> Uuid {
    Uuid::new_v5(&saga, format!("plan {plan}").as_bytes())
}

/// Whether `who` may make a job of the plan.
///
/// # Errors
/// Why not, for people.
pub(super) fn may_apply(plan: &PlanRow, who: &str) -> Result<(), String> {
    match plan.state {
        PlanState::Planned if plan.eligible == 0 => Err("no saga of it is eligible".to_owned()),
        PlanState::Planned if plan.needs_second && plan.planned_by == who => {
            Err(format!("{who} planned it, and so many sagas need a second person to apply it"))
        }
        PlanState::Planned => Ok(()),
        PlanState::Expired => Err("it was valid for an hour, and the sagas may have moved on: plan again".to_owned()),
        PlanState::Applying | PlanState::Paused => Err(format!("it is {} already", plan.state.name())),
        PlanState::Done | PlanState::Partial | PlanState::Cancelled => Err(format!("it is {}", plan.state.name())),
    }
}

/// What a person does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    /// Releases nothing more for now.
    Pause,
    /// Goes on; what went wrong so far stops it no more.
    Resume,
    /// Releases nothing more. What was asked for is decided.
    Cancel,
}

impl Steer {
    /// As the command line and the audit name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    /// Where the word leads.
    ///
    /// # Errors
    /// The state does not allow it: with what it is, for people.
    pub fn leads_to(self, state: PlanState) -> Result<PlanState, String> {
        match (self, state) {
            (Self::Pause, PlanState::Applying) => Ok(PlanState::Paused),
            (Self::Resume, PlanState::Paused) => Ok(PlanState::Applying),
            (Self::Cancel, PlanState::Planned | PlanState::Applying | PlanState::Paused) => Ok(PlanState::Cancelled),
            (Self::Pause | Self::Resume | Self::Cancel, _) => Err(format!("it is {}", state.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Sha256;
    use crate::store::PlanPace;

    fn pace(rate: &str) -> PlanPace {
        PlanPace { rate: rate.to_owned(), ramp: false, items_max: None, stop_percent: None }
    }

    fn job(eligible: u32) -> LeasedJob {
        LeasedJob {
            number: 1,
            request: String::new(),
            who: "ada".to_owned(),
            reason: "test".to_owned(),
            pace: pace("20/s"),
            eligible,
            released: 0,
            next_at: Timestamp::ZERO,
            forgiven: (0, 0),
            progress: PlanProgress::default(),
            now: Timestamp::from_millis(10_000),
        }
    }

    fn released(job: &LeasedJob) -> u32 {
        match next_move(job) {
            Move::Release { count, .. } => count,
            Move::Wait | Move::Pause(_) | Move::End(_) => 0,
        }
    }

    /// Looks every 130 ms for a minute; everything is decided at once.
    fn run(mut job: LeasedJob, mut looks_away: impl FnMut(i64) -> bool) -> Vec<(i64, u32)> {
        let mut at = Vec::new();
        job.next_at = job.now;
        for millis in (0..60_000).step_by(130) {
            job.now = Timestamp::from_millis(10_000 + millis);
            if looks_away(millis) {
                continue;
            }
            if let Move::Release { count, next_at } = next_move(&job) {
                at.push((millis, count));
                job.released += count;
                job.progress.applied += count;
                job.next_at = next_at;
            }
        }
        at
    }

    #[test]
    fn a_rate_is_kept_however_the_worker_looks_and_never_exceeded() {
        for (rate, a_minute) in [("20/s", 1_200), ("7/s", 420), ("30/m", 30), ("1000/s", 60_000)] {
            let steady = run(LeasedJob { pace: pace(rate), ..job(1_000_000) }, |_| false);
            let mut total = 0;
            for (millis, count) in &steady {
                total += i64::from(*count);
                assert!((total - 1) * 60_000 <= millis * a_minute, "{rate}: {total} within {millis} ms");
            }
            assert!(total * 100 >= a_minute * 98, "{rate}: {total}");
        }
    }

    #[test]
    fn what_was_missed_is_caught_up_for_a_second_at_most() {
        let halted = run(LeasedJob { pace: pace("20/s"), ..job(10_000) }, |millis| (5_000..15_000).contains(&millis));
        assert!(halted.iter().all(|(_, count)| *count <= 21), "{halted:?}");
    }

    #[test]
    fn a_ramp_goes_in_waves_and_each_waits_for_the_one_before() {
        let mut job = LeasedJob { pace: PlanPace { ramp: true, ..pace("1000/s") }, ..job(10_000) };
        let mut waves = Vec::new();
        for _ in 0..11 {
            let count = released(&job);
            waves.push(count);
            job.released += count;
            assert_eq!(released(&job), 0, "nothing of the wave is decided");
            job.progress.applied = job.released - 1;
            assert_eq!(released(&job), 0, "one of the wave is not");
            job.progress.applied = job.released;
        }
        assert_eq!(waves, [1, 2, 5, 10, 25, 50, 100, 250, 500, 500, 500]);
    }

    #[test]
    fn no_more_are_under_way_than_an_engine_takes_at_once() {
        let mut job = LeasedJob { pace: pace("1000/s"), ..job(10_000) };
        job.released = 490;
        assert_eq!(released(&job), 10);
        job.released = 500;
        assert_eq!(next_move(&job), Move::Wait);
    }

    #[test]
    fn errors_count_from_twenty_outcomes_on_and_a_person_can_let_it_go_on() {
        let mut job = LeasedJob { pace: PlanPace { stop_percent: Some(5), ..pace("20/s") }, ..job(1_000) };
        let mut moved = |applied, refused, stuck_again, forgiven| {
            job.progress = PlanProgress { applied, refused, stuck_again, ..PlanProgress::default() };
            job.released = applied + refused;
            job.forgiven = forgiven;
            next_move(&job)
        };
        assert!(matches!(moved(0, 19, 0, (0, 0)), Move::Release { .. }), "too few to judge by");
        assert!(matches!(moved(19, 1, 0, (0, 0)), Move::Release { .. }), "5 percent are allowed");
        let said = "2 of 20 went wrong, more than 5 percent".to_owned();
        assert_eq!(moved(18, 2, 0, (0, 0)), Move::Pause(said.clone()));
        assert_eq!(moved(20, 0, 2, (0, 0)), Move::Pause(said), "stuck again is wrong, too");
        assert!(matches!(moved(18, 2, 0, (20, 2)), Move::Release { .. }), "a person has seen them");
        assert!(matches!(moved(18, 22, 0, (20, 2)), Move::Pause(_)), "what came since counts");
    }

    #[test]
    fn a_job_ends_when_every_item_is_decided_and_says_whether_all_were_carried_out() {
        let mut job = job(10);
        job.released = 10;
        job.progress.applied = 9;
        assert_eq!(next_move(&job), Move::Wait);
        job.progress.refused = 1;
        assert_eq!(next_move(&job), Move::End(PlanState::Partial));
        job.progress = PlanProgress { applied: 10, stuck_again: 3, ..PlanProgress::default() };
        assert_eq!(next_move(&job), Move::End(PlanState::Done), "what the sagas made of it is theirs");
        job.progress.applied = 4;
        job.pace.items_max = Some(4);
        assert_eq!(next_move(&job), Move::End(PlanState::Done), "no more was wanted");
    }

    #[test]
    fn a_rate_is_read_and_what_is_none_is_told() {
        let every = |text| Rate::parse(text).unwrap().every_micros;
        assert_eq!(["20/s", "300/m", "1000/h", "3/s"].map(every), [50_000, 200_000, 3_600_000, 333_334]);
        assert!(Rate::parse("1001/s").unwrap_err().contains("1,000 a second"));
        for text in ["20", "0/s", "-1/s", "20/d", "x/s", "1.5/s", ""] {
            assert!(Rate::parse(text).unwrap_err().contains("say 20/s"), "{text}");
        }
        assert!(Rate::parse(Rate::DEFAULT).is_ok());
    }

    fn plan(state: PlanState, needs_second: bool) -> PlanRow {
        PlanRow {
            number: 1,
            hash: Sha256::of(b""),
            verb: "retry".to_owned(),
            request: String::new(),
            selected: String::new(),
            eligible: 1,
            ineligible: 0,
            planned_by: "ada".to_owned(),
            planned_at: Timestamp::ZERO,
            valid_until: Timestamp::ZERO,
            state,
            needs_second,
            definitions: Vec::new(),
            message: None,
            ended_at: None,
            job: None,
        }
    }

    #[test]
    fn who_planned_many_sagas_does_not_apply_the_plan() {
        assert!(may_apply(&plan(PlanState::Planned, true), "ada").unwrap_err().contains("second person"));
        assert!(may_apply(&plan(PlanState::Planned, true), "grace").is_ok());
        assert!(may_apply(&plan(PlanState::Planned, false), "ada").is_ok());
        let none = PlanRow { eligible: 0, ..plan(PlanState::Planned, false) };
        assert!(may_apply(&none, "ada").is_err());
        for state in PlanState::ALL.into_iter().filter(|state| *state != PlanState::Planned) {
            assert!(may_apply(&plan(state, false), "grace").is_err(), "{state:?}");
        }
    }

    #[test]
    fn a_word_leads_where_the_drawing_says_and_nowhere_else() {
        let leads = |steer: Steer| {
            let led = PlanState::ALL.into_iter().filter_map(|from| Some((from, steer.leads_to(from).ok()?)));
            led.collect::<Vec<_>>()
        };
        use PlanState::{Applying, Cancelled, Paused, Planned};
        assert_eq!(leads(Steer::Pause), [(Applying, Paused)]);
        assert_eq!(leads(Steer::Resume), [(Paused, Applying)]);
        assert_eq!(leads(Steer::Cancel), [(Planned, Cancelled), (Applying, Cancelled), (Paused, Cancelled)]);
    }

    #[test]
    fn an_item_s_action_has_one_id() {
        let saga = Uuid::from_u128(7);
        assert_eq!(operation_id(31, saga), operation_id(31, saga));
        let others = [operation_id(31, saga), operation_id(3, saga), operation_id(31, Uuid::from_u128(8))];
        assert!(others[0] != others[1] && others[0] != others[2]);
    }
}
