//! A block of groups without what can be computed again.
//!
//! Most of what does not compress in a segment is hashes: roots, group hashes, content digests, checksums. All of them
//! follow from the records and contents beside them. So a block is written as what the writer was given, and made again
//! by the writer's own [`GroupBuilder`]. Whoever packs a block unpacks it at once and compares; a block that does not come
//! out bit for bit (a damaged one, say) is packed as it is. So nothing that was stored can be changed by this, and what
//! verification recomputes are the same records under the same signed roots.
//!
//! Four streams, one behind the other, so that like stands beside like: numbers, records, contents, and what is random.

use std::collections::HashMap;

use crate::group::{
    Chain, ContentFrame, Frame, Frames, GroupBuilder, GroupHeader, MAX_GROUP_BYTES, RecordFrame,
};
use crate::note::{decode_base64, encode_base64, encode_hash};
use crate::segment::{array, read_u32};
use crate::tree::{CompactRange, Hash, content_digest, leaf_hash};

const LENGTHS_BYTES: usize = 16;
const RECORD: u8 = 1;
/// A content whose digest is that of its bytes, and one whose digest has to be kept: a chunk.
const CONTENT: u8 = 2;
const CHUNK: u8 = 3;
/// A checkpoint of a size at which a group of this block ends, with one signature line; and any other.
const CHECKPOINT: u8 = 4;
const NOTE: u8 = 5;
/// Key id and Ed25519 signature in a note.
const SIGNATURE_BYTES: usize = 68;

/// What writer and reader of a block know at the same point of it.
struct Known {
    chain: Chain,
    wall_ns: u64,
    origin: String,
    /// Where groups of this block end: size and root.
    ends: HashMap<u64, Hash>,
    digests: Vec<Hash>,
    /// Where the newest of each digest is: only for the writer of a block.
    places: HashMap<Hash, usize>,
    sources: Vec<[u8; 16]>,
    /// The source and number of the last record.
    last: (usize, u64),
}

impl Known {
    fn new(chain: Chain, origin: String) -> Known {
        let ends = HashMap::from([(chain.range.size(), chain.range.root())]);
        Known {
            chain,
            wall_ns: 0,
            origin,
            ends,
            digests: Vec::new(),
            places: HashMap::new(),
            sources: Vec::new(),
            last: (usize::MAX, 0),
        }
    }

    fn note(&self, size: u64, root: &Hash, signature: &[u8]) -> String {
        let (origin, root) = (&self.origin, encode_hash(root));
        format!("{origin}\n{size}\n{root}\n\n\u{2014} {origin} {}\n", encode_base64(signature))
    }
}

#[derive(Default)]
struct Streams {
    numbers: Vec<u8>,
    records: Vec<u8>,
    contents: Vec<u8>,
    random: Vec<u8>,
}

impl Streams {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.numbers.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.numbers.push(value as u8);
    }

    /// A difference, small whichever sign it has.
    fn difference(&mut self, from: u64, to: u64) {
        let difference = to.wrapping_sub(from) as i64;
        self.number(((difference << 1) ^ (difference >> 63)) as u64);
    }

    fn finish(self) -> Vec<u8> {
        let parts = [&self.numbers, &self.records, &self.contents, &self.random];
        let mut bytes =
            Vec::with_capacity(LENGTHS_BYTES + parts.iter().map(|part| part.len()).sum::<usize>());
        parts.iter().for_each(|part| bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()));
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }
}

