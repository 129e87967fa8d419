//! Child programs: bounds, ends, and what outlives whom. Real processes throughout.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use host::process::{
    Children, End, Job, Launcher, Limits, MAX_LOG, MAX_SERVICE_LOG, MAX_STDOUT, NotStarted, Output,
    Programs, service_log,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

struct Place {
    folder: TempDir,
    programs: Programs,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let programs = Programs::new(&folder.path().join("state"), launcher());
        Self { folder, programs }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `sh -c script`.
    fn job(&self, script: &str) -> Job {
        Job {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            folder: self.folder.path().to_owned(),
            environment: vec![("PATH".to_owned(), std::env::var_os("PATH").unwrap())],
            stdin: Vec::new(),
            log: self.path("log/stderr.log"),
            redactor: Arc::default(),
            limits: Limits::default(),
            key: "ex_1/3".to_owned(),
        }
    }

    async fn run(&self, script: &str) -> Output {
        self.programs.run(&self.job(script), &CancellationToken::new()).await.unwrap()
    }

    /// The pid that a script wrote into `name`, once it is there.
    async fn pid(&self, name: &str) -> i32 {
        eventually("a pid", || fs::read_to_string(self.path(name)).ok()?.trim().parse().ok()).await
    }

    fn records(&self) -> usize {
        fs::read_dir(self.path("state/children")).map_or(0, Iterator::count)
    }
}

fn launcher() -> Launcher {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/exec-child");
    assert!(program.exists(), "build it first: cargo build --example exec-child");
    Launcher { program, args: Vec::new() }
}

async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not happen within 20 s");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Whether the process runs: a zombie doesn't.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

async fn ended(pid: i32) {
    eventually("the end of a process", || (!runs(pid)).then_some(())).await;
}

#[tokio::test]
async fn a_program_reads_its_parameters_whole_and_its_output_is_kept() {
    let place = Place::new();
    let big = "x".repeat(1_000_000);
    let job = Job { stdin: big.clone().into_bytes(), ..place.job("cat; echo done >&2; exit 3") };
    let output = place.programs.run(&job, &CancellationToken::new()).await.unwrap();
    assert_eq!(output.end, End::Exited(3));
    assert_eq!(output.stdout, big.into_bytes());
    assert_eq!(output.stderr, "done");
    assert_eq!(fs::read_to_string(&job.log).unwrap(), "done\n");
}

#[tokio::test]
async fn a_program_that_reads_nothing_is_no_failure() {
    let place = Place::new();
    let job = Job { stdin: vec![b'x'; 1_000_000], ..place.job("exit 0") };
    let output = place.programs.run(&job, &CancellationToken::new()).await.unwrap();
    assert_eq!(output.end, End::Exited(0));
}

#[tokio::test]
async fn a_program_is_recorded_before_it_begins_and_no_longer_after_its_end() {
    let place = Place::new();
    let output = place.run("cat state/children/$$.json").await;
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["key"], "ex_1/3");
    assert!(record["start_time"].is_u64(), "{record}");
    assert_eq!(place.records(), 0);
}

#[tokio::test]
async fn cancelling_sends_sigterm_and_five_seconds_later_sigkill() {
    let place = Place::new();
    for (script, least, most) in [
        ("echo $$ >pid; sleep 60 & wait", 0, 3),
        ("trap 'exit 0' TERM; echo $$ >pid; sleep 60 & wait", 0, 3),
        ("trap '' TERM; echo $$ >pid; sleep 60; sleep 60", 5, 9),
    ] {
        let (cancel, job) = (CancellationToken::new(), place.job(script));
        let run = place.programs.run(&job, &cancel);
        let cancelling = async {
            let pid = place.pid("pid").await;
            fs::remove_file(place.path("pid")).unwrap();
            cancel.cancel();
            (pid, Instant::now())
        };
        let (output, (pid, since)) = tokio::join!(run, cancelling);
        assert_eq!(output.unwrap().end, End::Cancelled, "{script}");
        let took = since.elapsed();
        assert!(took >= Duration::from_secs(least), "{script}: {took:?}");
        assert!(took < Duration::from_secs(most), "{script}: {took:?}");
        assert!(!runs(pid));
    }
}

