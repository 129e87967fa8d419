//! `secret(path)`, which gives a token and never a value; and what can be made of one without
//! knowing the value: `base64(text)`, `url_encode(text)`, `hmac(key, message)`.

use std::rc::Rc;

use model::token::Derivation;
use model::{ActionRef, Value};
use rhai::{Dynamic, Engine, NativeCallContext};
use serde_json::json;

use super::run::result;
use super::{ask, invalid, text};
use crate::advance::Ask;
use crate::host::Host;
use crate::options::StepOptions;
use crate::raise::Answer;

/// What `secret(path)` is journaled as: a step that the engine performs.
pub(crate) const GET: &str = "secrets.get";

pub(super) fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = host.clone();
    engine.register_fn("secret", move |context: NativeCallContext<'_>, path: Dynamic| {
        secret(&own, &context, &path)
    });
    engine.register_fn("base64", |plain: Dynamic| -> Answer {
        Ok(derived(Derivation::Base64(text("base64", "a text", &plain)?)))
    });
    engine.register_fn("url_encode", |plain: Dynamic| -> Answer {
        Ok(derived(Derivation::UrlEncode(text("url_encode", "a text", &plain)?)))
    });
    engine.register_fn("hmac", |key: Dynamic, message: Dynamic| -> Answer {
        hmac(&key, &message, "hex")
    });
    engine.register_fn("hmac", |key: Dynamic, message: Dynamic, encoding: Dynamic| -> Answer {
        hmac(&key, &message, &text("hmac", "the encoding", &encoding)?)
    });
}

fn secret(host: &Host, context: &NativeCallContext<'_>, path: &Dynamic) -> Answer {
    let at = host.step("secret")?;
    let path = text("secret", "the path", path)?;
    let action = GET.parse::<ActionRef>().map_err(|error| invalid(error.to_string()))?;
    let parameters: Value = json!({ "path": path });
    let asked = Ask::Run { action, parameters, options: StepOptions::default() };
    result(&ask(host, context, &at, &asked)?)
}

fn derived(derivation: Derivation) -> Dynamic {
    derivation.value().into()
}

fn hmac(key: &Dynamic, message: &Dynamic, encoding: &str) -> Answer {
    let (key, message) = (text("hmac", "the key", key)?, text("hmac", "the message", message)?);
    match encoding {
        "hex" => Ok(derived(Derivation::Hmac(key, message))),
        "base64" => Ok(derived(Derivation::HmacBase64(key, message))),
        other => {
            Err(invalid(format!("`hmac`: unknown encoding `{other}`: expected hex or base64")))
        }
    }
}
