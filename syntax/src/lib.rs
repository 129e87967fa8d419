//! Strict YAML: text → a tree of values that know where they stand, and helpers that decode it.
//!
//! This crate owns *how a file a user wrote is read*: every YAML file of the product goes through
//! [`parse`], so that the same text means the same everywhere and every refusal names file, line
//! and column. It never reads files itself, knows no field of any file, and knows no rules.
//!
//! Stricter than YAML: a key stands once, merge keys and unknown tags are refused, `yes` and `on`
//! are strings, and a number that programs read differently (`010`, `1_000`) must be quoted or
//! written plainly. Size, depth and aliases are bounded.
//!
//! ```
//! use syntax::{Fields, parse};
//! let document = parse("timer.yaml", "every: 30s\nenabled: true\n").unwrap();
//! let fields = Fields::new(document.root(), &["every", "enabled"], &[]);
//! let every = fields.required("every").duration();
//! let enabled = fields.optional("enabled").bool().unwrap_or(true);
//! let read = fields.finish(every.map(|every| (every, enabled)));
//! assert_eq!(read.unwrap(), (model::Duration::from_secs(30), true));
//! ```

mod fields;
mod node;
mod problem;
mod source;
mod tree;

pub use fields::{Field, Fields};
pub use node::{Document, Entry, Key, Kind, Node};
pub use tree::{MAX_BYTES, MAX_DEPTH, parse, parse_bytes, text};
