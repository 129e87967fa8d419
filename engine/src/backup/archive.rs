//! The file format of backups: a tar archive (POSIX pax) of plain files, so that it can be looked
//! into, and in need be unpacked, by the programs that every system has.

use std::io::{self, ErrorKind, Read, Write};

const BLOCK: usize = 512;
/// Where the fields of a header lie.
const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..107;
const SIZE: std::ops::Range<usize> = 124..135;
const TIME: std::ops::Range<usize> = 136..147;
const SUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..265;
/// A plain file, and the longer fields of the entry that follows.
const FILE: u8 = b'0';
const EXTENDED: u8 = b'x';
/// Most bytes of extended fields: a path of the system has 4,096 at most.
const MAX_EXTENDED: u64 = 16 * 1024;
/// Sizes above do not fit a header's eleven octal digits.
const MAX_PLAIN: u64 = 0o77_777_777_777;

/// What an archive says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path, with `/` between folders.
    pub(super) name: String,
    /// Whether it is a program.
    pub(super) executable: bool,
    /// Bytes of content.
    pub(super) size: u64,
}

/// Writes an archive.
pub(super) struct Writer<W>(pub(super) W);

impl<W: Write> Writer<W> {
    /// Adds a file. Content beyond `entry.size` is left out; the lack of any is an error.
    pub(super) fn file(&mut self, entry: &Entry, content: impl Read) -> io::Result<()> {
        let mut long = String::new();
        if entry.name.len() > NAME.len() {
            long += &record("path", &entry.name);
        }
        if entry.size > MAX_PLAIN {
            long += &record("size", &entry.size.to_string());
        }
        if !long.is_empty() {
            self.0.write_all(&header("long", EXTENDED, 0o600, long.len() as u64))?;
            self.0.write_all(long.as_bytes())?;
            self.pad(long.len() as u64)?;
        }
        let mode = if entry.executable { 0o700 } else { 0o600 };
        self.0.write_all(&header(&entry.name, FILE, mode, entry.size))?;
        let copied = io::copy(&mut content.take(entry.size), &mut self.0)?;
        if copied < entry.size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.pad(entry.size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.0.write_all(&[0; BLOCK][..padding(size)])
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        self.0.flush()
    }
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// A field that is longer than its place in the header: `<length of all this> <key>=<value>\n`.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

fn header(name: &str, kind: u8, mode: u32, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let name = &name.as_bytes()[..name.len().min(NAME.len())];
    block[..name.len()].copy_from_slice(name);
    let fields = [
        (MODE, format!("{mode:07o}")),
        (SIZE, format!("{:011o}", size.min(MAX_PLAIN))),
        (TIME, format!("{:011o}", 0)),
        (MAGIC, "ustar\x0000".to_owned()),
    ];
    for (place, text) in fields {
        block[place].copy_from_slice(text.as_bytes());
    }
    block[KIND] = kind;
    let sum = format!("{:06o}\0 ", sum(&block));
    block[SUM].copy_from_slice(sum.as_bytes());
    block
}

/// The sum of a header's bytes, its own field taken as blanks.
fn sum(block: &[u8; BLOCK]) -> u32 {
    let bytes = block.iter().enumerate();
    bytes.map(|(at, byte)| u32::from(if SUM.contains(&at) { b' ' } else { *byte })).sum()
}

/// Reads an archive, entry by entry.
pub(super) struct Reader<R>(pub(super) R);

impl<R: Read> Reader<R> {
    /// The next file, whose content must be read before the one after it; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(first) = self.header()? else { return Ok(None) };
        if first.kind != EXTENDED {
            return first.entry(None, None).map(Some);
        }
        if first.size > MAX_EXTENDED {
            return Err(damaged("it has a header beyond all bounds"));
        }
        let mut text = Vec::new();
        self.content(first.size, &mut text)?;
        let mut text = String::from_utf8(text).map_err(|_| damaged("a header is no text"))?;
        let (mut name, mut size) = (None, None);
        while let Some((key, value, rest)) = take_record(&text) {
            match key {
                "path" => name = Some(value.to_owned()),
                "size" => size = value.parse().ok(),
                _ => {}
            }
            text = rest.to_owned();
        }
        let Some(second) = self.header()? else { return Err(damaged("it is cut short")) };
        second.entry(name, size).map(Some)
    }

    /// Copies the content of the entry that was read last.
    pub(super) fn content(&mut self, size: u64, mut to: impl Write) -> io::Result<()> {
        let copied = io::copy(&mut (&mut self.0).take(size), &mut to)?;
        if copied < size {
            return Err(damaged("it is cut short"));
        }
        let mut rest = [0; BLOCK];
        self.exactly(&mut rest[..padding(size)])
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK];
        self.exactly(&mut block)?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        if block[MAGIC.start..MAGIC.start + 5] != *b"ustar" {
            return Err(damaged("it is no tar archive"));
        }
        if octal(&block[SUM]) != Some(u64::from(sum(&block))) {
            return Err(damaged("a header is not what was written"));
        }
        let end = block[NAME].iter().position(|byte| *byte == 0).unwrap_or(NAME.len());
        let name = String::from_utf8_lossy(&block[..end]).into_owned();
        let (Some(mode), Some(size)) = (octal(&block[MODE]), octal(&block[SIZE])) else {
            return Err(damaged("a header holds no numbers"));
        };
        Ok(Some(Header { name, mode, size, kind: block[KIND] }))
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => damaged("it is cut short"),
            _ => error,
        })
    }
}

