//! Every metric, once: from this table follow what is written at `/metrics`, its help, and the page
//! of the documentation.

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, as it is written.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, in a sentence.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It grows; it may begin anew when the server is started.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How often something took how long: cumulative, with these bounds in seconds.
    Histogram(Bounds),
}

/// The bounds of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// What a disk takes.
    Disk,
    /// What a step takes: from a local answer to a deployment.
    Work,
}

impl Bounds {
    /// In seconds.
    pub(super) const fn seconds(self) -> &'static [f64] {
        match self {
            Self::Disk => {
                &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]
            }
            Self::Work => &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0],
        }
    }
}

impl Kind {
    /// As the format calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: Bounds,
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(bounds), labels, help }
}

pub(super) const EVENTS: &str = "tripline_events_accepted_total";
pub(super) const DUPLICATES: &str = "tripline_event_duplicates_total";
pub(super) const RULE_MATCHES: &str = "tripline_rule_matches_total";
pub(super) const RULE_ERRORS: &str = "tripline_rule_errors_total";
pub(super) const REQUESTED: &str = "tripline_executions_requested_total";
pub(super) const FINISHED: &str = "tripline_executions_finished_total";
pub(super) const EXECUTIONS: &str = "tripline_executions";
pub(super) const ATTENTION: &str = "tripline_needs_attention";
pub(super) const STUCK: &str = "tripline_events_stuck";
pub(super) const PAGES_GIVEN_UP: &str = "tripline_event_pages_given_up_total";
pub(super) const ACTIVE: &str = "tripline_executions_active";
pub(super) const QUEUED: &str = "tripline_executions_queued";
pub(super) const OLDEST_QUEUED: &str = "tripline_oldest_queued_seconds";
pub(super) const STEP: &str = "tripline_step_seconds";
pub(super) const CLUSTER: &str = "tripline_cluster_request_seconds";
pub(super) const STEPS_RUNNING: &str = "tripline_steps_running";
pub(super) const STEPS_WAITING: &str = "tripline_steps_waiting";
pub(super) const SENSOR_STATE: &str = "tripline_sensor_state";
pub(super) const SENSOR_LAG: &str = "tripline_sensor_lag_seconds";
pub(super) const SENSOR_EVENTS: &str = "tripline_sensor_events_total";
pub(super) const SENSOR_LEFT_OUT: &str = "tripline_sensor_left_out_total";
pub(super) const SENSOR_RESTARTS: &str = "tripline_sensor_restarts_total";
pub(super) const SENSOR_LAST: &str = "tripline_sensor_last_event_timestamp_seconds";
pub(super) const WEBHOOKS_REFUSED: &str = "tripline_webhooks_refused_total";
pub(super) const REQUESTS_REFUSED: &str = "tripline_api_requests_refused_total";
pub(super) const PACKS: &str = "tripline_packs";
pub(super) const COMMIT: &str = "tripline_commit_seconds";
pub(super) const STORE_BYTES: &str = "tripline_store_bytes";
pub(super) const STORE_FACTS: &str = "tripline_store_facts_total";
pub(super) const SPANS: &str = "tripline_spans_total";
pub(super) const READY: &str = "tripline_ready";
pub(super) const START_TIME: &str = "process_start_time_seconds";
pub(super) const BUILD: &str = "tripline_build_info";

