//! Why a rule selected an event, or did not: every check with what it found.

use std::fmt;

use model::source::Emitter;
use model::value::{brief, kind_of};
use model::{ActionRef, Event, Map, RuleRef, Timestamp, TriggerType, Value};
use schemars::JsonSchema;
use serde::Serialize;

use crate::criteria::{Criterion, Scene};
use crate::evaluator::Evaluator;
use crate::operator::{Test, Verdict};
use crate::path::View;
use crate::rule::Rule;
use crate::set::{ActiveRule, emitter_of};

/// A found value with more JSON text than this is cut.
const FOUND_CHARS: usize = 1_000;
/// A value is cut to this many characters where people read it.
const SHOWN_CHARS: usize = 80;

/// What came of a rule and an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The rule asks for its action.
    Match,
    /// It does not.
    NoMatch,
    /// Its condition or a template failed.
    Error,
}

/// A rule and an event, checked step by step.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct Explanation {
    /// The rule.
    pub rule: RuleRef,
    /// What came of it.
    pub outcome: Outcome,
    /// The event's type against the rule's.
    pub trigger: TriggerCheck,
    /// The event's source against what the rule listens to.
    pub source: SourceCheck,
    /// Every criterion that must hold; none where the event is of another type.
    pub criteria: Vec<CriterionCheck>,
    /// The groups of `any`, of which one must hold.
    pub any: Vec<GroupCheck>,
    /// The condition.
    pub when: Option<WhenCheck>,
    /// What the rule asks for.
    pub action: ActionRef,
    /// With these parameters, if it matches.
    pub parameters: Option<Map>,
    /// What failed, and where in the rule's file.
    pub error: Option<String>,
}

/// The type of the event.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct TriggerCheck {
    /// The rule's.
    pub expected: TriggerType,
    /// The event's.
    pub found: TriggerType,
    /// Whether they are the same.
    pub passed: bool,
}

/// The source of the event.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct SourceCheck {
    /// The sensors and subscriptions the rule listens to; none: any.
    pub expected: Vec<String>,
    /// The event's.
    pub found: String,
    /// Whether the rule listens to it; what a person hands in always passes.
    pub passed: bool,
}

/// One operator at one path.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct CriterionCheck {
    /// The path, as written.
    pub path: String,
    /// The operator's first name, `i` before it where it ignores the case.
    pub operator: String,
    /// The pattern, as written.
    pub expected: Value,
    /// What stands at the path, cut where it is long.
    pub found: Found,
    /// Whether it holds.
    pub passed: bool,
    /// What else there is to know: a type that cannot be compared, how many items fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing.
    Absent,
    /// This value.
    Value(Value),
    /// A long value: its beginning as JSON text.
    Long(String),
}

/// One group of `any`.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct GroupCheck {
    /// Its criteria.
    pub criteria: Vec<CriterionCheck>,
    /// Whether all of them hold.
    pub passed: bool,
}

/// The condition.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
pub struct WhenCheck {
    /// As written.
    pub condition: String,
    /// What it said; `None` where criteria failed before, or it failed itself.
    pub result: Option<bool>,
    /// What failed.
    pub error: Option<String>,
}

/// Checks `active` against `event` step by step. It ends as [`crate::RuleSet::decide`] does for
/// the same event and time.
pub fn explain(
    active: &ActiveRule,
    evaluator: &mut Evaluator,
    event: &Event,
    accepted_at: Timestamp,
) -> Explanation {
    let view = View::new(event);
    let mut explanation = checks(active, event, &Scene::new(&view, &active.config, accepted_at));
    if explanation.passed() {
        let mut frame = evaluator.frame(&view, accepted_at);
        frame.set("config", &active.config);
        explanation.conclude(&active.rule, evaluator, &mut frame);
    }
    explanation
}

/// Everything before the condition.
fn checks(active: &ActiveRule, event: &Event, scene: &Scene<'_>) -> Explanation {
    let rule = &active.rule;
    let found = event.envelope.kind.clone();
    let same_type = rule.trigger.kind == found;
    let emitter = emitter_of(event);
    // Paths of another type's data say nothing.
    let (all, any) = if same_type {
        (rule.criteria.all.as_slice(), rule.criteria.any.as_slice())
    } else {
        Default::default()
    };
    Explanation {
        rule: rule.reference.clone(),
        outcome: Outcome::NoMatch,
        trigger: TriggerCheck { expected: rule.trigger.kind.clone(), found, passed: same_type },
        source: SourceCheck {
            expected: active.listens.iter().map(name_of).collect(),
            found: event.envelope.source.clone(),
            passed: active.listens_to(emitter.as_ref()),
        },
        criteria: check_all(all, scene),
        any: any.iter().map(|group| GroupCheck::of(group, scene)).collect(),
        when: rule.when.as_ref().map(|when| WhenCheck {
            condition: when.source().to_owned(),
            result: None,
            error: None,
        }),
        action: rule.action.reference.clone(),
        parameters: None,
        error: None,
    }
}

/// A sensor or subscription as it stands in an event's source, without the installation.
fn name_of(emitter: &Emitter) -> String {
    match emitter {
        Emitter::Sensor(sensor) => sensor.to_string(),
        Emitter::Subscription(kind, hash) => format!("{kind}/{hash}"),
        Emitter::Api(token) => format!("api/{token}"),
        Emitter::Execution => "execution".to_owned(),
        Emitter::Engine => "engine".to_owned(),
    }
}

