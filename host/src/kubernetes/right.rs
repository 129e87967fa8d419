//! What somebody has to be allowed to do: RBAC's verbs on objects of a kind, before anybody asks a
//! cluster how it calls the kind.

use model::Foreseen;
use model::foreseen::HOLE;

/// A right on objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// `v1`, or `group/version`, and the kind; none: it is computed.
    pub kind: Option<(String, String)>,
    /// A part of the objects, such as `status`.
    pub part: Option<&'static str>,
    /// What is done, such as `get`.
    pub verbs: Vec<&'static str>,
    /// Where the objects lie.
    pub place: Place,
    /// Which object, where it is always the same one.
    pub name: Option<String>,
}

/// Where objects lie, as far as a file tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In this namespace.
    Namespace(String),
    /// Where the connection says, since nothing is said.
    Default,
    /// All over the cluster.
    Everywhere,
    /// In a namespace that is computed.
    Computed,
}

impl Place {
    /// The place that a parameter names; `unsaid` where it names none.
    pub fn of(namespace: &Foreseen, unsaid: Self) -> Self {
        match namespace.text() {
            Some(name) => Self::Namespace(name.to_owned()),
            None if namespace.is_given() => Self::Computed,
            None => unsaid,
        }
    }
}

impl Right {
    /// To do this with objects of a kind.
    pub fn new(api_version: &str, kind: &str, verbs: &[&'static str], place: Place) -> Self {
        Self::of(Some((api_version.to_owned(), kind.to_owned())), verbs, place)
    }

    /// The same of a kind that may be computed.
    pub fn of(kind: Option<(String, String)>, verbs: &[&'static str], place: Place) -> Self {
        Self { kind, part: None, verbs: verbs.to_vec(), place, name: None }
    }

    /// The same of a part of the objects.
    #[must_use]
    pub fn on(self, part: &'static str) -> Self {
        Self { part: Some(part), ..self }
    }

    /// The same of one object, where its name is known.
    #[must_use]
    pub fn named(self, name: &Foreseen) -> Self {
        Self { name: name.text().map(ToOwned::to_owned), ..self }
    }
}

/// The kind that an object or parameters name, under these keys.
pub fn kind_of(value: &Foreseen, [api_version, kind]: [&str; 2]) -> Option<(String, String)> {
    let text = |key| {
        let text = value.at(key).text()?;
        (!text.contains(HOLE)).then(|| text.to_owned())
    };
    Some((text(api_version)?, text(kind)?))
}
