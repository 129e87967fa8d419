//! From defaults, file, variables and flags to the value of each key, and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use engine::Share;
use engine::packs::shipped::Shipped;
use model::diagnostic::suggest;
use model::{Diagnostic, Location, Value};
use syntax::{Field, Fields, Node};

use super::keys::{
    AGES, KEY_FORMS, KEYS, Key, Kind, age, check_address, check_bytes, check_pack_name, check_time,
    check_url, find, key_from, key_source,
};

/// Where a value came from; a later one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The file says so.
    File(Location),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(at) => at.fmt(f),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The value of each key that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings(BTreeMap<&'static str, (Value, Origin)>);

impl Settings {
    /// The defaults, with paths that start from `folder`.
    pub(super) fn defaults(folder: &Path) -> Self {
        let defaults = KEYS.iter().filter_map(|key| {
            let value = of_text(key.kind, key.default?, folder).ok()?;
            Some((key.path, (value, Origin::Default)))
        });
        Self(defaults.collect())
    }

    /// Takes over what the file says; its relative paths start from `folder`.
    pub(super) fn read(&mut self, root: &Node, folder: &Path) -> Result<(), Vec<Diagnostic>> {
        let mut said = Vec::new();
        let fields = Fields::new(root, &names(None), &[]);
        for name in names(None) {
            if let Some(key) = find(name) {
                said.extend(of_field(key, &fields, folder));
            } else if let Some(node) = fields.optional(name).node() {
                let group = group(name, node, folder);
                said.extend(fields.part(group).unwrap_or_default());
            }
        }
        let said = fields.finish(Some(said))?;
        self.0.extend(said);
        Ok(())
    }

    /// Takes over what the environment's variables say. Relative paths start from here.
    pub(super) fn read_variables(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        for key in KEYS {
            let name = key.variable();
            // An empty variable is how scripts leave one out.
            let Some(text) = variable(&name).filter(|text| !text.is_empty()) else { continue };
            let value = of_text(key.kind, &text, Path::new(""));
            let value = value.map_err(|error| format!("the variable {name}: {error}"))?;
            self.0.insert(key.path, (value, Origin::Variable(name)));
        }
        Ok(())
    }

    /// A flag says so.
    pub(super) fn flag(&mut self, path: &'static str, flag: &str, value: Value) {
        self.0.insert(path, (value, Origin::Flag(flag.to_owned())));
    }

    /// The value of a key, where it has one.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        self.0.get(path).map(|(value, _)| value)
    }

    /// Each key with its value and its origin.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, Option<&(Value, Origin)>)> {
        KEYS.iter().map(|key| (key, self.0.get(key.path)))
    }
}