/// Writes a block of groups without what can be computed again; `range` is the tree before it and is moved behind it.
/// `None`: it is not made of whole groups, or does not come out as it was.
pub(crate) fn shorten(raw: &[u8], range: &mut CompactRange) -> Option<Vec<u8>> {
    let before = range.clone();
    let first = GroupHeader::decode(raw).ok()?;
    let chain = Chain {
        next_group: first.number,
        previous_hash: first.previous_hash,
        range: before,
        salt: first.salt,
    };
    if first.first_index != chain.range.size() {
        return None;
    }
    let mut streams = Streams::default();
    let origin = first_origin(raw);
    streams.number(chain.next_group);
    streams.number(chain.range.size());
    streams.number(origin.len() as u64);
    streams.numbers.extend_from_slice(origin.as_bytes());
    streams.random.extend_from_slice(&chain.previous_hash);
    streams.random.extend_from_slice(&chain.salt);
    chain.range.peaks().iter().for_each(|peak| streams.random.extend_from_slice(peak));
    let mut known = Known::new(chain, origin);
    let mut position = 0;
    while position < raw.len() {
        let header = GroupHeader::decode(&raw[position..]).ok()?;
        let group = raw.get(position..position + header.total_bytes())?;
        shorten_group(group, &header, &mut known, &mut streams)?;
        position += group.len();
    }
    let short = streams.finish();
    let same = short.len() < raw.len() && restore(&short, raw.len()).ok()? == raw;
    same.then(|| {
        *range = known.chain.range;
        short
    })
}

/// The first line of the first note in a block.
fn first_origin(raw: &[u8]) -> String {
    let mut position = 0;
    while let Some(header) = raw.get(position..).and_then(|rest| GroupHeader::decode(rest).ok()) {
        let Some(group) = raw.get(position..position + header.total_bytes()) else { break };
        for placed in Frames::new(group, &header).flatten() {
            if let Frame::Checkpoint(note) = placed.frame
                && let Some((origin, _)) =
                    std::str::from_utf8(note).ok().and_then(|note| note.split_once('\n'))
            {
                return origin.to_owned();
            }
        }
        position += header.total_bytes();
    }
    String::new()
}

fn shorten_group(group: &[u8], header: &GroupHeader, known: &mut Known, streams: &mut Streams) -> Option<()> {
    streams.number(header.flags.into());
    streams.difference(known.wall_ns, header.wall_ns);
    streams.number(header.frames.into());
    known.wall_ns = header.wall_ns;
    for placed in Frames::new(group, header) {
        match placed.ok()?.frame {
            Frame::Record(record) => {
                let (last, seq) = known.last;
                let of = known.sources.iter().position(|source| *source == record.source);
                let source = of.unwrap_or(known.sources.len());
                streams.numbers.push(RECORD);
                // 0: as the record before; 1: a new one; else one of those seen, counted from the newest.
                match of {
                    Some(of) if of == last => streams.number(0),
                    Some(of) => streams.number(1 + (known.sources.len() - of) as u64),
                    None => {
                        streams.number(1);
                        streams.random.extend_from_slice(&record.source);
                        known.sources.push(record.source);
                    }
                }
                streams.difference(if source == last { seq } else { 0 }, record.seq);
                known.last = (source, record.seq);
                streams.number(record.position.into());
                streams.number(record.batch_records.into());
                let taken_out = take_digests_out(record.bytes, &known.places, &mut streams.records);
                streams.number(record.bytes.len() as u64);
                streams.number(taken_out.len() as u64);
                for (at, digest) in taken_out {
                    streams.number(at as u64);
                    streams.number((known.digests.len() - digest) as u64);
                }
                known.chain.range.push(leaf_hash(record.bytes));
            }
            Frame::Content(content) => {
                let whole = content.offset == 0 && content.total_bytes == content.bytes.len() as u64;
                let follows = whole && content_digest(&content.salt, content.bytes) == content.digest;
                streams.numbers.push(if follows { CONTENT } else { CHUNK });
                streams.random.extend_from_slice(&content.salt);
                streams.number(content.bytes.len() as u64);
                if !follows {
                    streams.number(content.total_bytes);
                    streams.number(content.offset);
                    streams.random.extend_from_slice(&content.digest);
                }
                streams.contents.extend_from_slice(content.bytes);
                known.places.insert(content.digest, known.digests.len());
                known.digests.push(content.digest);
            }
            Frame::Checkpoint(note) => match signature_of(note, known) {
                Some((size, signature)) => {
                    streams.numbers.push(CHECKPOINT);
                    streams.difference(known.chain.range.size(), size);
                    streams.random.extend_from_slice(&signature);
                }
                None => {
                    streams.numbers.push(NOTE);
                    streams.number(note.len() as u64);
                    streams.records.extend_from_slice(note);
                }
            },
        }
    }
    let size = known.chain.range.size();
    known.ends.insert(size, known.chain.range.root());
    Some(())
}

