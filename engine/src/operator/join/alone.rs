//! Alone: rows of one side that stand in the output by themselves.
//!
//! Law      a row is there as often as in its side, while it has partners (Semi), or while it has
//!          none (Anti, and padded rows of outer joins)
//! Delta    net for each row and time. Without a condition its key tells, by the product rule: at
//!          each time, what its multiplicity changes by where it did show, then its multiplicity
//!          where that turns. With one, a step's changes are gathered and folded row by row
//! State    with a condition, for each row the number of its partners

use super::NONE;

/// When a row stands in the output by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Matched,
    Unmatched,
}

/// See the module.
pub(super) struct Alone {
    when: When,
    /// The number of each row's partners as of the step's beginning, by row id.
    partners: Vec<i64>,
    /// What this step did, to rows whose partners a condition decides.
    changes: Vec<Change>,
    /// The row ids that updates of this step began, by number in the batch.
    begun: Vec<u32>,
    /// What this step adds to the output, in any order.
    shown: Vec<Shown>,
}

struct Change {
    row: u32,
    time: u64,
    count: i64,
    partners: i64,
}

#[derive(Clone, Copy)]
struct Shown {
    row: u32,
    time: u64,
    diff: i64,
}

impl Alone {
    pub fn new(when: When) -> Self {
        let (partners, changes, begun, shown) = (vec![], vec![], vec![], vec![]);
        Alone { when, partners, changes, begun, shown }
    }

    /// The rows whose partners this step has changed, some more than once.
    pub fn changed(&self) -> impl Iterator<Item = u32> {
        self.changes.iter().map(|change| change.row)
    }

    /// How many partners a row has, where that is counted.
    pub fn partners(&self, row: u32) -> i64 {
        self.partners.get(row as usize).copied().unwrap_or(0)
    }

    pub fn restore_partners(&mut self, row: u32, partners: i64) {
        self.partners.resize(self.partners.len().max(row as usize + 1), 0);
        self.partners[row as usize] = partners;
    }

    pub fn when(&self) -> When {
        self.when
    }

    /// Without a condition: the row's multiplicity changed while its key has partners or not.
    pub fn change_of_count(&mut self, row: u32, time: u64, diff: i64, matched: bool) {
        if shows(self.when, matched) {
            self.shown.push(Shown { row, time, diff });
        }
    }

    /// Without a condition: a row that is there `count` times got its first partners, or lost the
    /// last.
    pub fn change_of_match(&mut self, row: u32, time: u64, count: i64, matched: bool) {
        let diff = if shows(self.when, matched) { count } else { -count };
        self.shown.push(Shown { row, time, diff });
    }

    /// With a condition: update `number` of the batch changed a row's multiplicity.
    pub fn row_changed(&mut self, number: usize, row: u32, new: bool, time: u64, count: i64) {
        self.changes.push(Change { row, time, count, partners: 0 });
        if new {
            self.partners.resize(self.partners.len().max(row as usize + 1), 0);
            self.partners[row as usize] = 0;
            self.begun.resize(self.begun.len().max(number + 1), NONE);
            self.begun[number] = row;
        }
    }

    /// With a condition: update `number` of the batch met `count` partners. They count for a row
    /// that it began; another one knows them already.
    pub fn met(&mut self, number: u32, time: u64, count: i64) {
        match self.begun.get(number as usize) {
            None | Some(&NONE) => {}
            Some(&row) => self.change_of_partners(row, time, count),
        }
    }

    /// With a condition: so many partners came.
    pub fn change_of_partners(&mut self, row: u32, time: u64, partners: i64) {
        self.changes.push(Change { row, time, count: 0, partners });
    }

    /// Ends the step: rows, times and diffs of what it adds to the output. `count` gives the
    /// multiplicity of a row after the step.
    pub fn finish(&mut self, count: impl Fn(u32) -> i64) -> (Vec<u32>, Vec<u64>, Vec<i64>) {
        self.fold(count);
        self.begun.clear();
        let mut shown = std::mem::take(&mut self.shown);
        shown.sort_unstable_by_key(|shown| (shown.row, shown.time));
        let (mut rows, mut times, mut diffs) = (Vec::new(), Vec::new(), Vec::new());
        for same in shown.chunk_by(|a, b| (a.row, a.time) == (b.row, b.time)) {
            let diff: i64 = same.iter().map(|shown| shown.diff).sum();
            if diff != 0 {
                rows.push(same[0].row);
                times.push(same[0].time);
                diffs.push(diff);
            }
        }
        (rows, times, diffs)
    }

    fn fold(&mut self, count: impl Fn(u32) -> i64) {
        let mut changes = std::mem::take(&mut self.changes);
        changes.sort_unstable_by_key(|change| (change.row, change.time));
        for of_row in changes.chunk_by(|a, b| a.row == b.row) {
            let row = of_row[0].row;
            let partners = &mut self.partners[row as usize];
            let mut count = count(row) - of_row.iter().map(|change| change.count).sum::<i64>();
            let visible = |count: i64, partners: i64| match shows(self.when, partners > 0) {
                true => count,
                false => 0,
            };
            let mut before = visible(count, *partners);
            for at_time in of_row.chunk_by(|a, b| a.time == b.time) {
                count += at_time.iter().map(|change| change.count).sum::<i64>();
                *partners += at_time.iter().map(|change| change.partners).sum::<i64>();
                let after = visible(count, *partners);
                let time = at_time[0].time;
                self.shown.push(Shown { row, time, diff: after - before });
                before = after;
            }
        }
    }
}

fn shows(when: When, matched: bool) -> bool {
    matched == (when == When::Matched)
}
