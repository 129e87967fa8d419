//! The retry rule: what happens after a performance, given the step's effect class and policy.
//!
//! | performance | `read`, `idempotent` | `unsafe` |
//! |---|---|---|
//! | done | the result | the result |
//! | failed | tried again while attempts are left | tried again while attempts are left |
//! | unknown | tried again while attempts are left | a person decides |
//!
//! Where the policy names no kinds, an error that another attempt would only meet again
//! ([`ErrorKind::lasts`]) is the step's result.

use model::journal::Progress;
use model::{Effect, ErrorKind, Performance, Policy, StepError, Timestamp, Value};

/// How often the engine's own death may cut off one step before it gives up.
pub const CUT_OFF_BUDGET: u32 = 10;

/// What to do after a performance.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The step is over.
    Finish(Result<Value, StepError>),
    /// The next attempt is due at this time.
    Retry(StepError, Timestamp),
    /// Its outcome is unknown and must not be guessed at.
    Ask(StepError),
}

/// Attempts where the step's options name none.
pub const fn default_attempts(effect: Effect) -> u32 {
    match effect {
        Effect::Read | Effect::Idempotent => 3,
        Effect::Unsafe => 1,
    }
}

/// What to do after the latest attempt of a step that came as far as `progress` went so.
pub fn verdict(
    performance: Performance,
    effect: Effect,
    policy: &Policy,
    progress: &Progress,
    now: Timestamp,
) -> Verdict {
    let &Progress { attempt, cut_off, lost, .. } = progress;
    match performance {
        Performance::Done(value) => Verdict::Finish(Ok(value)),
        Performance::Unknown(mut error) if effect == Effect::Unsafe => {
            error.attempts = attempt;
            Verdict::Ask(error)
        }
        // It was cut off, and something was found out about it since.
        Performance::Failed(error) | Performance::Unknown(error) if lost => {
            after_death(error, Effect::Idempotent, attempt, cut_off, now)
        }
        Performance::Failed(error) | Performance::Unknown(error) => {
            again(error, policy, attempt, attempt.saturating_sub(cut_off), now)
        }
    }
}

fn again(
    mut error: StepError,
    policy: &Policy,
    attempt: u32,
    counted: u32,
    now: Timestamp,
) -> Verdict {
    error.attempts = attempt;
    let wanted = match policy.only.as_slice() {
        [] => !error.kind.lasts(),
        only => only.contains(&error.kind),
    };
    if counted >= policy.attempts || !wanted {
        return Verdict::Finish(Err(error));
    }
    let next = policy.backoff.after(counted).after(now);
    match policy.deadline {
        Some(deadline) if next >= deadline => Verdict::Finish(Err(past_deadline(error, deadline))),
        _ => Verdict::Retry(error, next),
    }
}

/// What is known of an attempt that the engine's own death cut off.
pub fn death(attempt: u32) -> StepError {
    let message =
        format!("Tripline ended while attempt {attempt} was under way: its outcome is unknown");
    StepError::new(ErrorKind::Unavailable, message)
}

/// What becomes of a step whose latest attempt, number `attempt`, the engine's own death cut off,
/// as it did `cut_off` attempts in all.
pub fn after_death(
    mut error: StepError,
    effect: Effect,
    attempt: u32,
    cut_off: u32,
    now: Timestamp,
) -> Verdict {
    error.attempts = attempt;
    match effect {
        Effect::Unsafe => Verdict::Ask(error),
        Effect::Read | Effect::Idempotent if cut_off > CUT_OFF_BUDGET => {
            error.message =
                format!("Tripline ended {CUT_OFF_BUDGET} times while this step was under way");
            error.kind = ErrorKind::Internal;
            Verdict::Finish(Err(error))
        }
        Effect::Read | Effect::Idempotent => Verdict::Retry(error, now),
    }
}

