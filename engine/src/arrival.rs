//! An event on its way in. What its sensor calls secret gets tokens before anybody sees it: the value is
//! kept for each execution to which a rule passes its token, and nowhere else.

use host::redact::Redactor;
use model::{Event, Hash, Schema, Value, json};

use crate::secrets::{Fresh, Opened};

/// An event, and what was taken out of it.
pub(crate) struct Arrival {
    pub(crate) event: Event,
    /// The hash of its data, by which a repetition with other data is known.
    pub(crate) payload: Hash,
    /// The bytes of its data's JSON text.
    pub(crate) bytes: usize,
    /// What the tokens in its data stand for.
    pub(crate) fresh: Vec<Fresh>,
    /// Whether a server that was lost before a restore may have told it too.
    pub(crate) retold: bool,
}

impl From<Event> for Arrival {
    fn from(event: Event) -> Self {
        let (payload, bytes) = Hash::and_length(&event.data);
        Self { event, payload, bytes, fresh: Vec::new(), retold: false }
    }
}

impl Arrival {
    /// The same with tokens where `schema` says `secret: true`, and wherever else these values stand.
    pub(crate) fn hiding(event: Event, schema: &Schema) -> Self {
        if schema.properties().is_empty() {
            return event.into();
        }
        let mut shown = event.data.clone();
        schema.secrets(&mut shown, &mut |place| *place = Value::Null);
        let (data, fresh) = Opened::default().told(event.data, schema);
        // The hash is stored: one of secret values would let its readers try values. One of tokens
        // would tell deliveries apart that are the same.
        let values = fresh.iter().map(|one| (one.value.expose(), ""));
        let payload = Hash::of_value(&Redactor::new(values).value(shown));
        let bytes = json::length(&data);
        Self { event: Event { data, ..event }, payload, bytes, fresh, retold: false }
    }

    /// An event that a server which was lost may have told too, if `retold`.
    pub(crate) fn of(event: Event, retold: bool) -> Self {
        Self { retold, ..event.into() }
    }
}
