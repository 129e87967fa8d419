//! Rules: YAML → compiled rules → which event asks for which action, and why.
//!
//! This crate owns *what a rule means*: its file, its operators, the index over many rules, the
//! decision about an event and its explanation. It is a pure function of (rules, event, accepted
//! time): it must never know of IO, clocks, sensors, actions' schemas or the store.
//!
//! ```
//! use std::sync::Arc;
//! use model::{Event, Envelope, Timestamp};
//! use rules::{ActiveRule, Evaluator, Rule, RuleSet};
//!
//! let text = "
//! trigger: { type: git.push }
//! criteria: { trigger.branch: main }
//! when: trigger.commits.len() > 0
//! action: { ref: app.release, parameters: { commit: '${trigger.after}' } }
//! ";
//! let rule = Rule::parse("release.yaml", text, "app.release".parse().unwrap()).unwrap();
//! let config = Arc::new(serde_json::json!({}));
//! let rules = RuleSet::new(vec![ActiveRule { rule: Arc::new(rule), listens: vec![], config }]);
//! let event = Event {
//!     envelope: Envelope {
//!         id: "1".to_owned(), source: "tripline:demo/app/push".to_owned(),
//!         kind: "git.push".parse().unwrap(), time: Timestamp::UNIX_EPOCH, subject: None, cause: None,
//!         traceparent: None,
//!         tracestate: None,
//!     },
//!     data: serde_json::json!({ "branch": "main", "commits": [{}], "after": "9fceb02" }),
//! };
//! let decision = rules.decide(&mut Evaluator::new(), &event, Timestamp::UNIX_EPOCH);
//! assert_eq!(decision.selected[0].parameters["commit"], "9fceb02");
//! ```

mod compare;
pub mod criteria;
mod evaluator;
pub mod explain;
mod index;
pub mod operator;
pub mod parameters;
pub mod path;
mod pattern;
pub mod reach;
pub mod rule;
pub mod set;

pub use evaluator::{Condition, Evaluator};
pub use explain::{Explanation, Outcome, explain};
pub use parameters::Parameters;
pub use pattern::BadPattern;
pub use rule::{Action, Rule, Trigger};
pub use set::{ActiveRule, Decision, RuleFailure, RuleSet, Selected};
