//! Whether a path stays where it begins, whoever reads it.
//!
//! Servers and the proxies before them decode a path, some of them twice, and many take `..;` for `..`. A path
//! stays below its beginning for all of them if no segment of any of its readings leads upwards.

/// More layers of percent-encoding than this have no honest use.
const MAX_LAYERS: usize = 4;

/// Whether some server may read `path` as one that leads upwards. An encoded slash alone does not: it is part
/// of a name for many APIs (`projects/team%2Fapp`).
pub(super) fn climbs(path: &str) -> bool {
    let mut reading = path.as_bytes().to_vec();
    for _ in 0..=MAX_LAYERS {
        if is_odd(&reading) || leads_upwards(&reading) {
            return true;
        }
        let decoded = decode(&reading);
        if decoded == reading {
            return false;
        }
        reading = decoded;
    }
    true
}

/// Backslashes pass for slashes on some systems, control characters end a path or are dropped, and these
/// bytes stand only in spellings of ASCII that no UTF-8 has.
fn is_odd(reading: &[u8]) -> bool {
    reading
        .iter()
        .any(|byte| *byte == b'\\' || byte.is_ascii_control() || matches!(byte, 0xC0 | 0xC1))
}

/// Parameters of a segment (`;…`) are cut off before dots are looked at, as are spaces.
fn leads_upwards(reading: &[u8]) -> bool {
    reading.split(|byte| *byte == b'/').any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii() == b".."
    })
}

/// One layer of percent-encoding less.
fn decode(reading: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let (mut decoded, mut at) = (Vec::with_capacity(reading.len()), 0);
    while let Some(byte) = reading.get(at) {
        let pair = hex(reading.get(at + 1)).zip(hex(reading.get(at + 2)));
        let (plain, length) = match pair.filter(|_| *byte == b'%') {
            Some((high, low)) => ((high * 16 + low) as u8, 3),
            None => (*byte, 1),
        };
        decoded.push(plain);
        at += length;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_server_reads_as_a_way_upwards_is_found() {
        for path in [
            "/team/..",
            "/team/../admin",
            "/team/..%2fadmin",
            "/team/%2e%2e%2Fadmin",
            "/team/%2e./admin",
            "/team/%252e%252e/admin",
            "/team/..%252fadmin",
            "/team/%25252e%25252e%25252fadmin",
            "/team/..;/admin",
            "/team/..;a=b/admin",
            "/team/..%3b/admin",
            "/team/..%253bx/admin",
            "/team/..%5cadmin",
            "/team/x%5cy",
            "/team/..%255c..%255cadmin",
            "/team/a%2f..%2f..%2fadmin",
            "/team/%2f../admin",
            "/team/..%20/admin",
            "/team/..%00/admin",
            "/team/..%0a/admin",
            "/team/.%09./admin",
            "/team/%c0%ae%c0%ae/admin",
            "/team/..%c0%afadmin",
            "/team/%25252525252e%25252525252e/admin",
        ] {
            assert!(climbs(path), "{path}");
        }
    }

    #[test]
    fn what_stays_below_is_left_alone() {
        for path in [
            "/team/",
            "/team/.hidden/a..b/...",
            "/team/projects/team%2Fapp/files/a%2Fb%2ec",
            "/team/queues/%2F/name",
            "/team/%2fadmin",
            "/team/x;y=..;z",
            "/team/100%",
            "/team/%zz/%2",
            "/team/50%25/of",
            "/team/gr%C3%BC%C3%9Fe",
            "/team/%ff%fe",
        ] {
            assert!(!climbs(path), "{path}");
        }
    }
}