/// Size and signature of a note that is known but for these.
fn signature_of(note: &[u8], known: &Known) -> Option<(u64, Vec<u8>)> {
    let text = std::str::from_utf8(note).ok()?;
    let size: u64 = text.lines().nth(1)?.parse().ok()?;
    let signature = decode_base64(text.strip_suffix('\n')?.rsplit(' ').next()?)?;
    let root = known.ends.get(&size)?;
    let same = signature.len() == SIGNATURE_BYTES && known.note(size, root, &signature) == text;
    same.then_some((size, signature))
}

/// Appends a record without the digests, in hexadecimal, of contents seen; returns where they were, counted from the end
/// of the one before, and which.
fn take_digests_out(record: &[u8], places: &HashMap<Hash, usize>, to: &mut Vec<u8>) -> Vec<(usize, usize)> {
    let mut taken_out = Vec::new();
    let (mut copied, mut run) = (0, 0);
    for at in 0..record.len() {
        run = if matches!(record[at], b'0'..=b'9' | b'a'..=b'f') { run + 1 } else { 0 };
        if run < 64 {
            continue;
        }
        let start = at + 1 - 64;
        let found = from_hex(&record[start..=at]).and_then(|digest| places.get(&digest).copied());
        if let Some(found) = found {
            to.extend_from_slice(&record[copied..start]);
            taken_out.push((start - copied, found));
            copied = at + 1;
            run = 0;
        }
    }
    to.extend_from_slice(&record[copied..]);
    taken_out
}

fn from_hex(digits: &[u8]) -> Option<Hash> {
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| (digit as char).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(hash)
}

/// Reads from one of the streams; everything is bounded by what is there.
struct Input<'a> {
    numbers: &'a [u8],
    records: &'a [u8],
    contents: &'a [u8],
    random: &'a [u8],
}

fn take<'a>(stream: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, rest) = stream.split_at_checked(count).ok_or("it ends too early")?;
    *stream = rest;
    Ok(taken)
}

impl<'a> Input<'a> {
    fn new(short: &'a [u8]) -> Result<Input<'a>, &'static str> {
        let mut rest = short;
        let lengths = take(&mut rest, LENGTHS_BYTES)?;
        let mut part = |number: usize| take(&mut rest, read_u32(lengths, 4 * number) as usize);
        let input = Input { numbers: part(0)?, records: part(1)?, contents: part(2)?, random: part(3)? };
        if rest.is_empty() { Ok(input) } else { Err("bytes follow the last stream") }
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = take(&mut self.numbers, 1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is too long")
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        let length = self.number()?;
        if length > MAX_GROUP_BYTES as u64 { Err("a length cannot be") } else { Ok(length as usize) }
    }

    fn small(&mut self) -> Result<u32, &'static str> {
        self.number()?.try_into().map_err(|_| "a number is too large")
    }

    fn difference(&mut self, from: u64) -> Result<u64, &'static str> {
        let value = self.number()?;
        Ok(from.wrapping_add((value >> 1) ^ (value & 1).wrapping_neg()))
    }

    fn hash<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        Ok(array(take(&mut self.random, N)?, 0))
    }
}

/// Makes the block of `raw_bytes` again.
pub(crate) fn restore(short: &[u8], raw_bytes: usize) -> Result<Vec<u8>, &'static str> {
    let mut input = Input::new(short)?;
    let mut raw = Vec::with_capacity(raw_bytes);
    let next_group = input.number()?;
    let size = input.number()?;
    let origin = input.length()?;
    let origin = String::from_utf8_lossy(take(&mut input.numbers, origin)?).into_owned();
    let (previous_hash, salt) = (input.hash()?, input.hash()?);
    let peaks = (0..size.count_ones()).map(|_| input.hash()).collect::<Result<Vec<Hash>, _>>()?;
    let range = CompactRange::from_peaks(size, peaks).ok_or("the tree before it cannot be")?;
    let mut known = Known::new(Chain { next_group, previous_hash, range, salt }, origin);
    let mut builder = GroupBuilder::new();
    while raw.len() < raw_bytes {
        restore_group(&mut input, &mut known, &mut builder, &mut raw)?;
    }
    let done =
        [input.numbers, input.records, input.contents, input.random].iter().all(|rest| rest.is_empty());
    if done && raw.len() == raw_bytes { Ok(raw) } else { Err("it is of another length") }
}