/// Every metric, in the order of the documentation.
pub const METRICS: &[Metric] = &[
    counter(
        EVENTS,
        &["source"],
        "Events that were taken in, by where they come from: a sensor, `api`, `execution` (a chain's `emit`) or `engine`.",
    ),
    counter(
        DUPLICATES,
        &["differs"],
        "Events that were told again and dropped; `differs`: whether with other data.",
    ),
    counter(
        RULE_MATCHES,
        &["rule"],
        "Events that a rule selected, since the store was made. At most 1,000 rules have a line of their own; the others are added up as `other`.",
    ),
    counter(
        RULE_ERRORS,
        &["rule"],
        "Events on which a rule's condition or a template failed, since the store was made; `other` as for the matches.",
    ),
    counter(
        REQUESTED,
        &["origin"],
        "Executions that were asked for, by `rule`, `manual`, `rerun` or (children) `step`.",
    ),
    counter(FINISHED, &["action", "outcome"], "Executions that ended, by their action and how."),
    gauge(EXECUTIONS, &["state"], "Executions that are kept, children too, by their state."),
    gauge(
        ATTENTION,
        &[],
        "Executions that wait for a person, because nobody knows what a step of theirs did.",
    ),
    gauge(
        STUCK,
        &[],
        "Events of which not everything could be requested, because a file in `blobs/` is lost or damaged.",
    ),
    counter(
        PAGES_GIVEN_UP,
        &[],
        "Parts of what rules asked for on events that were lost, and that somebody gave up.",
    ),
    gauge(ACTIVE, &[], "Executions that are in memory now."),
    gauge(QUEUED, &[], "Executions that wait for room in memory."),
    gauge(
        OLDEST_QUEUED,
        &[],
        "Age of the oldest execution that was asked for and has not begun; 0 if there is none.",
    ),
    histogram(
        STEP,
        &["action", "outcome", "connection"],
        Bounds::Work,
        "Time of one attempt at a step, by its action; `outcome`: `done`, `failed` or `unknown`. `connection`: of built-in actions that go by one; `default` is the server's own cluster.",
    ),
    histogram(
        CLUSTER,
        &["connection", "method", "status"],
        Bounds::Work,
        "Time until a cluster's API server began to answer a request, by the connection (`default`: the server's own cluster), the request's method and the answer's status; `none`: it did not answer. The wait for the connection's rate is not in it.",
    ),
    gauge(
        STEPS_RUNNING,
        &["kind"],
        "Steps that are being performed: a `program` of a pack, or what is built in (`action`).",
    ),
    gauge(STEPS_WAITING, &["kind"], "Steps that wait for one of the places to be performed at."),
    gauge(
        SENSOR_STATE,
        &["sensor", "state"],
        "1 for the state a sensor is in: `running`, `waiting` or `failing`.",
    ),
    gauge(
        SENSOR_LAG,
        &["sensor"],
        "How long after it happened the newest event of a sensor was stored.",
    ),
    counter(SENSOR_EVENTS, &["sensor"], "Events that a sensor told, duplicates too."),
    counter(
        SENSOR_LEFT_OUT,
        &["sensor"],
        "What a sensor saw and could tell no rule, or not whole, for it is nested too deep or too large.",
    ),
    counter(
        SENSOR_RESTARTS,
        &["sensor"],
        "How often a sensor was started again after it had failed.",
    ),
    gauge(SENSOR_LAST, &["sensor"], "When a sensor last told an event, in Unix time."),
    counter(
        WEBHOOKS_REFUSED,
        &["sensor", "reason"],
        "Requests that a webhook sensor refused, by the reason.",
    ),
    counter(
        REQUESTS_REFUSED,
        &["reason"],
        "Requests to the API that were refused for want of a good token (`unauthenticated`), of rights (`denied`), or after too many wrong tokens (`rate_limited`).",
    ),
    gauge(
        PACKS,
        &["state"],
        "Packs by state: `active`, `stale` (the files are broken, the last good content is active) or `rejected`.",
    ),
    histogram(
        COMMIT,
        &[],
        Bounds::Disk,
        "Time from handing facts to the store until they are durable; commits that wait for one another are made together.",
    ),
    gauge(
        STORE_BYTES,
        &[],
        "Bytes of the database: the log and its listings. Large values lie in `blobs/` beside it.",
    ),
    counter(STORE_FACTS, &[], "Facts that were ever stored: the position of the last one."),
    counter(
        SPANS,
        &["outcome"],
        "Spans of traces that were `sent`, that the collector did not take (`failed`), or that did not fit the queue (`dropped`).",
    ),
    gauge(
        READY,
        &[],
        "1 while the engine takes work, 0 while it stops or the store takes nothing.",
    ),
    gauge(START_TIME, &[], "When the engine was started, in Unix time."),
    gauge(BUILD, &["version"], "Always 1; its label tells the version."),
];
