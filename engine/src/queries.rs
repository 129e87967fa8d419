//! What a running engine answers about itself.

use std::collections::{BTreeMap, BTreeSet};

use host::connection::{ConnectionSpec, used};
use model::{
    ActionRef, Event, EventKey, ExecutionId, Fact, Journal, Map, PackName, RuleRef, Stream,
    TriggerType, Value, Version,
};
use sensors::SensorState;
use store::{EventFilter, EventRow, ExecutionFilter, ExecutionRow, RuleCount};

use crate::ask::AskError;
use crate::driver::run::asked_by;
use crate::engine::{Engine, STORE_TAKES_NOTHING};
use crate::going_on::latest_run;
use crate::packs::{
    ActionKind, Generation, Pack, PackStatus, Subscription, TriggerInfo, activate, is_enabled,
    is_reserved, name_of,
};
use crate::undecided::undecided;
use crate::view::{
    ActionView, AttentionView, ExecutionView, Health, LatestView, PackView, RecordedDecision,
    RuleExplanation, RuleView, SensorView, SizeView, StepView, TimerView, TriggerView, steps,
};

/// What is said of a program that has to catch up since a restore.
const AWAITS_CONFIRMATION: &str = "what it tells without a `time` may have been told before the restore, until somebody says that it has caught up";

impl Engine {
    /// An execution and its journal.
    pub async fn execution(&self, id: &ExecutionId) -> Result<ExecutionView, AskError> {
        let row = self.core.store.execution(id).await?;
        let row = row.ok_or_else(|| AskError::NoExecution(id.clone()))?;
        let (facts, _) =
            self.core.store.read(&Stream::Execution(id.clone()), Version::NONE).await?;
        let journal = Journal::of(facts.iter().map(|recorded| &recorded.fact));
        let pack_version = match row.pack {
            Some(hash) => self.core.library.pack(&self.core.folders, hash).await.ok(),
            None => None,
        };
        let actor = asked_by(&facts, &journal);
        let latest = match journal.outcome.as_ref().and_then(|end| end.continued_as.as_ref()) {
            Some(_) => latest_run(&*self.core.store, id).await?,
            None => None,
        };
        let steps = self.with_children_as_they_are(steps(id, &facts)).await?;
        let waits_for = match row.state.is_end() {
            false => undecided(&*self.core.store, id).await?,
            true => Vec::new(),
        };
        Ok(ExecutionView {
            waits_for,
            pack_version: pack_version.map(|pack| pack.version.clone()),
            parameters: journal.request.as_ref().map(|r| r.parameters.clone()).unwrap_or_default(),
            steps,
            size: SizeView::of(&facts, journal.steps()),
            attention: journal.attention.map(|(path, error)| AttentionView { path, error }),
            outcome: journal.outcome,
            continues: journal.continues,
            latest: latest.map(|row| LatestView { id: row.id, state: row.state }),
            undo: journal.undo.map(|undo| undo.reason),
            actor,
            row,
        })
    }

    /// The same steps, of which each that runs a child names the run that this is now. Where steps were
    /// taken over, others made them.
    async fn with_children_as_they_are(
        &self,
        mut steps: Vec<StepView>,
    ) -> Result<Vec<StepView>, AskError> {
        let children = || steps.iter().filter_map(|step| step.child.as_ref()?.parent());
        let makers: BTreeSet<ExecutionId> = children().map(|(maker, _)| maker).collect();
        let mut latest = BTreeMap::new();
        for maker in makers {
            let parent = Some(maker);
            let runs = ExecutionFilter {
                parent,
                last_runs: true,
                limit: chains::MAX_STEPS,
                ..ExecutionFilter::default()
            };
            let runs = self.core.store.executions(&runs).await?.into_iter();
            latest.extend(runs.filter_map(|run| Some((run.id.parent()?, run.id))));
        }
        for child in steps.iter_mut().filter_map(|step| step.child.as_mut()) {
            if let Some(run) = child.parent().and_then(|place| latest.remove(&place)) {
                *child = run;
            }
        }
        Ok(steps)
    }

