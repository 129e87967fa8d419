//! Random bytes of the operating system, for what must not be guessed or met twice.

use model::ExecutionId;

/// 256 random bits. Without the system's randomness nothing here could be trusted.
fn bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Fails only where the kernel offers no randomness at all, before start-up is over.
    getrandom::fill(&mut bytes)
        .unwrap_or_else(|error| panic!("the system has no randomness: {error}"));
    bytes
}

/// The id of an execution that a person asked for.
pub(crate) fn execution() -> ExecutionId {
    ExecutionId::random(&bytes())
}

/// 26 random characters.
pub(crate) fn name() -> String {
    execution().as_str().trim_start_matches("ex_").to_owned()
}

/// A token for a secret's value.
pub(crate) fn token() -> model::Token {
    model::Token::random(&bytes())
}

/// Random numbers, without end.
pub(crate) fn numbers() -> impl Iterator<Item = u32> {
    std::iter::repeat_with(bytes).flat_map(|bytes| {
        let (words, _) = bytes.as_chunks::<4>();
        words.iter().copied().map(u32::from_ne_bytes).collect::<Vec<_>>()
    })
}

/// A secret of 256 bits in hexadecimal.
pub fn secret() -> String {
    model::Hash::from_bytes(bytes()).to_string()
}
