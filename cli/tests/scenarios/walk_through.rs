//! The walk through a real cluster, as its README writes it: every command of it, in their order.

use std::path::Path;
use std::process::Command;

use lab::{ADMIN, Cluster, Group, Parts};

/// What a reader waits for, after the line that lets it begin.
const WAITS: [(&str, &str, &str); 2] = [
    ("tripline serve &", "tripline sensor list -o json", r#""state": "running""#),
    (
        "kubectl --namespace shop patch",
        "tripline execution list -o json",
        r#""state": "succeeded""#,
    ),
];

/// The shell's lines of a page, block by block.
fn commands(page: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => lines.push(line.to_owned()),
            _ => {}
        }
    }
    lines
}

/// A script that runs them and waits where a reader does; the server ends with it, however it ends.
fn script(lines: &[String]) -> String {
    let begin = "set -emuo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n";
    let waited = |line: &String| {
        let wait = WAITS.iter().find(|(begins, ..)| line.starts_with(begins));
        let wait = wait.map(|(_, ask, answer)| {
            let look = format!("{ask} 2>/dev/null | grep -q '{answer}'");
            format!("for try in $(seq 300); do {look} && break; sleep 0.2; done\n{look}\n")
        });
        format!("{line}\n{}", wait.unwrap_or_default())
    };
    begin.to_owned() + &lines.iter().map(waited).collect::<String>()
}

#[test]
#[ignore = "needs the lab"]
fn every_command_of_the_walk_through_a_real_cluster_does_what_it_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(Cluster::start(Parts::Rollouts)).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cluster");
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(&example).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let page = std::fs::read_to_string(example.join("README.md")).unwrap();
    let lines = commands(&page);
    assert!(lines.len() > 20, "{lines:?}");

    let kubectl = Group::Kubectl.program("kubectl").unwrap();
    let tripline = Path::new(env!("CARGO_BIN_EXE_tripline"));
    let mut path: Vec<_> =
        [&kubectl, tripline].map(|program| program.parent().unwrap().into()).into();
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let done = Command::new("bash")
        .args(["-c", &script(&lines)])
        .current_dir(folder.path().join("cluster"))
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("HOME", folder.path())
        .env("KUBECONFIG", cluster.kubeconfig(ADMIN).unwrap())
        .env("TRIPLINE_LISTEN", "127.0.0.1:0")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let [out, err] =
        [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(done.status.success(), "{out}\n── stderr\n{err}");
    assert!(out.contains("restarted, as settings changed"), "{out}\n── stderr\n{err}");
    assert!(out.contains(r#"deployment "web" successfully rolled out"#), "{out}");
    let left = ["state", "environments/cluster.kubeconfig"];
    assert!(left.iter().all(|name| !folder.path().join("cluster").join(name).exists()));
}
