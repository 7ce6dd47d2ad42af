//! Segments and records as bytes; the layout stands at the head of `log.rs`.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::rows::Reader;
use super::{LogError, Record, Replay, extension, group};
use crate::time::Timestamp;

pub const HEADER_BYTES: usize = 40;
pub const FRAME_BYTES: usize = 17;
const MAGIC: &[u8; 8] = b"TIDEMLOG";
const VERSION: u32 = 1;
const RECORD_MAGIC: [u8; 4] = [0xf7, b'T', b'M', b'R'];
const GROUP: u8 = 1;
const RESERVE: u8 = 2;
const EXTENDED_GROUP: u8 = 3;

/// The file of a segment.
pub fn name(number: u64) -> String {
    format!("{number:016}.log")
}

/// The number of the segment in a file of this name, if it is one.
pub fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let number = digits.parse().ok()?;
    (self::name(number) == name).then_some(number)
}

/// The header of a new segment, and its salt. `before`: the length of the segment before.
pub fn header(number: u64, before: u64) -> (Vec<u8>, u64) {
    let salt = RandomState::new().build_hasher().finish();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(salt.to_le_bytes());
    bytes.extend(before.to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    (bytes, salt)
}

/// Whether a segment's header was never written: its file was made, nothing was appended yet.
pub fn is_unfinished(bytes: &[u8]) -> bool {
    bytes.len() < HEADER_BYTES || bytes.iter().all(|&byte| byte == 0)
}

/// Checks the header of a segment, which `before` bytes come before, and returns its salt.
pub fn read_header(bytes: &[u8], number: u64, before: u64, file: &str) -> Result<u64, LogError> {
    let damaged = |reason: &str| LogError::Damaged {
        file: file.to_owned(),
        offset: 0,
        reason: reason.to_owned(),
    };
    if bytes.len() < HEADER_BYTES {
        return Err(damaged("the header is incomplete"));
    }
    if &bytes[..8] != MAGIC {
        return Err(damaged("it is not a log segment"));
    }
    let version = u32_at(bytes, 8);
    if u32_at(bytes, 36) != crc32c::crc32c(&bytes[..36]) {
        return Err(damaged("the checksum of the header is wrong"));
    }
    if version != VERSION {
        return Err(LogError::Version { file: file.to_owned(), found: version, known: VERSION });
    }
    if u64_at(bytes, 12) != number {
        return Err(damaged("it is another segment's file"));
    }
    if u64_at(bytes, 28) != before {
        return Err(damaged(
            "the segment before it has another length than when this one was made",
        ));
    }
    Ok(u64_at(bytes, 20))
}

/// The salt of a segment, if it has a header.
pub fn salt(bytes: &[u8]) -> Option<u64> {
    (bytes.len() >= HEADER_BYTES).then(|| u64_at(bytes, 20))
}

/// A record as it stands at `offset` of a segment.
pub fn encode(record: &Record, salt: u64, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0; FRAME_BYTES];
    bytes[..4].copy_from_slice(&RECORD_MAGIC);
    bytes[16] = match record {
        Record::Group(group) => {
            group::encode(group, &mut bytes);
            match extension::encode(group, &mut bytes) {
                true => EXTENDED_GROUP,
                false => GROUP,
            }
        }
        Record::Reserve(time) => {
            bytes.extend(time.0.to_le_bytes());
            RESERVE
        }
    };
    let length = (bytes.len() - FRAME_BYTES) as u64;
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&bytes[8..], salt, offset);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Kind and payload of the record at `offset`, or what is wrong with it.
pub fn frame(bytes: &[u8], offset: usize, salt: u64) -> Result<(u8, &[u8]), String> {
    let rest = &bytes[offset..];
    if rest.len() < FRAME_BYTES {
        return Err("the record is incomplete".into());
    }
    if rest[..4] != RECORD_MAGIC {
        return Err("there is no record".into());
    }
    let end = (FRAME_BYTES as u64).saturating_add(u64_at(rest, 8));
    if end > rest.len() as u64 {
        return Err("the record is incomplete".into());
    }
    let end = end as usize;
    if u32_at(rest, 4) != checksum(&rest[8..end], salt, offset as u64) {
        return Err("the checksum of the record is wrong".into());
    }
    Ok((rest[16], &rest[FRAME_BYTES..end]))
}

/// Gives each record of a segment to `replay`, in order. What it refuses is damage there.
pub fn replay(
    bytes: &[u8],
    salt: u64,
    file: &str,
    replay: &mut dyn FnMut(Replay<'_>) -> Result<(), String>,
) -> Result<(), LogError> {
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() {
        let damaged =
            |reason| LogError::Damaged { file: file.to_owned(), offset: offset as u64, reason };
        let (kind, payload) = frame(bytes, offset, salt).map_err(damaged)?;
        decode(kind, payload).and_then(&mut *replay).map_err(damaged)?;
        offset += FRAME_BYTES + payload.len();
    }
    Ok(())
}

/// Whether the record at `offset` was never written in full: it is no record, nor is any after it.
pub fn is_torn(bytes: &[u8], offset: usize, salt: u64) -> bool {
    frame(bytes, offset, salt).is_err() && !any_valid_after(bytes, offset, salt)
}

/// Whether any record stands after `offset`.
fn any_valid_after(bytes: &[u8], offset: usize, salt: u64) -> bool {
    let places = offset + 1..bytes.len().saturating_sub(FRAME_BYTES - 1);
    let begins = |&place: &usize| bytes[place..].starts_with(&RECORD_MAGIC);
    places.filter(begins).any(|place| frame(bytes, place, salt).is_ok())
}

/// What a record says.
pub fn decode(kind: u8, payload: &[u8]) -> Result<Replay<'_>, String> {
    let mut reader = Reader::new(payload);
    let record = match kind {
        GROUP => Replay::Group(Box::new(group::decode(&mut reader)?)),
        EXTENDED_GROUP => {
            let mut group = group::decode(&mut reader)?;
            group.extension = extension::decode(&mut reader)?;
            Replay::Group(Box::new(group))
        }
        RESERVE => Replay::Reserve(Timestamp(reader.u64()?)),
        other => return Err(format!("records of kind {other} are unknown")),
    };
    reader.finish()?;
    Ok(record)
}

fn checksum(bytes: &[u8], salt: u64, offset: u64) -> u32 {
    let sum = crc32c::crc32c(&salt.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &offset.to_le_bytes());
    crc32c::crc32c_append(sum, bytes)
}

fn u32_at(bytes: &[u8], place: usize) -> u32 {
    u32::from_le_bytes(bytes[place..place + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], place: usize) -> u64 {
    u64::from_le_bytes(bytes[place..place + 8].try_into().expect("eight bytes"))
}
