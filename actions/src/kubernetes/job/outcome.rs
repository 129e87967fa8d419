//! What the end of a Job says of its step: its exit code what that of a program on the server says,
//! and what nobody saw that nobody knows.

use host::kubernetes::Patch;
use model::{ErrorKind, Performance, StepError};
use serde_json::json;

use super::end::{End, Ended, remove, withdraw};
use crate::kubernetes::asked::{Asked, Target};
use crate::program::{TRY_AGAIN, last_line};

/// The performance of a step whose Job has ended so, which stays for a time from now on. `done` is
/// its answer where the program ended well.
pub(in crate::kubernetes) async fn over(
    asked: &Asked<'_>,
    job: &Target,
    ended: &Ended,
    keep: model::Duration,
    done: impl FnOnce() -> Performance,
) -> Performance {
    if let End::Never(why) = &ended.end {
        let message = format!("the program did not begin: {why}");
        let error = StepError::new(ErrorKind::Unavailable, message).with_details(ended.told());
        return match withdraw(job).await {
            true => Performance::Failed(error),
            false => Performance::Unknown(error),
        };
    }
    let kept = if ended.is_outlived {
        // What runs beside the program would not let the Job end.
        remove(job).await
    } else {
        let keep = json!({ "spec": { "ttlSecondsAfterFinished": keep.to_std().as_secs() } });
        asked.send(job.patch(Patch::Merge, keep, None)).await.map(drop)
    };
    if let Err(failure) = kept {
        let line = format!("[tripline: the finished Job stays in the cluster: {failure}]\n");
        host::process::note(&asked.performing.log.join("stderr.log"), &line).await;
    }
    performance(ended, done)
}

fn performance(ended: &Ended, done: impl FnOnce() -> Performance) -> Performance {
    let error = |kind, message: String| StepError::new(kind, message).with_details(ended.told());
    match (&ended.end, ended.exit_code()) {
        (End::Complete, _) => done(),
        (End::TooLate, _) => {
            let message = "the Job ran longer than it may: the cluster ended it";
            Performance::Unknown(error(ErrorKind::Timeout, message.to_owned()))
        }
        (_, Some(code @ 1..=128)) => {
            let again = code == i64::from(TRY_AGAIN);
            let kind = if again { ErrorKind::Unavailable } else { ErrorKind::Program };
            let message = format!("the program exited with {code}{}", last_line(&ended.printed));
            Performance::Failed(error(kind, message))
        }
        // So says a container's exit code.
        (_, Some(code @ 129..)) => {
            let message = format!("the program was ended by signal {}", code - 128);
            Performance::Unknown(error(ErrorKind::Program, message))
        }
        (End::Failed(why) | End::Never(why), _) => {
            let unread = ended.unread.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
            let message = format!("nobody saw how the program ended: {why}{unread}");
            Performance::Unknown(error(ErrorKind::Program, message))
        }
    }
}
