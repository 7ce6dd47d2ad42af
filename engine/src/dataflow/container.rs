//! `Updates` as a timely container, and their exchange by key.

use timely::Accountable;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::progress::Stamp;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::aggregate::columns_at;
use crate::state::key_index::{KeyCodec, types_of};
use crate::updates::Updates;

impl Accountable for Updates {
    fn record_count(&self) -> i64 {
        self.len() as i64
    }
}

/// Between processes: times, diffs and rows, each behind its length in eight bytes; the rows as
/// an Arrow IPC stream.
impl ContainerBytes for Updates {
    fn from_bytes(bytes: timely::bytes::arc::Bytes) -> Self {
        let mut rest = &bytes[..];
        let times = words(section(&mut rest)).collect::<Vec<u64>>();
        let diffs = words(section(&mut rest)).map(|word| word as i64).collect::<Vec<i64>>();
        let mut reader = StreamReader::try_new(section(&mut rest), None)
            .expect("another worker of this version wrote it");
        let schema = reader.schema();
        let data = match reader.next() {
            Some(batch) => batch.expect("another worker of this version wrote it"),
            None => RecordBatch::new_empty(schema),
        };
        Updates::new(data, times, diffs)
    }

    fn length_in_bytes(&self) -> usize {
        self.encoded().len()
    }

    fn into_bytes<W: std::io::Write>(&self, writer: &mut W) {
        writer.write_all(&self.encoded()).expect("timely sized the buffer for it");
    }
}

impl Updates {
    fn encoded(&self) -> Vec<u8> {
        let mut rows = Vec::new();
        let mut stream =
            StreamWriter::try_new(&mut rows, &self.data.schema()).expect("writing to memory");
        stream.write(&self.data).and_then(|()| stream.finish()).expect("writing to memory");
        let mut bytes = Vec::with_capacity(rows.len() + self.len() * 16 + 24);
        bytes.extend((self.len() as u64 * 8).to_le_bytes());
        self.times.iter().for_each(|time| bytes.extend(time.to_le_bytes()));
        bytes.extend((self.len() as u64 * 8).to_le_bytes());
        self.diffs.iter().for_each(|diff| bytes.extend(diff.to_le_bytes()));
        bytes.extend((rows.len() as u64).to_le_bytes());
        bytes.extend(&rows);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}

fn section<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (length, tail) = rest.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let (section, tail) = tail.split_at(length);
    *rest = tail;
    section
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
}

/// Sends each row to the worker that its key belongs to.
pub(crate) struct KeyDistributor {
    keys: Vec<usize>,
    codec: Option<KeyCodec>,
}

impl KeyDistributor {
    /// By the input columns `keys`; without any, everything goes to worker 0.
    pub fn new(keys: Vec<usize>) -> Self {
        KeyDistributor { keys, codec: None }
    }

    fn partition_rows(&mut self, updates: &Updates, peers: usize) -> Vec<Vec<u32>> {
        let codec = self.codec.get_or_insert_with(|| {
            KeyCodec::for_keys(types_of(&updates.data.schema(), &self.keys))
        });
        let keys = codec.encode(&columns_at(&updates.data, &self.keys), updates.len());
        let mut rows = vec![Vec::new(); peers];
        for (row, &hash) in keys.hashes().iter().enumerate() {
            rows[worker_of(hash, peers)].push(row as u32);
        }
        rows
    }
}

/// The worker that a key belongs to. The hash's upper half, as tables of keys use the lower.
pub(crate) fn worker_of(hash: u64, peers: usize) -> usize {
    ((hash >> 32) as usize) % peers
}

impl Distributor<Updates> for KeyDistributor {
    fn partition<T: Clone, P: Push<Message<T, Updates>>>(
        &mut self,
        container: &mut Updates,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let updates = std::mem::take(container);
        if self.keys.is_empty() {
            Message::push_at(&mut { updates }, stamp.clone(), &mut pushers[0]);
            return;
        }
        let rows = self.partition_rows(&updates, pushers.len());
        for (rows, pusher) in rows.iter().zip(pushers) {
            if rows.len() == updates.len() {
                Message::push_at(&mut updates.clone(), stamp.clone(), pusher);
            } else if !rows.is_empty() {
                Message::push_at(&mut updates.take(rows), stamp.clone(), pusher);
            }
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Updates>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}
