//! Values that are stored, and written by people, as a text.

/// Lets serde read and write types as text, by `FromStr` and `Display`; they are declared with
/// `#[serde(try_from = "String", into = "String")]`.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl TryFrom<String> for $type {
            type Error = <Self as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )+};
}
pub(crate) use as_text;
