//! A program and all that it starts: one process group, ended as a whole.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A process group, known by its leader's pid and start time: pids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    leader: i32,
    start_time: Option<u64>,
}

/// What the kernel tells of a process.
struct Stat {
    zombie: bool,
    start_time: u64,
}

impl Group {
    /// The group of `leader`, which runs or was not waited for yet.
    pub(super) fn of(leader: i32) -> Self {
        Self { leader, start_time: stat(leader).map(|stat| stat.start_time) }
    }

    /// The group that had this leader; none where the pid is nobody's.
    pub(super) fn recorded(leader: i32, start_time: Option<u64>) -> Option<Self> {
        // 0 and below mean "my own group" and "everybody" to the kernel, 1 is init.
        (leader > 1).then_some(Self { leader, start_time })
    }

    /// When its leader started, in ticks since the boot; only Linux tells.
    pub(super) fn start_time(self) -> Option<u64> {
        self.start_time
    }

    /// Whether its leader still runs: the same process, not another one under its number.
    pub(super) fn leader_runs(self) -> bool {
        stat(self.leader)
            .is_some_and(|stat| !stat.zombie && Some(stat.start_time) == self.start_time)
    }

    /// Sends `signal` to every process of the group. That none is left is no error.
    pub(super) fn signal(self, signal: Signal) {
        match killpg(Pid::from_raw(self.leader), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                tracing::warn!(group = self.leader, %signal, %error, "a process group cannot be signalled");
            }
        }
    }

    /// Kills what is left of the group once its leader has ended. What called `setsid` is in
    /// another group and stays.
    ///
    /// The kernel gives a pid to nobody while a group of that number has members: if somebody
    /// has it now, nothing is left of ours.
    pub(super) fn kill_rest(self) {
        let reused = stat(self.leader).is_some_and(|stat| Some(stat.start_time) != self.start_time);
        if !reused {
            self.signal(Signal::SIGKILL);
        }
    }
}

/// Reads `/proc/<pid>/stat`: state is field 3, start time field 22. The name in field 2 may hold
/// blanks and parentheses, so counting begins behind the last one.
fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    Some(Stat { zombie, start_time: fields.nth(18)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time_too() {
        let pid = std::process::id() as i32;
        let own = Group::of(pid);
        assert!(own.leader_runs());
        let other = own.start_time.map(|time| time + 1);
        assert!(!Group::recorded(pid, other).unwrap().leader_runs());
        assert!(!Group::recorded(pid, None).unwrap().leader_runs());
    }

    #[test]
    fn numbers_that_mean_everybody_are_no_group() {
        for pid in [1, 0, -1, i32::MIN] {
            assert_eq!(Group::recorded(pid, Some(1)), None, "{pid}");
        }
    }
}