/// The same failure, told as the end of the step's time.
fn past_deadline(last: StepError, deadline: Timestamp) -> StepError {
    StepError {
        message: format!(
            "no further attempt fits before the deadline {deadline}; the last one: {}",
            last.message
        ),
        kind: ErrorKind::Deadline,
        ..last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Backoff;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000).unwrap()
    }

    fn policy(attempts: u32) -> Policy {
        Policy {
            attempts,
            backoff: Backoff::default(),
            only: vec![],
            timeout: None,
            deadline: None,
        }
    }

    fn error(kind: ErrorKind) -> StepError {
        StepError::new(kind, "no")
    }

    fn attempt(attempt: u32, cut_off: u32) -> Progress {
        Progress { attempt, cut_off, lost: false, failed: None }
    }

    #[test]
    fn an_unsafe_step_is_never_repeated_on_an_unknown_outcome() {
        let unknown = Performance::Unknown(error(ErrorKind::Timeout));
        let verdict = verdict(unknown, Effect::Unsafe, &policy(9), &attempt(1, 0), now());
        let asked = StepError { attempts: 1, ..error(ErrorKind::Timeout) };
        assert_eq!(verdict, Verdict::Ask(asked));
        assert!(matches!(after_death(death(1), Effect::Unsafe, 1, 1, now()), Verdict::Ask(_)));
    }

    #[test]
    fn attempts_are_counted_and_delays_grow() {
        let failed = || Performance::Failed(error(ErrorKind::Unavailable));
        let after = |n| verdict(failed(), Effect::Idempotent, &policy(3), &attempt(n, 0), now());
        let delay = |verdict| match verdict {
            Verdict::Retry(_, at) => at.as_second() - now().as_second(),
            other => panic!("{other:?}"),
        };
        assert_eq!((delay(after(1)), delay(after(2))), (1, 2));
        assert!(matches!(after(3), Verdict::Finish(Err(e)) if e.attempts == 3));
    }

    #[test]
    fn attempts_cut_off_by_death_have_a_budget_of_their_own() {
        let failed = || Performance::Failed(error(ErrorKind::Unavailable));
        let fifth = verdict(failed(), Effect::Read, &policy(3), &attempt(5, 3), now());
        assert!(matches!(fifth, Verdict::Retry(..)), "only two of the five count");
        let died = |n| after_death(death(n), Effect::Read, n, n, now());
        assert!(matches!(died(CUT_OFF_BUDGET), Verdict::Retry(..)));
        assert!(matches!(died(CUT_OFF_BUDGET + 1), Verdict::Finish(Err(_))));
    }

    #[test]
    fn an_attempt_that_was_cut_off_and_found_to_have_failed_does_not_count() {
        let failed = || Performance::Failed(error(ErrorKind::Unavailable));
        let found = |n| {
            let progress = Progress { lost: true, ..attempt(n, n) };
            verdict(failed(), Effect::Unsafe, &policy(1), &progress, now())
        };
        assert!(matches!(found(1), Verdict::Retry(_, at) if at == now()));
        assert!(matches!(found(CUT_OFF_BUDGET + 1), Verdict::Finish(Err(_))));
    }

    #[test]
    fn only_the_kinds_named_are_tried_again() {
        let policy = Policy { only: vec![ErrorKind::Unavailable], ..policy(3) };
        let failed = Performance::Failed(error(ErrorKind::Denied));
        assert!(matches!(
            verdict(failed, Effect::Read, &policy, &attempt(1, 0), now()),
            Verdict::Finish(Err(_))
        ));
    }

    #[test]
    fn what_another_attempt_would_only_meet_again_is_tried_again_only_where_it_is_named() {
        for (kind, only, again) in [
            (ErrorKind::Unavailable, vec![], true),
            (ErrorKind::Program, vec![], true),
            (ErrorKind::Denied, vec![], false),
            (ErrorKind::InvalidParameters, vec![], false),
            (ErrorKind::Denied, vec![ErrorKind::Denied], true),
        ] {
            let policy = Policy { only, ..policy(3) };
            let failed = Performance::Failed(error(kind));
            let verdict = verdict(failed, Effect::Read, &policy, &attempt(1, 0), now());
            assert_eq!(matches!(verdict, Verdict::Retry(..)), again, "{kind} {policy:?}");
        }
    }

    #[test]
    fn no_attempt_begins_after_the_deadline() {
        let policy = Policy { deadline: Some(now()), ..policy(3) };
        let failed = Performance::Failed(error(ErrorKind::Unavailable));
        let Verdict::Finish(Err(error)) =
            verdict(failed, Effect::Read, &policy, &attempt(1, 0), now())
        else {
            panic!("tried again after the deadline");
        };
        assert_eq!(error.kind, ErrorKind::Deadline);
    }
}
