//! The keys on the way to a value, as people write them in all files: names with dots between, and in
//! brackets a place in a list, or in quotes what is no plain name:
//! `metadata.labels["app.kubernetes.io/part-of"]`, `items[0].name`.

/// What a plain name does not have.
const SPECIAL: [char; 6] = ['.', '[', ']', '"', '\'', ' '];

/// The keys in a text, at least one; else what is wrong with it.
///
/// ```
/// assert_eq!(model::keys::read(r#"labels["a.b/c"].items[0].1"#).unwrap(), ["labels", "a.b/c", "items", "0", "1"]);
/// assert_eq!(model::keys::read("a..b").unwrap_err(), "a name is missing");
/// ```
pub fn read(text: &str) -> Result<Vec<&str>, String> {
    let (mut keys, mut rest) = (Vec::new(), text);
    loop {
        let (name, tail) = rest.split_at(rest.find(SPECIAL).unwrap_or(rest.len()));
        if name.is_empty() {
            return Err("a name is missing".to_owned());
        }
        keys.push(name);
        rest = tail;
        while let Some(inside) = rest.strip_prefix('[') {
            let (key, tail) = bracket(inside).ok_or("a bracket holds no key")?;
            keys.push(key);
            rest = tail;
        }
        match rest.strip_prefix('.') {
            Some(tail) => rest = tail,
            None if rest.is_empty() => return Ok(keys),
            None => return Err(format!("`{rest}` follows a complete name")),
        }
    }
}

/// `"key"]…`, `'key']…` or `0]…`: the key and what follows the bracket.
fn bracket(inside: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            let (key, tail) = quoted.split_once(quote)?;
            return Some((key, tail.strip_prefix(']')?));
        }
    }
    let (index, tail) = inside.split_once(']')?;
    index.parse::<usize>().ok()?;
    Some((index, tail))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn keys_are_names_places_in_lists_and_what_stands_in_quotes() {
        for (text, keys) in [
            ("spec", vec!["spec"]),
            ("spec.replicas", vec!["spec", "replicas"]),
            ("a.0[1].b", vec!["a", "0", "1", "b"]),
            (r#"labels["app.kubernetes.io/part-of"]"#, vec!["labels", "app.kubernetes.io/part-of"]),
            (r#"a['b"c']["d'e"].f"#, vec!["a", "b\"c", "d'e", "f"]),
            (r#"a["[b]"]"#, vec!["a", "[b]"]),
        ] {
            assert_eq!(read(text).unwrap(), keys, "{text}");
        }
    }

    #[test]
    fn what_has_no_keys_says_why() {
        for (text, why) in [
            ("", "a name is missing"),
            (".a", "a name is missing"),
            ("a.", "a name is missing"),
            ("a..b", "a name is missing"),
            ("[\"a\"]", "a name is missing"),
            ("a[\"b", "a bracket holds no key"),
            ("a[b]", "a bracket holds no key"),
            ("a[\"b\"]c", "`c` follows a complete name"),
            ("a b", "` b` follows a complete name"),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
    }
}