fn restore_group(
    input: &mut Input<'_>,
    known: &mut Known,
    builder: &mut GroupBuilder,
    raw: &mut Vec<u8>,
) -> Result<(), &'static str> {
    builder.clear();
    let flags = input.small()?;
    known.wall_ns = input.difference(known.wall_ns)?;
    let mut range = known.chain.range.clone();
    for _ in 0..input.length()? {
        match take(&mut input.numbers, 1)?[0] {
            RECORD => {
                let (last, seq) = known.last;
                let source = match input.length()? {
                    0 => last,
                    1 => {
                        known.sources.push(input.hash()?);
                        known.sources.len() - 1
                    }
                    back => known.sources.len().checked_sub(back - 1).ok_or("a source is not known")?,
                };
                let seq = input.difference(if source == last { seq } else { 0 })?;
                known.last = (source, seq);
                let (position, batch_records) = (input.small()?, input.small()?);
                let bytes = put_digests_in(input, &known.digests)?;
                let leaf = leaf_hash(&bytes);
                let source = *known.sources.get(source).ok_or("a source is not known")?;
                builder.record(&RecordFrame { source, seq, position, batch_records, bytes: &bytes }, &leaf);
                range.push(leaf);
            }
            kind @ (CONTENT | CHUNK) => {
                let salt = input.hash()?;
                let length = input.length()?;
                let (mut total_bytes, mut offset, mut digest) = (length as u64, 0, None);
                if kind == CHUNK {
                    (total_bytes, offset) = (input.number()?, input.number()?);
                    digest = Some(input.hash()?);
                }
                let bytes = take(&mut input.contents, length)?;
                let digest = digest.unwrap_or_else(|| content_digest(&salt, bytes));
                builder.content(&ContentFrame { digest, salt, total_bytes, offset, bytes });
                known.digests.push(digest);
            }
            CHECKPOINT => {
                let size = input.difference(range.size())?;
                let root = known.ends.get(&size).ok_or("a checkpoint is of a size that is not known")?;
                let note = known.note(size, root, take(&mut input.random, SIGNATURE_BYTES)?);
                builder.checkpoint(note.as_bytes());
            }
            NOTE => {
                let length = input.length()?;
                builder.checkpoint(take(&mut input.records, length)?);
            }
            _ => return Err("a frame is of a kind that is not known here"),
        }
        if builder.body_bytes() > MAX_GROUP_BYTES {
            return Err("a group is too long");
        }
    }
    let root = range.root();
    let (group, group_hash) = builder.finish(&known.chain, &range, &root, flags, known.wall_ns);
    raw.extend_from_slice(group);
    known.chain.next_group = known.chain.next_group.wrapping_add(1);
    known.chain.previous_hash = group_hash;
    known.ends.insert(range.size(), root);
    known.chain.range = range;
    Ok(())
}

