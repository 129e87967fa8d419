//! What tracing systems know of a trace besides the place in it: the `tracestate` of W3C Trace Context.
//! It is theirs: kept and passed on, never looked into.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TraceParent;

/// Most members of a list.
const MAX_MEMBERS: usize = 32;
/// How much of a list is passed on at least, and here at most.
const MAX_CHARS: usize = 512;
/// Members that are longer go first where the list is too long.
const LONG: usize = 128;
/// Most characters of a key, and of a value.
const MAX_PART: usize = 256;

/// A list of `key=value`, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct TraceState(String);

/// A text that is no such list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no tracestate: expected from 1 to {MAX_MEMBERS} members `key=value` with commas between")]
pub struct BadTraceState;

/// A place in a trace with what tracing systems know of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The place.
    pub parent: TraceParent,
    /// What they know.
    pub state: Option<TraceState>,
}

impl TraceContext {
    /// The context that two texts tell: without a place there is none, and a state that is none is left
    /// out, as the standard asks.
    pub fn read(parent: Option<&str>, state: Option<&str>) -> Option<Self> {
        let parent = parent?.trim().parse().ok()?;
        Some(Self { parent, state: state.and_then(|text| text.parse().ok()) })
    }

    /// A place and its state side by side, as they are stored; a state without a place is none.
    pub fn split(context: Option<Self>) -> (Option<TraceParent>, Option<TraceState>) {
        context.map_or((None, None), |Self { parent, state }| (Some(parent), state))
    }
}

impl FromStr for TraceState {
    type Err = BadTraceState;

    /// Reads a list, cut at its end to what is passed on.
    fn from_str(text: &str) -> Result<Self, BadTraceState> {
        let blank = |c| c == ' ' || c == '\t';
        let members = text.split(',').map(|member| member.trim_matches(blank));
        let members: Vec<&str> = members.filter(|member| !member.is_empty()).collect();
        let fits = (1..=MAX_MEMBERS).contains(&members.len());
        match fits && members.iter().all(|member| is_member(member)) {
            true => Ok(Self(cut(members).join(","))),
            false => Err(BadTraceState),
        }
    }
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let begins = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let of_key = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let of_value = |b: u8| matches!(b, b' '..=b'~') && b != b',' && b != b'=';
    let fits = |part: &str| (1..=MAX_PART).contains(&part.len());
    begins && fits(key) && fits(value) && key.bytes().all(of_key) && value.bytes().all(of_value)
}

/// The members that have room: long ones go first, then those at the end.
fn cut(mut members: Vec<&str>) -> Vec<&str> {
    let is_long = |members: &[&str]| {
        let commas = members.len().saturating_sub(1);
        members.iter().map(|member| member.len()).sum::<usize>() + commas > MAX_CHARS
    };
    while is_long(&members) {
        let last_long = members.iter().rposition(|member| member.len() > LONG);
        members.remove(last_long.unwrap_or(members.len() - 1));
    }
    members
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::text::as_text!(TraceState);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<TraceState>().ok().map(String::from)
    }

    #[test]
    fn a_list_is_passed_on_as_it_is() {
        for (text, read_as) in [
            ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
            ("rojo=1,congo=2", "rojo=1,congo=2"),
            (" rojo=1\t, ,congo=2 ,", "rojo=1,congo=2"),
            ("fw529a3039@dt=FfFfFf;a:b", "fw529a3039@dt=FfFfFf;a:b"),
            ("0a_-*/=a b", "0a_-*/=a b"),
        ] {
            assert_eq!(read(text).as_deref(), Some(read_as), "{text}");
        }
        let most: Vec<String> = (0..MAX_MEMBERS).map(|n| format!("k{n}={n}")).collect();
        assert_eq!(read(&most.join(",")), Some(most.join(",")));
    }

    #[test]
    fn what_is_no_list_is_none_of_it() {
        let many: Vec<String> = (0..=MAX_MEMBERS).map(|n| format!("k{n}={n}")).collect();
        let long = "k".repeat(MAX_PART + 1);
        for text in [
            "",
            " , ",
            "a",
            "=1",
            "a=",
            "A=1",
            "a=1,b=c=d",
            "a b=1",
            "a=\u{e9}",
            "a=1\n",
            &many.join(","),
            &format!("{long}=1"),
            &format!("a={long}"),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_too_long_loses_long_members_first_and_then_those_at_its_end() {
        let member = |key: &str, length: usize| format!("{key}={}", "v".repeat(length - 2));
        let long = member("l", 200);
        let four = ["a", "b", "c", "d"].map(|key| member(key, 127)).join(",");
        assert_eq!(four.len(), MAX_CHARS - 1);
        for (text, read_as) in [
            (format!("a=1,{long},b=1"), format!("a=1,{long},b=1")),
            (four.clone(), four.clone()),
            (format!("{long},{four}"), four.clone()),
            (format!("{four},{}", member("e", 127)), four),
        ] {
            assert_eq!(read(&text), Some(read_as), "{text}");
        }
    }

    #[test]
    fn a_context_needs_a_place_and_does_without_a_state() {
        let place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = TraceContext::read(Some(place), Some("a=1")).unwrap();
        assert_eq!(context.state, "a=1".parse().ok());
        assert_eq!(TraceContext::read(Some(place), Some("no list")).unwrap().state, None);
        assert_eq!(TraceContext::read(None, Some("a=1")), None);
        assert_eq!(TraceContext::read(Some("00"), Some("a=1")), None);
    }
}
