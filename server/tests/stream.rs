//! The live stream: every fact once, in order, from wherever a client left off.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Served, Stream, send};

fn stream(served: &Served, query: &str) -> reqwest::RequestBuilder {
    served.request(Method::GET, &format!("/api/v1/stream{query}")).bearer_auth(served.token())
}

fn positions(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["position"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_now_and_tells_each_fact_with_who_and_what() {
    let served = Served::start().await;
    served.ended(&served.order("before").await).await;
    let mut live = Stream::open(stream(&served, "")).await;
    let id = served.order("bike").await;
    let told = live.until("ExecutionFinished").await;
    let event = &told[0];
    assert_eq!((&event["type"], &event["actor"]), (&json!("EventAccepted"), &json!("token:admin")));
    assert_eq!(event["fact"]["event"]["data"]["inline"], json!({ "item": "bike" }));
    let end = told.last().unwrap();
    assert_eq!(end["stream"], format!("execution/{id}"));
    assert_eq!(end["fact"]["outcome"]["state"], "succeeded");
    let positions = positions(&told);
    assert!(positions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{positions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let served = Served::start().await;
    served.ended(&served.order("bike").await).await;
    let mut all = Stream::open(stream(&served, "?after=0")).await;
    let all = positions(&all.until("ExecutionFinished").await);
    let left = all[all.len() / 2];
    let rest: Vec<u64> = all.iter().copied().filter(|position| *position > left).collect();
    let by_query = stream(&served, &format!("?after={left}"));
    // A browser comes back to the same address: the header wins.
    let by_header = stream(&served, "?after=0").header("last-event-id", left);
    for request in [by_query, by_header] {
        let mut again = Stream::open(request).await;
        assert_eq!(positions(&again.until("ExecutionFinished").await), rest);
    }
    let wrong = stream(&served, "").header("last-event-id", "yesterday");
    send(wrong).await.problem(400, "invalid_parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_log_has_not_reached_is_refused_with_what_to_do() {
    let served = Served::start().await;
    let id = served.order("bike").await;
    served.ended(&id).await;
    let mut all = Stream::open(stream(&served, "?after=0")).await;
    let last = *positions(&all.until("ExecutionFinished").await).last().unwrap();
    for request in [
        stream(&served, "?after=1000"),
        stream(&served, "").header("last-event-id", 1000),
        stream(&served, &format!("?stream=execution/{id}&after=1000")),
    ] {
        let problem = send(request).await.problem(409, "conflict");
        let told = format!("cannot go on after position 1000: the log ends at {last}");
        assert!(problem["detail"].as_str().unwrap().contains(&told), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("restored from a backup"), "{problem}");
    }
    let mut live = Stream::open(stream(&served, &format!("?after={last}"))).await;
    served.order("car").await;
    assert_eq!(live.next().await.unwrap()["type"], "EventAccepted", "its own end is no such place");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_execution_is_followed_from_its_first_fact() {
    let served = Served::start().await;
    let id = served.order("bike").await;
    served.order("boat").await;
    let mut live = Stream::open(stream(&served, &format!("?stream=execution/{id}"))).await;
    let told = live.until("ExecutionFinished").await;
    assert_eq!(told[0]["type"], "ExecutionRequested");
    assert!(told.iter().all(|message| message["stream"] == format!("execution/{id}")));
    let seen = told[0]["position"].as_u64().unwrap();
    let request = stream(&served, &format!("?stream=execution/{id}"));
    let mut again = Stream::open(request.header("last-event-id", seen)).await;
    assert_eq!(again.until("ExecutionFinished").await, told[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let served = Served::start().await;
    let made =
        served.post("/api/v1/tokens", json!({ "name": "eve", "role": "viewer" })).await.json();
    let request = served.request(Method::GET, "/api/v1/stream");
    let mut live = Stream::open(request.bearer_auth(made["token"].as_str().unwrap())).await;
    served.order("before").await;
    live.until("ExecutionFinished").await;
    let path = "/api/v1/tokens/eve";
    send(served.request(Method::DELETE, path).bearer_auth(served.token())).await;
    served.order("after").await;
    while let Some(message) = live.next().await {
        assert!(!message.to_string().contains("after"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_server_stops() {
    let served = Served::start().await;
    let mut live = Stream::open(stream(&served, "")).await;
    let _folder = served.stop().await;
    while live.next().await.is_some() {}
}