fn put_digests_in(input: &mut Input<'_>, digests: &[Hash]) -> Result<Vec<u8>, &'static str> {
    let length = input.length()?;
    let mut bytes = Vec::with_capacity(length);
    for _ in 0..input.length()? {
        let (at, back) = (input.length()?, input.length()?);
        bytes.extend_from_slice(take(&mut input.records, at)?);
        let digest = digests.len().checked_sub(back).and_then(|at| digests.get(at));
        bytes.extend_from_slice(crate::note::hex(digest.ok_or("a digest is not known")?).as_bytes());
    }
    let rest = length.checked_sub(bytes.len()).ok_or("a record is longer than it should be")?;
    bytes.extend_from_slice(take(&mut input.records, rest)?);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{SignedCheckpoint, SigningKey, hex};

    /// Groups as a recorder writes them: a record that names its content's digest, and the checkpoint of the group before.
    fn block() -> (Vec<u8>, CompactRange) {
        let key = SigningKey::from_seed(&[1; 32]);
        let mut chain =
            Chain { next_group: 7, previous_hash: [7; 32], range: CompactRange::new(), salt: [1; 16] };
        (0..5).for_each(|n| chain.range.push([n; 32]));
        let before = chain.range.clone();
        let mut builder = GroupBuilder::new();
        let mut raw = Vec::new();
        for n in 0..12u64 {
            builder.clear();
            let mut range = chain.range.clone();
            if n % 3 > 0 {
                let root = range.root();
                let note = SignedCheckpoint::sign(&key, "log.example/x", range.size(), &root).unwrap();
                builder.checkpoint(note.note().as_bytes());
            }
            let bytes = vec![n as u8; 300 + n as usize];
            let digest = content_digest(&[n as u8; 16], &bytes);
            let chunk =
                ContentFrame { digest, salt: [n as u8; 16], total_bytes: 900, offset: 3, bytes: &bytes };
            let whole = ContentFrame { total_bytes: bytes.len() as u64, offset: 0, ..chunk };
            builder.content(if n == 5 { &chunk } else { &whole });
            let text = format!(
                "{{\"n\":{n},\"content\":\"{0}\",\"again\":\"{0}ab\",\"x\":\"{1}\"}}",
                hex(&digest),
                hex(&[9; 40])
            );
            for position in 0..2 {
                let (source, seq) = ([(n % 4) as u8; 16], 1000 - n);
                let record = RecordFrame { source, seq, position, batch_records: 2, bytes: text.as_bytes() };
                let leaf = leaf_hash(record.bytes);
                builder.record(&record, &leaf);
                range.push(leaf);
            }
            let root = range.root();
            let (group, hash) = builder.finish(&chain, &range, &root, 0, 1_000_000 - n);
            raw.extend_from_slice(group);
            (chain.previous_hash, chain.range) = (hash, range);
            chain.next_group += 1;
        }
        (raw, before)
    }

    #[test]
    fn a_block_comes_back_bit_for_bit_without_its_hashes() {
        let (raw, before) = block();
        let mut range = before.clone();
        let short = shorten(&raw, &mut range).unwrap();
        assert_eq!(range.size(), before.size() + 24);
        assert!(restore(&short, raw.len()).unwrap() == raw);
        // Each content once, each record without the digest that is named twice, and no root or group hash.
        assert!(short.len() < 12 * (312 + 2 * 180 + 150), "{} bytes", short.len());
        // Any change to what is computed again is noticed, and the block is packed as it is.
        for at in (0..raw.len()).step_by(97).filter(|at| raw[*at] != 0) {
            let mut changed = raw.clone();
            changed[at] ^= 1;
            if let Some(short) = shorten(&changed, &mut before.clone()) {
                assert!(restore(&short, raw.len()).unwrap() == changed, "byte {at}");
            }
        }
    }

    #[test]
    fn hostile_streams_are_refused_within_bounds() {
        let (raw, before) = block();
        let short = shorten(&raw, &mut before.clone()).unwrap();
        let mut state = 1u64;
        let mut die = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for round in 0..20_000 {
            let mut bytes = short.clone();
            for _ in 0..1 + round % 4 {
                // Most of what decides is in the lengths and numbers.
                let within = if die() % 4 == 0 { bytes.len() } else { 600.min(bytes.len()) };
                let at = die() % within;
                bytes[at] = if die() % 2 == 0 { 0xff } else { die() as u8 };
            }
            if round % 7 == 0 {
                bytes.truncate(die() % (bytes.len() + 1));
            }
            if let Ok(restored) = restore(&bytes, raw.len()) {
                assert_eq!(restored.len(), raw.len());
            }
            let _ = restore(&bytes, 4096);
        }
        assert!(restore(&[], 4096).is_err());
    }
}