/// The names that may stand in the map `group`; at the top, maps count too.
fn names(group: Option<&str>) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for key in KEYS {
        let (of, name) = key.place();
        let name = if group.is_none() { of.unwrap_or(name) } else { name };
        if (group.is_none() || of == group) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

type Said = Vec<(&'static str, (Value, Origin))>;

fn group(name: &str, node: &Node, folder: &Path) -> Result<Said, Vec<Diagnostic>> {
    let fields = Fields::new(node, &names(Some(name)), &[]);
    let of_group = KEYS.iter().filter(|key| key.place().0 == Some(name));
    let said = of_group.filter_map(|key| of_field(key, &fields, folder)).collect();
    fields.finish(Some(said))
}

/// What the file says of `key`; what is wrong with it is reported.
fn of_field(
    key: &'static Key,
    fields: &Fields<'_>,
    folder: &Path,
) -> Option<(&'static str, (Value, Origin))> {
    let field = fields.optional(key.place().1);
    let at = field.node()?;
    let value = decode(key.kind, field, fields, folder)?;
    Some((key.path, (value, Origin::File(at.location()))))
}

fn decode(kind: Kind, field: Field<'_, '_>, fields: &Fields<'_>, folder: &Path) -> Option<Value> {
    let node = field.node()?;
    let checked = |check: fn(&str) -> Result<(), String>| {
        let text = field.string()?;
        match check(&text) {
            Ok(()) => Some(Value::from(text)),
            Err(error) => {
                fields.report(node.error(error));
                None
            }
        }
    };
    match kind {
        Kind::Address => checked(check_address),
        Kind::Url => checked(check_url),
        Kind::Bytes => match node.to_value().as_u64() {
            Some(bytes) => Some(Value::from(model::Size::from_bytes(bytes).to_string())),
            None => checked(check_bytes),
        },
        Kind::Share => match node.to_value().as_f64() {
            Some(part) => share(part).map_err(|error| fields.report(node.error(error))).ok(),
            None => checked(|text| Err(format!("{SHARE}, found `{text}`"))),
        },
        Kind::Time => field.duration().map(|time| Value::from(time.to_string())),
        Kind::Text => field.string().map(Value::from),
        Kind::Path => field.string().map(|path| joined(folder, &path)),
        Kind::Folders if field.node()?.as_list().is_some() => {
            let folders = field.strings()?;
            Some(folders.iter().map(|path| joined(folder, path)).collect())
        }
        Kind::Folders => field.bool().map(Value::from),
        Kind::Count(max) => field.integer(1, i64::from(max)).map(Value::from),
        Kind::Word(words) => {
            let words: Vec<(&str, &str)> = words.iter().map(|word| (*word, *word)).collect();
            field.one_of(&words).map(Value::from)
        }
        Kind::Keys => {
            let items = field.list()?.iter();
            let sources = items.filter_map(|item| {
                key_item(item, folder).map_err(|error| fields.report(item.error(error))).ok()
            });
            Some(Value::Array(sources.collect()))
        }
        Kind::Ages => ages(field, fields),
        Kind::Names => {
            let names = field.list()?.iter().map(|item| name(item, fields));
            Some(Value::Array(names.collect::<Option<_>>()?))
        }
        Kind::Paths => {
            let items = field.list()?.iter();
            let paths = items.filter_map(|item| path(item, fields, folder));
            Some(Value::Array(paths.collect()))
        }
    }
}

fn key_item(item: &Node, folder: &Path) -> Result<Value, String> {
    let value = item.to_value();
    let map = value.as_object().filter(|map| map.len() == 1);
    match map.and_then(|map| map.iter().next()) {
        Some((kind, Value::String(name))) if !name.is_empty() => key_from(kind, name, folder),
        Some((kind, Value::Array(words))) if kind == "command" && !words.is_empty() => {
            match words.iter().all(Value::is_string) {
                true => Ok(value),
                false => Err(KEY_FORMS.to_owned()),
            }
        }
        _ => Err(KEY_FORMS.to_owned()),
    }
}

/// How long what belongs to packs is kept: `{ web: { executions: 90d } }`.
fn ages(field: Field<'_, '_>, fields: &Fields<'_>) -> Option<Value> {
    let mut packs = model::Map::new();
    for entry in field.entries()? {
        if let Err(error) = check_pack_name(entry.key.name()) {
            fields.report(entry.key.error(error));
            continue;
        }
        let of_pack = Fields::new(&entry.value, &AGES, &[]);
        let times = AGES.iter().filter_map(|name| {
            let time = of_pack.optional(name).duration()?;
            Some(((*name).to_owned(), Value::from(time.to_string())))
        });
        let times = times.collect();
        let times = fields.part(of_pack.finish(Some(Value::Object(times))))?;
        packs.insert(entry.key.name().to_owned(), times);
    }
    Some(Value::Object(packs))
}

fn ages_of_text(text: &str) -> Result<Value, String> {
    let mut packs = model::Map::new();
    for item in text.split(',').filter(|item| !item.trim().is_empty()) {
        let (pack, what, time) = age(item)?;
        let of_pack = packs.entry(pack).or_insert_with(|| Value::Object(model::Map::new()));
        of_pack[what] = time.into();
    }
    Ok(Value::Object(packs))
}

fn name(item: &Node, fields: &Fields<'_>) -> Option<Value> {
    let name = item.as_str().map(Value::from);
    if name.is_none() {
        fields.report(item.error(format!("expected a name, found {}", item.describe())));
    }
    name
}

fn path(item: &Node, fields: &Fields<'_>, folder: &Path) -> Option<Value> {
    let checked = match item.as_str() {
        Some(text) => pack_folder(folder, text),
        None => Err(format!("expected a folder, found {}", item.describe())),
    };
    checked.map_err(|error| fields.report(item.error(error))).ok()
}

/// A folder of packs, or the name of a pack that is part of the program.
fn pack_folder(folder: &Path, text: &str) -> Result<Value, String> {
    Ok(match Shipped::named(text)? {
        Some(_) => text.into(),
        None => joined(folder, text),
    })
}

const SHARE: &str = "expected a number from 0 to 1";

fn share(part: f64) -> Result<Value, String> {
    let found = Share::of(part).map(|_| Value::from(part));
    found.ok_or_else(|| format!("{SHARE}, found `{part}`"))
}

fn joined(folder: &Path, path: &str) -> Value {
    Value::from(folder.join(path).to_string_lossy())
}

/// What a variable's text, or a default, means.
fn of_text(kind: Kind, text: &str, folder: &Path) -> Result<Value, String> {
    let checked = |check: fn(&str) -> Result<(), String>| check(text).map(|()| Value::from(text));
    match kind {
        Kind::Address => checked(check_address),
        Kind::Url => checked(check_url),
        Kind::Time => checked(check_time),
        Kind::Share => match text.parse() {
            Ok(part) => share(part),
            Err(_) => Err(format!("{SHARE}, found `{text}`")),
        },
        Kind::Bytes => checked(check_bytes),
        Kind::Text => Ok(Value::from(text)),
        Kind::Path => Ok(joined(folder, text)),
        Kind::Folders => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            // A slip such as `yes` is no folder.
            _ if text.contains('/') => {
                let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty());
                Ok(paths.map(|path| joined(folder, path)).collect())
            }
            _ => Err(format!("expected true, false or folders such as /srv/git, found `{text}`")),
        },
        Kind::Count(max) => match text.parse::<u32>() {
            Ok(count) if (1..=max).contains(&count) => Ok(Value::from(count)),
            _ => Err(format!("expected a whole number from 1 to {max}, found `{text}`")),
        },
        Kind::Word(words) if words.contains(&text) => Ok(Value::from(text)),
        Kind::Word(words) => Err(match suggest(text, words.iter().copied()) {
            Some(meant) => format!("unknown value `{text}`: did you mean `{meant}`?"),
            None => format!("unknown value `{text}`: expected {}", words.join(" or ")),
        }),
        Kind::Keys => {
            let sources = text.split(',').map(str::trim).filter(|source| !source.is_empty());
            let sources = sources.map(|source| key_source(source, folder));
            sources.collect::<Result<Vec<Value>, String>>().map(Value::Array)
        }
        Kind::Ages => ages_of_text(text),
        Kind::Names => {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            Ok(names.map(Value::from).collect())
        }
        Kind::Paths => {
            let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty());
            let paths = paths.map(|path| pack_folder(folder, path));
            paths.collect::<Result<Vec<Value>, String>>().map(Value::Array)
        }
    }
}
