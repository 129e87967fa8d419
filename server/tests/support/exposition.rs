//! A strict reader of Prometheus' text format, as its description puts it: a family's help and type
//! come before its samples and once, its samples stand together, none is there twice, and a
//! histogram adds up.

use std::collections::{BTreeMap, BTreeSet};

/// A sample's name and labels.
type Key = (String, BTreeMap<String, String>);

/// What was written.
pub(crate) struct Exposition {
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) helped: BTreeSet<String>,
    samples: BTreeMap<Key, f64>,
}

impl Exposition {
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends too");
        let (types, helped, samples) = Default::default();
        let mut read = Self { types, helped, samples };
        let (mut family, mut over) = (String::new(), BTreeSet::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            let name = match line.strip_prefix("# ") {
                Some(said) => read.comment(said),
                None => read.sample(line),
            };
            if name != family {
                assert!(over.insert(std::mem::replace(&mut family, name)), "{line}: apart");
                assert!(!over.contains(&family), "{line}: its family ended before");
            }
        }
        read.types
            .iter()
            .filter(|(_, kind)| *kind == "histogram")
            .for_each(|(name, _)| read.adds_up(name));
        read
    }

    fn comment(&mut self, said: &str) -> String {
        let mut words = said.splitn(3, ' ');
        let (what, name) = (words.next().unwrap(), words.next().unwrap().to_owned());
        let rest = words.next().expect("something is said");
        assert!(!self.samples.keys().any(|(sample, _)| *sample == name), "{said}: after a sample");
        let new = match what {
            "HELP" => self.helped.insert(name.clone()),
            "TYPE" => {
                assert!(["counter", "gauge", "histogram"].contains(&rest), "{said}");
                self.types.insert(name.clone(), rest.to_owned()).is_none()
            }
            _ => panic!("{said}"),
        };
        assert!(new, "{said}: twice");
        name
    }

    /// The family of the sample in this line.
    fn sample(&mut self, line: &str) -> String {
        let (id, value) = line.rsplit_once(' ').expect("a value");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}: no number"));
        let (name, labels) = match id.split_once('{') {
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect("}"))),
            None => (id, BTreeMap::new()),
        };
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = part.filter(|base| self.types.contains_key(*base)).unwrap_or(name).to_owned();
        assert!(self.types.contains_key(&family), "{line}: of no type");
        let twice = self.samples.insert((name.to_owned(), labels), value);
        assert_eq!(twice, None, "{line}: twice");
        family
    }

    fn adds_up(&self, family: &str) {
        let counts = format!("{family}_count");
        for ((name, labels), count) in &self.samples {
            if *name != counts {
                continue;
            }
            let mut buckets: Vec<(f64, f64)> = Vec::new();
            for ((name, with), value) in &self.samples {
                let mut rest = with.clone();
                let le = rest.remove("le");
                if *name == format!("{family}_bucket") && rest == *labels {
                    buckets.push((le.unwrap().replace("+Inf", "inf").parse().unwrap(), *value));
                }
            }
            buckets.sort_by(|a, b| a.partial_cmp(b).unwrap());
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{family}: {buckets:?}");
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{family}");
            assert!(self.samples.contains_key(&(format!("{family}_sum"), labels.clone())));
        }
    }

    /// The value of this sample, by its labels in the form `a=b`.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.samples.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// The names of the labels of each family.
    pub(crate) fn labels(&self, family: &str) -> BTreeSet<String> {
        let own = |name: &str| {
            name.strip_prefix(family)
                .is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        let samples = self.samples.keys().filter(|(name, _)| own(name));
        samples.flat_map(|(_, labels)| labels.keys().cloned()).filter(|l| l != "le").collect()
    }
}

/// `a="b",c="d"`.
fn labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").expect("=\"");
        let (mut value, mut rest) = (String::new(), rest.chars());
        loop {
            match rest.next().expect("the end of a value") {
                '"' => break,
                '\\' => value.push(match rest.next() {
                    Some('n') => '\n',
                    Some(c @ ('"' | '\\')) => c,
                    other => panic!("{other:?} is not to be escaped"),
                }),
                c => value.push(c),
            }
        }
        assert_eq!(labels.insert(name.to_owned(), value), None, "{name}: twice");
        text = rest.as_str();
        text = text.strip_prefix(',').unwrap_or(text);
    }
    labels
}