struct Header {
    name: String,
    mode: u64,
    size: u64,
    kind: u8,
}

impl Header {
    fn entry(self, name: Option<String>, size: Option<u64>) -> io::Result<Entry> {
        let name = name.unwrap_or(self.name);
        if self.kind != FILE {
            return Err(damaged(&format!("`{name}` is no plain file")));
        }
        let executable = self.mode & 0o100 != 0;
        Ok(Entry { name, executable, size: size.unwrap_or(self.size) })
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// Key and value of the first record, and what follows it.
fn take_record(text: &str) -> Option<(&str, &str, &str)> {
    let (length, _) = text.split_once(' ')?;
    let (record, rest) = text.split_at_checked(length.parse().ok()?)?;
    let (key, value) = record.get(length.len() + 1..)?.strip_suffix('\n')?.split_once('=')?;
    Some((key, value, rest))
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn archive(files: &[(&str, bool, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer(&mut bytes);
        for (name, executable, content) in files {
            let size = content.len() as u64;
            let entry = Entry { name: (*name).to_owned(), executable: *executable, size };
            writer.file(&entry, *content).unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<(String, bool, Vec<u8>)>> {
        let (mut reader, mut found) = (Reader(bytes), Vec::new());
        while let Some(Entry { name, executable, size }) = reader.next()? {
            let mut content = Vec::new();
            reader.content(size, &mut content)?;
            found.push((name, executable, content));
        }
        Ok(found)
    }

    #[test]
    fn files_come_out_as_they_went_in_long_names_too() {
        let long = format!("packs/{}/ä.sh", "folder/".repeat(40));
        let block = [7; BLOCK];
        let files: [(&str, bool, &[u8]); 4] =
            [("a", false, b""), (&long, true, b"#!"), ("b/c", false, &block), ("d", false, b"x")];
        let found = read(&archive(&files)).unwrap();
        let expected = files.map(|(name, run, bytes)| (name.to_owned(), run, bytes.to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_systems_own_tar_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("packs/{}run.sh", "folder/".repeat(40));
        let file = folder.path().join("it.tar");
        let bytes = archive(&[("backup.json", false, b"{}"), (&long, true, b"#!/bin/sh\n")]);
        std::fs::write(&file, bytes).unwrap();
        let done = Command::new("tar").arg("-xf").arg(&file).current_dir(&folder).status().unwrap();
        assert!(done.success());
        let program = folder.path().join(&long);
        assert_eq!(std::fs::read(&program).unwrap(), b"#!/bin/sh\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&program).unwrap().permissions(),
        );
        assert_eq!(mode & 0o100, 0o100, "a program stays one");
    }

    #[test]
    fn nothing_but_plain_files_with_headers_of_a_bounded_length_is_read() {
        for (kind, size, why) in [
            (b'2', 0, "`a` is no plain file"),
            (b'1', 0, "`a` is no plain file"),
            (b'5', 0, "`a` is no plain file"),
            (EXTENDED, MAX_EXTENDED + 1, "it has a header beyond all bounds"),
        ] {
            let mut bytes = header("a", kind, 0o600, size).to_vec();
            bytes.extend([0; 2 * BLOCK]);
            assert_eq!(read(&bytes).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn what_is_cut_short_or_changed_is_an_error_wherever_that_is() {
        let whole = archive(&[("a", false, b"some text"), ("b", false, &[1; 700])]);
        for end in 0..whole.len() - BLOCK {
            let error = read(&whole[..end]).unwrap_err();
            assert_eq!(error.to_string(), "it is cut short", "at {end}");
        }
        for at in 0..BLOCK {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            read(&changed).unwrap_err();
        }
        assert_eq!(read(&[b'x'; 600]).unwrap_err().to_string(), "it is no tar archive");
    }
}
