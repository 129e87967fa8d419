//! What is known to be there although its file is wrong: a check tells of that file, and not of
//! what seems to be missing without it.

use std::collections::{BTreeMap, BTreeSet};

use model::{Name, PackName};

/// The files of one pack that could not be used.
#[derive(Debug, Default)]
pub(super) struct Broken {
    /// Its `pack.yaml`: what it asks for is not known, nor how it is configured.
    pub(super) manifest: bool,
    actions: BTreeSet<Name>,
    sensors: BTreeSet<Name>,
    triggers: BTreeSet<Name>,
}

/// The same of the packs that are checked together.
#[derive(Debug, Default)]
pub(super) struct AllBroken {
    /// Packs of which nothing is known but the name of their folder.
    pub(super) packs: BTreeSet<String>,
    /// The others.
    pub(super) files: BTreeMap<PackName, Broken>,
}

impl Broken {
    /// The object `name`, whose file lies in the folder `kind`, could not be used.
    pub(super) fn object(&mut self, kind: &str, name: Name) {
        // Nothing names a rule.
        match kind {
            "actions" => self.actions.insert(name),
            "sensors" => self.sensors.insert(name),
            "triggers" => self.triggers.insert(name),
            _ => false,
        };
    }

    /// Whether some sensor is unknown.
    pub(super) fn has_sensors(&self) -> bool {
        !self.sensors.is_empty()
    }

    /// Whether some event type is unknown.
    pub(super) fn has_triggers(&self) -> bool {
        !self.triggers.is_empty()
    }
}

impl AllBroken {
    /// What is broken of one pack.
    pub(super) fn of(&self, pack: &PackName) -> Option<&Broken> {
        self.files.get(pack)
    }

    /// Actions, by their address.
    pub(super) fn actions(&self) -> impl Iterator<Item = String> {
        self.addresses(|broken| &broken.actions)
    }

    /// Sensors, by their address.
    pub(super) fn sensors(&self) -> impl Iterator<Item = String> {
        self.addresses(|broken| &broken.sensors)
    }

    /// Event types.
    pub(super) fn triggers(&self) -> impl Iterator<Item = String> {
        self.addresses(|broken| &broken.triggers)
    }

    fn addresses(&self, of: fn(&Broken) -> &BTreeSet<Name>) -> impl Iterator<Item = String> {
        let packs = self.files.iter();
        packs.flat_map(move |(pack, broken)| {
            of(broken).iter().map(move |name| format!("{pack}.{name}"))
        })
    }
}
