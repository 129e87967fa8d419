//! What can be told of a state folder before SQLite opens anything in it.
//!
//! SQLite takes a database of no bytes for a new one and deletes the write-ahead log beside it: the
//! last that is left of the facts. So damage that shows from outside is refused here, and every
//! file stays as it is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::OpenError;
use super::head::Head;
use super::schema;

/// What only a folder has in which a server ran, most telling first.
const TRACES: [&str; 9] = [
    "restoring",
    "head",
    "tripline.db-wal",
    "admin.token",
    "server.json",
    "blobs",
    "packs",
    "logs",
    "children",
];

/// The fixed part at the start of every SQLite file.
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The fixed part of a write-ahead log, and of each frame (a page's new content) in it.
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// Whether the folder holds a database; an error if it should and doesn't, or if that is damaged.
pub(super) fn look(folder: &Path) -> Result<bool, OpenError> {
    let path = schema::path(folder);
    let facts = Head::read(folder)?.map_or(0, |head| head.position.0);
    match fs::metadata(&path).map(|file| file.len()) {
        Ok(0) => match trace(folder) {
            Some(_) => Err(OpenError::Empty { path, facts, beside: beside(folder) }),
            None => Ok(false),
        },
        Ok(bytes) => check_file(folder, bytes).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match trace(folder) {
            Some(trace) => Err(OpenError::Gone { path, facts, trace }),
            None => Ok(false),
        },
        Err(error) => Err(OpenError::folder(&path)(error)),
    }
}

/// Refuses a database that holds nothing, though facts were acknowledged.
pub(super) fn check_schema(folder: &Path, found: u32) -> Result<(), OpenError> {
    match Head::read(folder)? {
        Some(head) if found == 0 && head.position.0 > 0 => Err(OpenError::Empty {
            path: schema::path(folder),
            facts: head.position.0,
            beside: beside(folder),
        }),
        _ => Ok(()),
    }
}

fn trace(folder: &Path) -> Option<&'static str> {
    TRACES.into_iter().find(|name| folder.join(name).exists())
}

/// Bytes of the write-ahead log.
fn beside(folder: &Path) -> u64 {
    fs::metadata(folder.join("tripline.db-wal")).map_or(0, |file| file.len())
}

fn check_file(folder: &Path, bytes: u64) -> Result<(), OpenError> {
    let path = schema::path(folder);
    let failed = OpenError::folder(&path);
    let damaged = |why: &str| OpenError::Damaged { path: path.clone(), why: why.to_owned() };
    let mut header = [0; HEADER];
    let file = File::open(&path).map_err(&failed)?;
    match file.read_exact_at(&mut header, 0) {
        Ok(()) if header.starts_with(MAGIC) => {}
        Ok(()) => return Err(damaged("it is no SQLite database")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged("it is cut short"));
        }
        Err(error) => return Err(failed(error)),
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size.max(512)),
    };
    let pages = u64::from(number(&header, 28));
    // The count of pages holds only if it was written with the last change.
    let counted = number(&header, 24) == number(&header, 92);
    let whole = bytes / page;
    if counted && whole < pages && !wal_has(folder, page, whole + 1..pages + 1).map_err(failed)? {
        let expected = pages * page;
        return Err(damaged(&format!("it is cut short: {bytes} of {expected} bytes are left")));
    }
    Ok(())
}

fn number(header: &[u8], at: usize) -> u32 {
    header[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Whether all these pages stand in the write-ahead log: a crash while it was copied into the
/// database leaves a file that ends early, and is made whole by the next who opens it.
fn wal_has(folder: &Path, page: u64, mut pages: std::ops::Range<u64>) -> io::Result<bool> {
    let length = beside(folder);
    if length < WAL_HEADER {
        return Ok(false);
    }
    let wal = File::open(folder.join("tripline.db-wal"))?;
    let mut header = [0; WAL_HEADER as usize];
    wal.read_exact_at(&mut header, 0)?;
    let mut found = std::collections::BTreeSet::new();
    let mut at = WAL_HEADER;
    while at + FRAME_HEADER + page <= length {
        let mut frame = [0; FRAME_HEADER as usize];
        wal.read_exact_at(&mut frame, at)?;
        // Frames of an earlier round carry another salt, and are void.
        if frame[8..16] != header[16..24] {
            break;
        }
        found.insert(u64::from(number(&frame, 0)));
        at += FRAME_HEADER + page;
    }
    Ok(pages.all(|page| found.contains(&page)))
}
