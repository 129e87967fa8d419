//! Which needles a text may begin with, found by its first bytes, however many needles there are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::MIN_BYTES;
use super::needle::{Fit, Needle, line_break, may_break};

/// The first bytes of a needle or a text.
type Start = [u8; MIN_BYTES];

/// Needles by their first bytes; each stands once, however many hold it.
#[derive(Default)]
pub(super) struct Index {
    by_start: HashMap<Start, Vec<Counted>>,
    /// Which first bytes there are, or were: one that is gone costs a look-up.
    first: [u64; 4],
}

struct Counted {
    needle: Arc<Needle>,
    holders: usize,
}

impl Index {
    pub(super) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// Every needle once.
    pub(super) fn needles(&self) -> impl Iterator<Item = &Arc<Needle>> {
        self.by_start.values().flatten().map(|one| &one.needle)
    }

    /// One more holds this needle. What stands for it is what the first of them says.
    pub(super) fn add(&mut self, needle: Arc<Needle>) {
        let Some(start) = start(&needle.bytes) else { return };
        self.first[usize::from(start[0]) / 64] |= 1 << (start[0] % 64);
        let same = self.by_start.entry(start).or_default();
        match place(same, &needle) {
            Ok(at) => same[at].holders += 1,
            Err(at) => {
                // Few needles begin alike: there are many of these lists, and most hold one.
                same.reserve_exact(1);
                same.insert(at, Counted { needle, holders: 1 });
            }
        }
    }

    /// One less holds it.
    pub(super) fn remove(&mut self, needle: &Needle) {
        let Some(start) = start(&needle.bytes) else { return };
        let Some(same) = self.by_start.get_mut(&start) else { return };
        let Ok(at) = place(same, needle) else { return };
        same[at].holders -= 1;
        if same[at].holders == 0 {
            same.remove(at);
        }
        if same.is_empty() {
            self.by_start.remove(&start);
        }
    }

    fn may_begin(&self, byte: u8) -> bool {
        self.first[usize::from(byte) / 64] & (1 << (byte % 64)) != 0
    }

    /// Needles that `text` may begin with.
    fn candidates(&self, text: &[u8]) -> impl Iterator<Item = &Needle> {
        let (plain, wrapped) = (start(text), start_over_breaks(text));
        let wrapped = wrapped.filter(|wrapped| plain.as_ref() != Some(wrapped));
        let of = |start: Start| self.by_start.get(&start).into_iter().flatten();
        plain.into_iter().chain(wrapped).flat_map(of).map(|one| &*one.needle)
    }

    /// The longest needle that `text` begins with, and how many bytes of it that takes.
    pub(super) fn at(&self, text: &[u8]) -> Option<(&Needle, usize)> {
        if !self.may_begin(*text.first()?) {
            return None;
        }
        let found = self.candidates(text).filter_map(|needle| match needle.fit(text) {
            Fit::Whole(length) => Some((needle, length)),
            Fit::Begun | Fit::Not => None,
        });
        found.max_by_key(|(needle, _)| needle.bytes.len())
    }

    /// Whether `text`, which ends here for now, may be the beginning of a needle.
    pub(super) fn may_go_on(&self, text: &[u8]) -> bool {
        let begun = |needle: &Needle| matches!(needle.fit(text), Fit::Begun);
        match text.first() {
            Some(first) if !self.may_begin(*first) => false,
            None => false,
            // Too short yet to tell which ones it could be.
            _ if start_over_breaks(text).is_none() => self.needles().any(|needle| begun(needle)),
            _ => self.candidates(text).any(begun),
        }
    }

    /// `bytes` with what stands for the needles in their places.
    pub(super) fn replaced<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let (mut out, mut done, mut at) = (None::<Vec<u8>>, 0, 0);
        while at < bytes.len() && !self.is_empty() {
            let Some((needle, length)) = self.at(&bytes[at..]) else {
                at += 1;
                continue;
            };
            let out = out.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
            out.extend_from_slice(&bytes[done..at]);
            out.extend_from_slice(needle.label.as_bytes());
            at += length;
            done = at;
        }
        match out {
            None => Cow::Borrowed(bytes),
            Some(mut out) => {
                out.extend_from_slice(&bytes[done..]);
                Cow::Owned(out)
            }
        }
    }
}

/// Where among those that begin alike this one stands, or would.
fn place(same: &[Counted], needle: &Needle) -> Result<usize, usize> {
    same.binary_search_by(|one| one.needle.looked_for().cmp(&needle.looked_for()))
}

fn start(bytes: &[u8]) -> Option<Start> {
    bytes.first_chunk().copied()
}

/// The same of the text without its line breaks.
fn start_over_breaks(text: &[u8]) -> Option<Start> {
    // What a line can end with begins with one of these: most of a text has none near.
    let plain = start(text);
    if plain.is_some_and(|plain| !plain.iter().any(|byte| b"\n\r\\".contains(byte))) {
        return plain;
    }
    let (mut start, mut at) = (Start::default(), 0);
    for (n, byte) in start.iter_mut().enumerate() {
        if n > 0 {
            at += line_break(&text[at..]);
        }
        if may_break(&text[at..]) {
            return None;
        }
        *byte = *text.get(at)?;
        at += 1;
    }
    Some(start)
}
