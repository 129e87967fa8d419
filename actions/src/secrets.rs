//! `secrets.*`: performed by the engine, which alone may see values; declared here, so that they
//! are known like any other action.

use model::{Effect, ErrorKind, StepError, Value};
use serde_json::json;

use crate::Metadata;
use crate::declare::metadata;

/// Shortest and longest value that is generated.
const LENGTHS: (u64, u64) = (8, 4_096);
/// Fewest characters to choose from.
const MIN_ALPHABET: usize = 2;

/// What there is to know of them.
pub fn declarations() -> [Metadata; 3] {
    let token = json!({ "type": "string", "description": "a token that stands for the value" });
    [
        metadata(
            "secrets.generate",
            "Makes a random value and answers a token that stands for it",
            Some(Effect::Idempotent),
            &json!({
                "length": { "type": "integer", "minimum": LENGTHS.0, "maximum": LENGTHS.1,
                    "default": 32, "description": "how many characters" },
                "alphabet": { "type": "string", "default": "alphanumeric",
                    "description": "the characters to choose from: `alphanumeric`, `hex`, `digits`, `printable`, or the characters themselves" },
            }),
            &json!({}),
        ),
        metadata(
            "secrets.get",
            "What `secret(path)` runs: answers a token that stands for the latest version",
            Some(Effect::Read),
            &json!({ "path": { "type": "string", "required": true } }),
            &json!({}),
        ),
        metadata(
            "secrets.store",
            "Gives a named secret a new value; that it has already makes no new version",
            Some(Effect::Idempotent),
            &json!({
                "path": { "type": "string", "required": true },
                "value": { "type": "string", "required": true, "secret": true,
                    "description": "the value, mostly a token" },
            }),
            &json!({ "path": { "type": "string" }, "version": { "type": "integer" }, "token": token }),
        ),
    ]
}

/// How a value is generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// How many characters.
    pub length: usize,
    /// The characters to choose from, at least two, none twice.
    pub alphabet: Vec<char>,
}

impl Recipe {
    /// What the parameters of `secrets.generate` ask for.
    pub fn of(parameters: &Value) -> Result<Self, StepError> {
        let length = parameters["length"].as_u64().unwrap_or(32).clamp(LENGTHS.0, LENGTHS.1);
        let alphabet = parameters["alphabet"].as_str().unwrap_or("alphanumeric");
        let alphabet = match alphabet {
            "alphanumeric" => [range('a', 'z'), range('A', 'Z'), range('0', '9')].concat(),
            "hex" => [range('0', '9'), range('a', 'f')].concat(),
            "digits" => range('0', '9'),
            "printable" => range('!', '~'),
            characters => {
                let mut characters: Vec<char> = characters.chars().collect();
                characters.sort_unstable();
                characters.dedup();
                characters
            }
        };
        if alphabet.len() < MIN_ALPHABET {
            let message = "`alphabet`: expected a name (alphanumeric, hex, digits, printable) or at least two characters";
            return Err(StepError::new(ErrorKind::InvalidParameters, message));
        }
        Ok(Self { length: length as usize, alphabet })
    }

    /// The value that these random numbers choose, each character with the same chance; `None` if
    /// they do not suffice.
    pub fn choose(&self, mut random: impl Iterator<Item = u32>) -> Option<String> {
        let count = u32::try_from(self.alphabet.len()).ok()?;
        // Numbers past the last whole multiple would favour the first characters.
        let usable = u32::MAX - u32::MAX % count;
        let mut next = || {
            let number = random.by_ref().find(|number| *number < usable)?;
            self.alphabet.get((number % count) as usize).copied()
        };
        (0..self.length).map(|_| next()).collect()
    }
}

fn range(from: char, to: char) -> Vec<char> {
    (from..=to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(parameters: Value) -> String {
        let mut state = 7_u32;
        let numbers = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state
        });
        Recipe::of(&parameters).unwrap().choose(numbers).unwrap()
    }

    #[test]
    fn a_value_has_its_length_and_only_its_characters() {
        for (alphabet, allowed) in
            [("hex", "0123456789abcdef"), ("digits", "0123456789"), ("aäö!", "aäö!")]
        {
            let value = made(json!({ "length": 400, "alphabet": alphabet }));
            assert_eq!(value.chars().count(), 400);
            assert!(value.chars().all(|c| allowed.contains(c)), "{value}");
            assert!(allowed.chars().all(|c| value.contains(c)), "{value}");
        }
        assert_eq!(made(json!({})).len(), 32);
    }

    #[test]
    fn an_alphabet_of_one_character_makes_no_secret() {
        for alphabet in ["", "a", "aaaa"] {
            assert!(Recipe::of(&json!({ "alphabet": alphabet })).is_err());
        }
    }
}
