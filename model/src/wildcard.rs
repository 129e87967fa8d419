//! Names in which `*` stands for any text.

/// Whether `pattern`, in which each `*` stands for any text, is the whole of `name`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(prefix) else { return false };
    let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut name) = name.strip_suffix(suffix) else { return false };
    // The first place that fits leaves the most for the parts that follow.
    for part in middle.split('*') {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, fitting, not) in [
            ("main", &["main"][..], &["main2", "my_main", ""][..]),
            ("team_*", &["team_a", "team_"], &["team", "a_team_a"]),
            ("*_prod", &["a_prod", "_prod"], &["prod", "a_prod2"]),
            ("a*b*c", &["abc", "a1b2c", "abbc"], &["ab", "acb", "abcd"]),
            ("a*a", &["aa", "a-a"], &["a"]),
            ("*/a*b", &["x/aab"], &["x/ac"]),
            ("v*-rc*", &["v1.2-rc3"], &["v1.2"]),
            ("*", &["anything", "with/slashes", ""], &[]),
        ] {
            for name in fitting {
                assert!(matches(pattern, name), "{pattern} fits {name}");
            }
            for name in not {
                assert!(!matches(pattern, name), "{pattern} does not fit {name}");
            }
        }
    }
}