fn check_all(criteria: &[Criterion], scene: &Scene<'_>) -> Vec<CriterionCheck> {
    let checks = criteria.iter().flat_map(|criterion| {
        criterion.tests.iter().map(|test| CriterionCheck::of(criterion, test, scene))
    });
    checks.collect()
}

impl Explanation {
    fn passed(&self) -> bool {
        self.trigger.passed
            && self.source.passed
            && self.criteria.iter().all(|check| check.passed)
            && (self.any.is_empty() || self.any.iter().any(|group| group.passed))
    }

    fn conclude(
        &mut self,
        rule: &Rule,
        evaluator: &Evaluator,
        frame: &mut expr::condition::Frame<'_>,
    ) {
        if let (Some(when), Some(check)) = (&rule.when, &mut self.when) {
            match when.holds(evaluator, frame) {
                Ok(holds) => check.result = Some(holds),
                Err(failure) => check.error = Some(failure.to_string()),
            }
            if check.result != Some(true) {
                self.error.clone_from(&check.error);
                self.outcome = self.error.as_ref().map_or(Outcome::NoMatch, |_| Outcome::Error);
                return;
            }
        }
        match rule.action.parameters.render(evaluator.interpreter(), frame) {
            Ok(parameters) => {
                self.outcome = Outcome::Match;
                self.parameters = Some(parameters);
            }
            Err(failure) => {
                self.outcome = Outcome::Error;
                self.error = Some(failure.to_string());
            }
        }
    }
}

impl GroupCheck {
    fn of(group: &[Criterion], scene: &Scene<'_>) -> Self {
        let criteria = check_all(group, scene);
        Self { passed: criteria.iter().all(|check| check.passed), criteria }
    }
}

impl CriterionCheck {
    fn of(criterion: &Criterion, test: &Test, scene: &Scene<'_>) -> Self {
        let found = scene.find(&criterion.path);
        let verdict = test.judge(found, scene);
        Self {
            path: criterion.path.to_string(),
            operator: test.to_string(),
            expected: test.written().clone(),
            passed: verdict == Verdict::Holds,
            note: note(test, found, verdict, scene),
            found: Found::of(found),
        }
    }
}

fn note(test: &Test, found: Option<&Value>, verdict: Verdict, scene: &Scene<'_>) -> Option<String> {
    let found = found?;
    if let Verdict::Misfit(wanted) = verdict {
        return Some(format!("it is {}, and only {wanted} can be compared", kind_of(found)));
    }
    let (criteria, items) = (test.items()?, found.as_array()?);
    let fitting = items.iter().filter(|item| scene.item_fits(criteria, item)).count();
    Some(format!("{fitting} of {} items fit", items.len()))
}

impl Found {
    fn of(found: Option<&Value>) -> Self {
        match found {
            None => Self::Absent,
            Some(value) => {
                let text = brief(value, FOUND_CHARS);
                if text.ends_with('…') { Self::Long(text) } else { Self::Value(value.clone()) }
            }
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Value(value) => write!(f, "found {}", brief(value, SHOWN_CHARS)),
            Self::Long(text) => {
                write!(f, "found {}…", text.chars().take(SHOWN_CHARS).collect::<String>())
            }
        }
    }
}

fn mark(passed: bool) -> char {
    if passed { '✓' } else { '✗' }
}

impl fmt::Display for CriterionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = brief(&self.expected, SHOWN_CHARS);
        write!(f, "{} {} {}", mark(self.passed), self.path, self.operator)?;
        write!(f, " {expected}: {}", self.found)?;
        self.note.iter().try_for_each(|note| write!(f, " ({note})"))
    }
}

impl fmt::Display for WhenCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = self.condition.trim();
        match (&self.error, self.result) {
            (Some(error), _) => write!(f, "! when {condition}\n    {error}"),
            (None, Some(result)) => write!(f, "{} when {condition}", mark(result)),
            (None, None) => write!(f, "- when {condition}: not asked"),
        }
    }
}

/// For people: one line a check.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Match => "match",
            Outcome::NoMatch => "no match",
            Outcome::Error => "error",
        };
        writeln!(f, "{}: {outcome}", self.rule)?;
        let TriggerCheck { expected, found, passed } = &self.trigger;
        writeln!(f, "  {} type {expected}: found {found}", mark(*passed))?;
        if !self.source.passed {
            let listens = self.source.expected.join(", ");
            writeln!(f, "  ✗ source {listens}: found {}", self.source.found)?;
        }
        self.criteria.iter().try_for_each(|check| writeln!(f, "  {check}"))?;
        if !self.any.is_empty() {
            let passed = self.any.iter().any(|group| group.passed);
            writeln!(f, "  {} any of {} groups", mark(passed), self.any.len())?;
        }
        for (number, group) in self.any.iter().enumerate() {
            writeln!(f, "    {} group {}", mark(group.passed), number + 1)?;
            group.criteria.iter().try_for_each(|check| writeln!(f, "      {check}"))?;
        }
        self.when.iter().try_for_each(|when| writeln!(f, "  {when}"))?;
        if let (Some(error), None) =
            (&self.error, self.when.as_ref().and_then(|w| w.error.as_ref()))
        {
            writeln!(f, "  ! {error}")?;
        }
        write!(f, "  action {}", self.action)?;
        for (name, value) in self.parameters.iter().flatten() {
            write!(f, "\n    {name}: {}", brief(value, SHOWN_CHARS))?;
        }
        Ok(())
    }
}