    /// Executions that fit `filter`, newest first.
    pub async fn executions(
        &self,
        filter: &ExecutionFilter,
    ) -> Result<Vec<ExecutionRow>, AskError> {
        Ok(self.core.store.executions(filter).await?)
    }

    /// Events that fit `filter`, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, AskError> {
        Ok(self.core.store.events(filter).await?)
    }

    /// Every rule.
    pub async fn rules(&self) -> Result<Vec<RuleView>, AskError> {
        let generation = self.core.generation.load_full();
        let switches = self.core.store.rule_switches().await?;
        let counts = self.core.store.rule_counts().await?;
        let rules = generation.packs.values().flat_map(|pack| pack.rules.values());
        Ok(rules.map(|rule| rule_view(rule, &switches, &counts)).collect())
    }

    /// One rule, with its file's text.
    pub async fn rule(&self, reference: &RuleRef) -> Result<RuleView, AskError> {
        let rules = self.rules().await?;
        let known: Vec<String> = rules.iter().map(|rule| rule.rule.to_string()).collect();
        let Some(mut view) = rules.into_iter().find(|rule| rule.rule == *reference) else {
            return Err(AskError::unknown(
                "rule",
                &reference.to_string(),
                known.iter().map(String::as_str),
            ));
        };
        let generation = self.core.generation.load_full();
        view.text = generation.packs.get(&reference.pack).and_then(|pack| {
            let end = format!("/rules/{}.y", reference.name);
            pack.texts.iter().find(|(file, _)| file.contains(&end)).map(|(_, text)| text.clone())
        });
        Ok(view)
    }

    /// What each rule (or one) made of a stored event, or with `now` what today's rules would.
    pub async fn explain(
        &self,
        key: &EventKey,
        rule: Option<&RuleRef>,
        now: bool,
    ) -> Result<Vec<RuleExplanation>, AskError> {
        let (row, data) = self.event(key).await?;
        let (generation, gone) = match now {
            true => (self.core.generation.load_full(), Vec::new()),
            false => self.generation_of(row.generation).await?,
        };
        let recorded = if now { None } else { Some(self.recorded(&row).await?) };
        let event = std::sync::Arc::new(Event { envelope: row.envelope.clone(), data });
        let switches = self.core.store.rule_switches().await?;
        let mut explanations = Vec::new();
        for pack in generation.packs.values() {
            for one in pack.rules.values().filter(|one| rule.is_none_or(|r| *r == one.reference)) {
                let decision = recorded.as_ref().map(|recorded| {
                    recorded.get(&one.reference).cloned().unwrap_or(RecordedDecision::NotSelected)
                });
                let active = activate(pack, one);
                let (event, at) = (event.clone(), row.accepted_at);
                let explained = self
                    .core
                    .evaluators
                    .call(move |bench| rules::explain(&active, &mut bench.rules, &event, at));
                let disabled = !is_enabled(one, &switches);
                explanations.push(RuleExplanation {
                    rule: one.reference.clone(),
                    recorded: decision,
                    explanation: explained.await.ok(),
                    note: disabled.then(|| "the rule is disabled".to_owned()),
                });
            }
        }
        for (reference, decision) in recorded.into_iter().flatten() {
            let told = explanations.iter().any(|explained| explained.rule == reference);
            if !told && rule.is_none_or(|r| *r == reference) {
                let note = "the rule's text of that time is gone".to_owned();
                explanations.push(RuleExplanation {
                    rule: reference,
                    recorded: Some(decision),
                    explanation: None,
                    note: Some(note),
                });
            }
        }
        if let (Some(reference), true) = (rule, explanations.is_empty()) {
            let which = if gone.is_empty() { "" } else { " among the rules that saw the event" };
            return Err(AskError::NotFound(format!("there is no rule `{reference}`{which}")));
        }
        Ok(explanations)
    }

    /// The packs of a former generation, as far as their contents are still there.
    async fn generation_of(
        &self,
        number: u64,
    ) -> Result<(std::sync::Arc<Generation>, Vec<String>), AskError> {
        let current = self.core.generation.load_full();
        if current.number == number {
            return Ok((current, Vec::new()));
        }
        let (facts, _) = self.core.store.read(&Stream::Installation, Version::NONE).await?;
        let hashes = facts.into_iter().find_map(|recorded| match recorded.fact {
            Fact::GenerationActivated { generation, packs } if generation == number => Some(packs),
            _ => None,
        });
        let mut packs = BTreeMap::new();
        let mut gone = Vec::new();
        for (name, hash) in hashes.unwrap_or_default() {
            match self.core.library.pack(&self.core.folders, hash).await {
                Ok(pack) => {
                    packs.insert(name, pack);
                }
                Err(_) => gone.push(name.to_string()),
            }
        }
        let generation = Generation::assemble(number, packs, &BTreeMap::new(), None);
        Ok((std::sync::Arc::new(generation), gone))
    }

    async fn recorded(
        &self,
        row: &EventRow,
    ) -> Result<BTreeMap<RuleRef, RecordedDecision>, AskError> {
        let selected = |matched: Vec<(RuleRef, ExecutionId)>| -> Vec<_> {
            matched.into_iter().map(|(rule, id)| (rule, RecordedDecision::Selected(id))).collect()
        };
        let mut recorded: BTreeMap<RuleRef, RecordedDecision> =
            selected(row.matched.clone()).into_iter().collect();
        let (facts, _) =
            self.core.store.read(&Stream::Event(row.key.clone()), Version::NONE).await?;
        recorded.extend(facts.into_iter().flat_map(|fact| match fact.fact {
            Fact::RuleFailed { rule, error } => vec![(rule, RecordedDecision::Failed(error))],
            Fact::MoreMatched { matched, .. } => selected(matched),
            _ => Vec::new(),
        }));
        Ok(recorded)
    }

    /// Every action: built in and of active packs.
    pub fn actions(&self) -> Vec<ActionView> {
        let generation = self.core.generation.load_full();
        let builtin = self.core.library.builtin().map(|metadata| action_view(metadata, "builtin"));
        let packs = generation.packs.values().flat_map(|pack| pack.actions.values());
        let packs = packs.map(|action| {
            let kind = match action.kind {
                ActionKind::Chain(_) => "chain",
                ActionKind::Program(_) => "program",
            };
            action_view(&action.metadata, kind)
        });
        let mut all: Vec<ActionView> = builtin.chain(packs).collect();
        all.sort_by(|a, b| a.action.cmp(&b.action));
        all
    }

    /// One action.
    pub fn action(&self, reference: &ActionRef) -> Result<ActionView, AskError> {
        let all = self.actions();
        let known: Vec<String> = all.iter().map(|view| view.action.to_string()).collect();
        let found = all.into_iter().find(|view| view.action == *reference);
        found.ok_or_else(|| {
            AskError::unknown("action", reference.as_str(), known.iter().map(String::as_str))
        })
    }

    /// Every trigger type.
    pub fn triggers(&self) -> Vec<TriggerView> {
        let generation = self.core.generation.load_full();
        generation.triggers.values().map(|info| trigger_view(&generation, info.clone())).collect()
    }

    /// One trigger type.
    pub fn trigger(&self, kind: &TriggerType) -> Result<TriggerView, AskError> {
        let all = self.triggers();
        let known: Vec<String> = all.iter().map(|view| view.kind.to_string()).collect();
        let found = all.into_iter().find(|view| view.kind == *kind);
        found.ok_or_else(|| {
            AskError::unknown("trigger type", kind.as_str(), known.iter().map(String::as_str))
        })
    }

    /// Every sensor and subscription.
    pub async fn sensors(&self) -> Result<Vec<SensorView>, AskError> {
        let generation = self.core.generation.load_full();
        let switches = self.core.store.rule_switches().await?;
        let mut views = Vec::new();
        for (subscription, status) in self.sensing.list() {
            let next_try = match status.state {
                SensorState::Failing { next_try, .. } => Some(next_try),
                _ => None,
            };
            // What has come is being tried.
            let next_try = next_try.filter(|at| *at > self.core.now());
            let (state, message) = self.stands(&subscription, &status.state);
            views.push(SensorView {
                cursor: self.core.store.cursor(&subscription.id).await?.map(|row| row.cursor),
                rules: generation.listeners(&subscription.id, &switches),
                webhook: (subscription.kind == "webhook")
                    .then(|| format!("/webhooks/{}", subscription.id)),
                id: subscription.address(),
                kind: subscription.kind,
                parameters: Value::Object(subscription.parameters),
                state,
                message,
                next_try,
                events: status.events,
                left_out: status.left_out,
                restarts: status.restarts,
            });
        }
        Ok(views)
    }

    /// How a sensor stands, also where it is not the sensor itself that waits.
    fn stands(
        &self,
        subscription: &Subscription,
        state: &SensorState,
    ) -> (&'static str, Option<String>) {
        let name = subscription.address();
        match state {
            SensorState::Running if self.core.store_failing.is_so() => {
                ("waiting", Some(format!("its events wait: {STORE_TAKES_NOTHING}")))
            }
            SensorState::Running if self.sensing.is_behind(&name) => (
                state.name(),
                Some(format!("{AWAITS_CONFIRMATION}: `tripline sensor confirm {name}`")),
            ),
            state => (state.name(), state.message()),
        }
    }

    /// The sensor or subscription that is called `name`: `pack.sensor`, or as its source says.
    pub async fn sensor(&self, name: &str) -> Result<SensorView, AskError> {
        let address = self.sensing.address(name).unwrap_or_else(|| name.to_owned());
        let sensors = self.sensors().await?;
        let known: Vec<String> = sensors.iter().map(|sensor| sensor.id.clone()).collect();
        let found = sensors.into_iter().find(|sensor| sensor.id == address);
        found.ok_or_else(|| AskError::unknown("sensor", name, known.iter().map(String::as_str)))
    }

    /// Every timer with its next `count` firings.
    pub async fn timers(&self, count: usize) -> Result<Vec<TimerView>, AskError> {
        let sensors = self.sensors().await?;
        let timers = sensors.into_iter().filter(|sensor| sensor.kind.starts_with("timer."));
        let views = timers.map(|sensor| TimerView {
            next: self.sensing.upcoming(&sensor.id, sensor.cursor.as_ref(), count),
            id: sensor.id,
            kind: sensor.kind,
            parameters: sensor.parameters,
            rules: sensor.rules,
        });
        Ok(views.collect())
    }

    /// Every pack's folder with what became of it.
    pub fn pack_views(&self) -> Vec<PackView> {
        self.packs.status().iter().map(pack_view).collect()
    }

    /// Whether good content of a pack may be held up by the state folder's disk.
    pub(crate) fn has_unpinned(&self) -> bool {
        self.packs.is_unpinned()
    }

    /// Whether an active pack has this name.
    pub fn has_pack(&self, name: &str) -> bool {
        self.core.generation.load().packs.keys().any(|pack| pack.as_str() == name)
    }

    /// Whether what is named `prefix.…` is built in and belongs to no pack.
    pub fn is_built_in(&self, prefix: &str) -> bool {
        let reserved = prefix.parse::<PackName>().is_ok_and(|name| is_reserved(&name));
        reserved && !self.has_pack(prefix)
    }

    /// The connection that a built-in action with these parameters goes by. A parameter of a pack's own
    /// action may be called `connection` too.
    pub fn connection_of<'a>(&self, action: &ActionRef, parameters: &'a Map) -> Option<&'a str> {
        let named = parameters.get("connection").and_then(Value::as_str);
        self.is_built_in(action.pack()).then(|| used(action.as_str(), named)).flatten()
    }

    /// Whether a pack that is active may use the connection `name`; also where there is none.
    pub fn is_lent(&self, name: &str) -> bool {
        let generation = self.core.generation.load();
        let connection = self.core.connections.get(name);
        let lent = |spec: &ConnectionSpec| generation.packs.keys().any(|pack| spec.admits(pack));
        connection.is_none_or(|connection| lent(&connection.spec))
    }

    /// One pack, by its name.
    pub fn pack(&self, name: &str) -> Result<PackView, AskError> {
        let all = self.pack_views();
        let known: Vec<String> = all.iter().map(|pack| pack.name.clone()).collect();
        let found = all.into_iter().find(|pack| pack.name == name);
        found.ok_or_else(|| AskError::unknown("pack", name, known.iter().map(String::as_str)))
    }

    /// Why not everything could be requested yet that rules asked for on the event, if that is so.
    pub fn stuck(&self, event: &EventKey) -> Option<String> {
        self.core.stuck.all().remove(event)
    }

    /// How the engine is.
    pub async fn health(&self) -> Result<Health, AskError> {
        let (active, queued) = self.driver.load();
        let problem = self.problem().map(ToOwned::to_owned);
        let executions = self.core.store.counts().await?;
        let stuck = self.core.stuck.all();
        Ok(Health { ready: problem.is_none(), problem, executions, active, queued, stuck })
    }
}

