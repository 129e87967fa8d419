//! Words that rhai reserves and users need: `null` is a value, the others are plain names.

use std::cell::Cell;

use rhai::{Engine, LexError, Token};

/// Reserved words that rhai acts upon: they keep their meaning.
const MEANT: [&str; 10] = [
    "this",
    "Fn",
    "call",
    "curry",
    "type_of",
    "is_shared",
    "is_def_var",
    "is_def_fn",
    "print",
    "debug",
];

/// Reserved words that are methods: `f.call()`, `f.curry(1)`, `x.type_of()`.
const METHODS: [&str; 4] = ["call", "curry", "type_of", "is_shared"];

/// Keywords that are properties of real objects (`spec.in`, `resource.import`): names after a dot.
fn keyword_as_name(token: &Token) -> Option<&'static str> {
    Some(match token {
        Token::As => "as",
        Token::Break => "break",
        Token::Const => "const",
        Token::Continue => "continue",
        Token::Do => "do",
        Token::Else => "else",
        Token::Export => "export",
        Token::Fn => "fn",
        Token::For => "for",
        Token::If => "if",
        Token::Import => "import",
        Token::In => "in",
        Token::Let => "let",
        Token::Loop => "loop",
        Token::Private => "private",
        Token::Return => "return",
        Token::Switch => "switch",
        Token::Throw => "throw",
        Token::Try => "try",
        Token::Until => "until",
        Token::While => "while",
        _ => return None,
    })
}

fn name(word: &str) -> Token {
    Token::Identifier(Box::new(word.into()))
}

/// Maps reserved words while a program is read.
pub(crate) fn register(engine: &mut Engine) {
    // Tokens come in order; a program that ends in a dot does not compile, so nothing is carried
    // over into the next one that could matter.
    let after = Cell::new(After::Other);
    #[expect(deprecated, reason = "rhai marks the callback as volatile; the version is pinned")]
    engine.on_parse_token(move |token, _, _| {
        let token = match (after.get(), token) {
            (After::Dot, Token::Reserved(word))
                if is_word(&word) && !METHODS.contains(&word.as_str()) =>
            {
                Token::Identifier(word)
            }
            (After::Dot, token) => keyword_as_name(&token).map_or(token, name),
            (After::Property, Token::UnaryMinus) => Token::Minus,
            (After::Property, Token::UnaryPlus) => Token::Plus,
            (_, Token::FloatConstant(number)) if is_whole(&number.1) => {
                Token::LexError(Box::new(LexError::Runtime(too_large(&number.1))))
            }
            (_, Token::Reserved(word)) if *word == "null" => Token::Unit,
            (_, Token::Reserved(word)) if is_word(&word) && !MEANT.contains(&word.as_str()) => {
                Token::Identifier(word)
            }
            (_, token) => token,
        };
        after.set(match (after.get(), &token) {
            (_, Token::Period | Token::Elvis) => After::Dot,
            (After::Dot, Token::Identifier(_)) => After::Property,
            _ => After::Other,
        });
        token
    });
}

/// What the token before was. rhai's reader takes a sign after a keyword for a unary one, which
/// it is not where the keyword is a property.
#[derive(Clone, Copy)]
enum After {
    Dot,
    Property,
    Other,
}

/// rhai reads digits that 64 bits with a sign don't hold as a float, which is another number.
fn is_whole(number: &str) -> bool {
    number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
}

fn too_large(number: &str) -> String {
    format!(
        "{number} does not fit into 64 bits with a sign: write {number}.0 for a float, or a text in quotes"
    )
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}