#[tokio::test]
async fn a_program_cancelled_before_it_begins_never_does() {
    let place = Place::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let result = place.programs.run(&place.job("touch began"), &cancel).await;
    assert!(matches!(result, Err(NotStarted::Cancelled)), "{result:?}");
    assert!(!place.path("began").exists());
}

#[tokio::test]
async fn dropping_the_run_kills_the_program_and_its_children() {
    let place = Place::new();
    let job = place.job("sleep 60 & echo $! >child; echo $$ >leader; wait");
    let (leader, child) = tokio::select! {
        _ = async { place.programs.run(&job, &CancellationToken::new()).await } => unreachable!(),
        leader = place.pid("leader") => (leader, place.pid("child").await),
    };
    ended(leader).await;
    ended(child).await;
    assert_eq!(place.records(), 0);
}

#[tokio::test]
async fn a_step_ends_when_its_program_exits_whoever_holds_its_pipes() {
    let place = Place::new();
    let since = Instant::now();
    let output = place.run("sleep 60 & echo $! >child; echo said").await;
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), b"said\n".as_slice()));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    ended(place.pid("child").await).await;
}

#[tokio::test]
async fn what_is_said_within_a_second_of_the_exit_is_still_read() {
    let place = Place::new();
    let output = place.run("(sleep 0.3; echo late) & echo early").await;
    assert_eq!(output.stdout, b"early\nlate\n");
}