fn rule_view(
    rule: &rules::Rule,
    switches: &BTreeMap<RuleRef, bool>,
    counts: &BTreeMap<RuleRef, RuleCount>,
) -> RuleView {
    RuleView {
        rule: rule.reference.clone(),
        description: rule.description.clone().unwrap_or_default(),
        trigger: rule.trigger.kind.clone(),
        action: rule.action.reference.clone(),
        enabled: is_enabled(rule, switches),
        switched: switches.get(&rule.reference).copied(),
        counts: counts.get(&rule.reference).copied().unwrap_or_default(),
        text: None,
    }
}

fn action_view(metadata: &actions::Metadata, kind: &'static str) -> ActionView {
    ActionView {
        action: metadata.reference.clone(),
        description: metadata.description.clone(),
        kind,
        effect: metadata.effect,
        parameters: Value::Object(metadata.parameters.properties().clone()),
        result: Value::Object(metadata.result.properties().clone()),
    }
}

fn trigger_view(generation: &Generation, info: TriggerInfo) -> TriggerView {
    let rules = generation.packs.values().flat_map(|pack| pack.rules.values());
    TriggerView {
        rules: rules
            .filter(|rule| rule.trigger.kind == info.kind)
            .map(|r| r.reference.clone())
            .collect(),
        kind: info.kind,
        description: info.description,
        parameters: Value::Object(info.parameters.properties().clone()),
        payload: Value::Object(info.payload.properties().clone()),
    }
}

fn pack_view(status: &PackStatus) -> PackView {
    let active: Option<&Pack> = status.active.as_deref();
    let folder = status.folder.display().to_string();
    let name = active.map(|pack| pack.name.to_string()).or_else(|| name_of(&status.folder));
    PackView {
        name: name.unwrap_or_else(|| folder.clone()),
        version: active.map(|pack| pack.version.clone()),
        hash: active.map(|pack| pack.hash),
        description: active.map(|pack| pack.description.clone()).unwrap_or_default(),
        state: match (active, status.stale) {
            (Some(_), false) => "active",
            (Some(_), true) => "stale",
            (None, _) => "rejected",
        },
        folder,
        rules: active.map_or(0, |pack| pack.rules.len()),
        actions: active.map_or(0, |pack| pack.actions.len()),
        sensors: active.map_or(0, |pack| pack.sensors.len()),
        findings: status.findings.iter().map(Into::into).collect(),
    }
}
