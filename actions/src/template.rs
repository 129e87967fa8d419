//! `template.render`: performed by the engine, which knows the expression language; declared here,
//! so that it is known like any other action.

use model::Effect;
use serde_json::json;

use crate::Metadata;
use crate::declare::metadata;

/// What there is to know of it.
pub fn declaration() -> Metadata {
    metadata(
        "template.render",
        "Fills `${…}` in texts, also within lists and maps",
        Some(Effect::Read),
        &json!({
            "template": { "required": true,
                "description": "a text, or a list or map of texts; `$${` is a literal `${`" },
            "values": { "type": "object", "default": {},
                "description": "what the expressions see as `values`" },
        }),
        &json!({
            "value": { "description": "the template filled; a text that is one `${…}` keeps the value's type" },
        }),
    )
}