#[tokio::test]
async fn a_service_that_detaches_itself_goes_on() {
    let place = Place::new();
    let script = "setsid sh -c 'echo $$ >service; exec sleep 60' <&- >&- 2>&- &
        until test -s service; do sleep 0.01; done; echo started";
    let output = place.run(script).await;
    assert_eq!(output.stdout, b"started\n");
    let service = place.pid("service").await;
    assert!(runs(service));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(service), nix::sys::signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_flood_on_stdout_ends_the_program() {
    let place = Place::new();
    let output = place.run("exec yes").await;
    assert_eq!(output.end, End::Flooded);
    assert!(output.flooded);
    assert_eq!(output.stdout.len(), MAX_STDOUT);
}

#[tokio::test]
async fn exactly_as_much_as_is_allowed_is_no_flood() {
    let place = Place::new();
    let output = place.run(&format!("head -c {MAX_STDOUT} /dev/zero")).await;
    assert_eq!((output.end, output.flooded), (End::Exited(0), false));
    assert_eq!(output.stdout.len(), MAX_STDOUT);
}

#[tokio::test]
async fn a_log_is_cut_at_its_bound_over_all_attempts_and_the_end_is_told_all_the_same() {
    let place = Place::new();
    for attempt in 1..=2 {
        let script = format!("head -c 900000 /dev/zero | tr '\\0' x >&2; echo end {attempt} >&2");
        let output = place.run(&script).await;
        assert_eq!(output.end, End::Exited(0));
        assert!(output.stderr.ends_with(&format!("xend {attempt}")), "{}", output.stderr.len());
        assert!(output.stderr.len() <= 4096);
    }
    let log = fs::read_to_string(place.path("log/stderr.log")).unwrap();
    assert!(log.ends_with("[cut here: the log of a step holds at most 1 MiB]\n"));
    assert!(log.len() as u64 <= MAX_LOG + 100, "{}", log.len());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_does_not_stop_a_program() {
    let place = Place::new();
    let job = Job { log: "/proc/no/such/log".into(), ..place.job("echo told >&2") };
    let output = place.programs.run(&job, &CancellationToken::new()).await.unwrap();
    assert_eq!((output.end, output.stderr.as_str()), (End::Exited(0), "told"));
}

#[tokio::test]
async fn limits_hold_for_the_program() {
    let place = Place::new();
    let limits = Limits { memory: Some(1 << 30), cpu: Some(7), files: Some(64) };
    let job = Job { limits, ..place.job("ulimit -c; ulimit -v; ulimit -t; ulimit -n") };
    let output = place.programs.run(&job, &CancellationToken::new()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1048576\n7\n64\n");
}

#[tokio::test]
async fn what_cannot_be_run_never_began() {
    let place = Place::new();
    for (program, kind) in [
        ("/no/such/program", std::io::ErrorKind::NotFound),
        ("/etc/passwd", std::io::ErrorKind::PermissionDenied),
    ] {
        let job = Job { program: program.into(), ..place.job("") };
        match place.programs.run(&job, &CancellationToken::new()).await {
            Err(NotStarted::Refused { source, .. }) => assert_eq!(source.kind(), kind),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_program_cannot_claim_that_it_never_began() {
    let place = Place::new();
    for script in ["echo 0123456789abcdef 2; exit 127", "cat /proc/$$/cmdline; exit 127"] {
        assert_eq!(place.run(script).await.end, End::Exited(127), "{script}");
    }
}

#[tokio::test]
async fn a_launcher_that_is_no_trampoline_is_told_from_a_failing_program() {
    let place = Place::new();
    let launcher = Launcher { program: "/bin/false".into(), args: Vec::new() };
    let programs = Programs::new(&place.path("state"), launcher);
    let result = programs.run(&place.job("exit 0"), &CancellationToken::new()).await;
    assert!(
        matches!(result, Err(NotStarted::Trampoline { end: End::Exited(1), .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_trampoline_whose_engine_died_before_the_go_ends_without_beginning() {
    let place = Place::new();
    let mut command = std::process::Command::new(launcher().program);
    command.args(["--", "/bin/sh", "-c", "touch began"]).current_dir(place.folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(!place.path("began").exists());
}

/// A program that an engine left behind: leader of its own group, as the engine starts it.
struct Survivor {
    child: std::process::Child,
}

impl Survivor {
    fn start(script: &str, folder: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", script]).current_dir(folder).process_group(0);
        Self { child: command.stdin(Stdio::null()).spawn().unwrap() }
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn start_time(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn record(folder: &Path, pid: i32, start_time: u64, boot: &str) {
    fs::create_dir_all(folder).unwrap();
    let record =
        serde_json::json!({ "pid": pid, "start_time": start_time, "boot": boot, "key": "ex_1/3" });
    fs::write(folder.join(format!("{pid}.json")), record.to_string()).unwrap();
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

#[tokio::test]
async fn the_next_start_ends_what_outlived_the_engine_with_its_children() {
    let place = Place::new();
    let folder = place.path("children");
    let script =
        "trap '' TERM; (trap '' TERM; sleep 60) & echo $! >child; while :; do sleep 1; done";
    let survivor = Survivor::start(script, place.folder.path());
    let child = place.pid("child").await;
    record(&folder, survivor.pid(), survivor.start_time(), &boot());
    let ended_children =
        Children::new(&folder).end_survivors(Duration::from_millis(100)).await.unwrap();
    assert_eq!(ended_children.len(), 1);
    assert_eq!((ended_children[0].pid, ended_children[0].key.as_str()), (survivor.pid(), "ex_1/3"));
    assert!(!runs(survivor.pid()));
    ended(child).await;
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_process_that_only_has_the_same_pid_is_left_alone() {
    let place = Place::new();
    let folder = place.path("children");
    let stranger = Survivor::start("sleep 60", place.folder.path());
    for (start_time, boot) in
        [(stranger.start_time() + 1, boot()), (stranger.start_time(), "another".to_owned())]
    {
        record(&folder, stranger.pid(), start_time, &boot);
        let ended = Children::new(&folder).end_survivors(Duration::ZERO).await.unwrap();
        assert_eq!(ended, []);
        assert!(runs(stranger.pid()));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "the record is of no more use");
    }
}

#[tokio::test]
async fn a_record_that_was_cut_short_is_removed_and_no_folder_means_no_survivors() {
    let place = Place::new();
    let folder = place.path("children");
    let children = Children::new(&folder);
    assert_eq!(children.end_survivors(Duration::ZERO).await.unwrap(), []);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        ("17.json", "{\"pid\":"),
        ("0.json", "{\"pid\":0,\"start_time\":1,\"boot\":null,\"key\":\"\"}"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    assert_eq!(children.end_survivors(Duration::ZERO).await.unwrap(), []);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

/// An engine that is killed leaves its program running and recorded; the next one ends it.
#[tokio::test]
async fn a_killed_engine_leaves_a_record_that_the_next_one_acts_on() {
    let place = Place::new();
    let mut engine = std::process::Command::new(std::env::current_exe().unwrap());
    engine.args(["--exact", "stand_in_for_an_engine", "--ignored"]);
    engine.env("PLACE", place.folder.path()).stdout(Stdio::null());
    let mut engine = engine.spawn().unwrap();
    let program = place.pid("pid").await;
    engine.kill().unwrap();
    engine.wait().unwrap();
    assert!(runs(program), "a program outlives its engine");
    assert_eq!(place.records(), 1);
    let work = place.path("state/work");
    fs::create_dir_all(work.join("step-left")).unwrap();
    let ended = place.programs.recover().await.unwrap();
    assert_eq!(ended.iter().map(|child| child.pid).collect::<Vec<_>>(), [program]);
    assert!(!runs(program));
    assert_eq!(place.records(), 0);
    assert!(!work.exists(), "temporary folders of the dead engine are removed");
}

#[tokio::test]
#[ignore = "is run by the test above, as a process that can be killed"]
async fn stand_in_for_an_engine() {
    let folder =
        PathBuf::from(std::env::var_os("PLACE").unwrap_or_else(|| OsString::from("/nonexistent")));
    let place = Place::new();
    let programs = Programs::new(&folder.join("state"), launcher());
    let job = Job { folder, ..place.job("echo $$ >pid; exec sleep 60") };
    let _ = programs.run(&job, &CancellationToken::new()).await;
}

/// A pipe holds 64 KiB; what a read has taken from it and the line that waits come on top.
const MOST_AHEAD: usize = 128 * 1024;

/// Whether the process waits for something; its builtins wait for nothing but their output.
fn waits(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('S')
}

#[tokio::test]
async fn a_service_s_output_is_read_as_it_comes_and_it_waits_for_its_reader() {
    const LINE: usize = 100;
    let place = Place::new();
    let script = format!(
        "read x; echo $$ >pid; line={}; i=0; while :; do echo $line; i=$((i+1)); echo $i >n; done",
        "x".repeat(LINE - 1)
    );
    let job = Job { stdin: b"this\n".to_vec(), ..place.job(&script) };
    let mut service = place.programs.start(&job).await.unwrap();
    let pid = place.pid("pid").await;
    let (mut read, count) = (0, place.path("n"));
    // It may wait for another moment's room only; but it is never far ahead of who reads it.
    while read < 8 * MOST_AHEAD {
        eventually("the program to wait", || waits(pid).then_some(())).await;
        let printed = fs::read_to_string(&count).unwrap_or_default();
        let printed = printed.trim().parse::<usize>().unwrap_or(0) * LINE;
        assert!(printed <= read + MOST_AHEAD, "{printed} were printed and {read} read");
        let chunk = service.read().await.unwrap();
        assert!(chunk.iter().all(|byte| [b'x', b'\n'].contains(byte)));
        read += chunk.len();
    }
    let (end, _) = service.end().await;
    assert_eq!(end.unwrap(), End::Cancelled);
    assert_eq!(place.records(), 0);
}

#[tokio::test]
async fn a_service_that_ends_by_itself_is_told_with_its_last_words() {
    let place = Place::new();
    let mut service =
        place.programs.start(&place.job("echo out; echo why >&2; exit 3")).await.unwrap();
    let mut text = Vec::new();
    while let Some(chunk) = service.read().await {
        text.extend_from_slice(&chunk);
    }
    assert_eq!(text, b"out\n");
    let (end, stderr) = service.end().await;
    assert_eq!((end.unwrap(), stderr.as_str()), (End::Exited(3), "why"));
}

#[tokio::test]
async fn a_service_that_cannot_be_run_is_refused() {
    let place = Place::new();
    let job = Job { program: place.path("nothing"), ..place.job("") };
    let mut service = place.programs.start(&job).await.unwrap();
    assert_eq!(service.read().await, None);
    let error = service.end().await.0.unwrap_err();
    assert!(matches!(error, NotStarted::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn of_a_service_s_log_the_newest_part_is_kept() {
    let place = Place::new();
    let script = "i=0; while [ $i -lt 30000 ]; do \
                  echo \"$i ....................................................\" >&2; i=$((i+1)); done";
    let job = place.job(script);
    let mut service = place.programs.start(&job).await.unwrap();
    while service.read().await.is_some() {}
    let (end, last) = service.end().await;
    assert_eq!(end.unwrap(), End::Exited(0));
    assert!(last.contains("29999"), "{last}");
    let log = service_log(&job.log).unwrap();
    assert!(log.contains("29999") && !log.contains("\n17 "));
    assert!(log.len() as u64 <= 2 * MAX_SERVICE_LOG + 64 * 1024, "{}", log.len());
}
