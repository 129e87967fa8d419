//! Servers that die, freeze, forget, or become what they were; rights that go and come back.

use std::time::Duration;

use host::kubernetes::Request;
use lab::{NARROW, Part};
use sensors::SensorState;
use serde_json::json;

use crate::stage::{Stage, no_labels};
use crate::support::Running;

impl Stage {
    /// Has the map `a` told by the watch that it leaves running.
    async fn with_one_map(&self) -> Running {
        let watch = self.maps(json!({}));
        self.is_watching().await;
        self.make("a", no_labels()).await;
        self.tells(&["added a 0"]).await;
        watch
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_watch_goes_on_over_a_kill_of_the_api_server_and_over_forgotten_history() {
    let mut stage = Stage::new().await;
    let watch = stage.with_one_map().await;
    stage.lab.part(Part::Api).unwrap().kill();
    stage.fails("").await;
    stage.lab.part(Part::Api).unwrap().start().await.unwrap();
    stage.set("a", 1).await;
    stage.tells(&["added a 0", "modified a 1"]).await;
    watch.stop().await.unwrap();
    stage.make("b", no_labels()).await;
    stage.set("b", 1).await;
    stage.remove("a").await;
    stage.make("a", no_labels()).await;
    stage.lab.forget_history().await.unwrap();
    let watch = stage.maps(json!({}));
    // What nobody knows any more was between became one.
    let all = ["added a 0", "modified a 1", "added b 1", "deleted a 1", "added a 0"];
    stage.tells(&all).await;
    assert_eq!(stage.recorder.events()[4].data["catch_up"], true);
    stage.set("b", 2).await;
    stage.tells(&[&all[..], &["modified b 2"]].concat()).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_thousand_changes_while_nobody_watched_are_all_told_where_the_server_knows_them() {
    let stage = Stage::new().await;
    let watch = stage.with_one_map().await;
    watch.stop().await.unwrap();
    let mut expected = vec!["added a 0".to_owned()];
    for n in 1..=1000 {
        stage.set("a", n).await;
        expected.push(format!("modified a {n}"));
    }
    let watch = stage.maps(json!({}));
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    stage.tells(&expected).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_cluster_that_was_restored_from_a_backup_is_compared_by_content() {
    let mut stage = Stage::new().await;
    let (watch, backup) = stage.with_two_maps_backed_up().await;
    // More versions than a server makes by itself when it starts.
    for n in 1..=100 {
        stage.set("a", n).await;
    }
    stage.make("c", no_labels()).await;
    let changes: Vec<String> = (1..=100).map(|n| format!("modified a {n}")).collect();
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let lost = [&["added a 0", "added b 0"], &changes[..], &["added c 0"]].concat();
    stage.tells(&lost).await;
    stage.lab.restore(&backup).await.unwrap();
    let restored = [&lost[..], &["modified a 0", "deleted c 0"]].concat();
    stage.tells(&restored).await;
    stage.set("b", 5).await;
    stage.tells(&[&restored[..], &["modified b 5"]].concat()).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn where_the_state_was_restored_all_is_listed_before_it_runs_though_the_watch_could_go_on() {
    let stage = Stage::new().await;
    let watch = stage.with_one_map().await;
    watch.stop().await.unwrap();
    stage.set("a", 1).await;
    stage.set("a", 2).await;
    stage.recorder.look(|it| (it.behind, it.states) = (true, Vec::new()));
    let watch = stage.maps(json!({}));
    // A watch would have told both.
    stage.tells(&["added a 0", "modified a 2"]).await;
    stage.is_watching().await;
    stage.set("a", 3).await;
    stage.tells(&["added a 0", "modified a 2", "modified a 3"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_watch_that_stalls_without_closing_is_begun_again() {
    let mut stage = Stage::new().await;
    stage.timing.idle = Duration::from_secs(3);
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.lab.part(Part::Api).unwrap().freeze();
    let silent = |state: &SensorState| matches!(state, SensorState::Failing { error, .. } if error.contains("said nothing"));
    stage.recorder.until("it stalls", |it| it.states.iter().any(silent)).await;
    stage.lab.part(Part::Api).unwrap().thaw();
    stage.make("a", no_labels()).await;
    stage.tells(&["added a 0"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_token_that_expires_is_read_again_and_nothing_is_missed_meanwhile() {
    let mut stage = Stage::new().await;
    stage.allow("visitor", "default").await;
    let lab = &stage.lab;
    let token = async |life| lab.account_token("default", "visitor", life).await.unwrap();
    let file = lab.folder().join("token");
    let short = token(Duration::from_secs(2)).await;
    std::fs::write(&file, &short).unwrap();
    let fresh = token(Duration::from_secs(3600)).await;
    stage.connect(lab.kubeconfig_with_token_file(&file).unwrap());
    // A watch that has begun goes on until its end, whatever becomes of who began it.
    stage.timing.length = Duration::from_secs(1);
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.make("a", no_labels()).await;
    stage.fails("Unauthorized").await;
    stage.set("a", 1).await;
    stage.make("b", no_labels()).await;
    assert!(!stage.recorder.look(|it| format!("{:?}", it.states)).contains(&short));
    std::fs::write(&file, &fresh).unwrap();
    stage.tells(&["added a 0", "modified a 1", "added b 0"]).await;
    watch.stop().await.unwrap();
}

/// The API server takes a moment to notice that a right is gone, and asks no watch for it again.
async fn until_watching_is_refused(stage: &Stage) {
    let review = json!({ "spec": {
        "user": "system:serviceaccount:default:narrow",
        "resourceAttributes": { "namespace": "default", "verb": "watch", "resource": "configmaps" },
    } });
    let reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let refused = async || {
        let answer = stage.ask(Request::post(reviews, review.clone())).await;
        (answer["status"]["allowed"] == false).then_some(())
    };
    lab::until("watching is refused", refused).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_right_that_is_missing_is_named_and_waited_for() {
    let stage = Stage::seen_by(NARROW).await;
    let watch = stage.maps(json!({}));
    stage.waits("- { apiGroups: [\"\"], resources: [configmaps], verbs: [list, watch] }").await;
    let right = stage.allow("narrow", "default").await;
    stage.is_watching().await;
    stage.make("a", no_labels()).await;
    stage.tells(&["added a 0"]).await;
    watch.stop().await.unwrap();
    stage.ask(right.take()).await;
    until_watching_is_refused(&stage).await;
    stage.recorder.look(|it| it.states.clear());
    let watch = stage.maps(json!({}));
    stage.waits("may not list configmaps in the namespace `default`").await;
    stage.set("a", 1).await;
    stage.ask(right.give()).await;
    stage.tells(&["added a 0", "modified a 1"]).await;
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_right_that_a_running_watch_loses_is_named_and_nothing_is_missed_until_it_is_back() {
    let mut stage = Stage::seen_by(NARROW).await;
    let right = stage.allow("narrow", "default").await;
    // A watch that has begun goes on until its end, whatever becomes of the right to it.
    stage.timing.length = Duration::from_secs(1);
    let watch = stage.with_one_map().await;
    stage.ask(right.take()).await;
    stage.waits("configmaps in the namespace `default`").await;
    stage.set("a", 1).await;
    stage.make("b", no_labels()).await;
    stage.set("a", 2).await;
    assert_eq!(stage.told(), ["added a 0"]);
    stage.ask(right.give()).await;
    stage.tells(&["added a 0", "modified a 1", "added b 0", "modified a 2"]).await;
    watch.stop().await.unwrap();
}
