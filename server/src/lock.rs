//! Locks: who may write which table, and who may change the catalog.
//!
//! Law      Two owners hold a target at once only if both hold it shared. Requests are granted in
//!          the order they came, so nobody starves; an owner that already holds a target shared may
//!          overtake the queue to hold it exclusively.
//! Cycles   A request that would close a cycle of waits is refused at once (SQLSTATE 40P01).
//!          Checking when a request starts to wait is enough: a grant never adds an edge between
//!          waiters.
//! Cancel   Dropping the future of `acquire` withdraws the request, so a wait may be raced with
//!          anything.
//!
//! Readers take no lock: they read a snapshot. Autocommit writers share a table's lock so that the
//! committer can put them in one group; explicit transactions hold it exclusively from their first
//! write to their end.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemark_catalog::ObjectId;
use tokio::sync::oneshot;

/// What can be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The right to change the catalog.
    Catalog,
    /// The right to write a table.
    Table(ObjectId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Catalog => f.write_str("the catalog"),
            Target::Table(id) => write!(f, "table {}", id.0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Shared,
    Exclusive,
}

/// Who holds locks: one transaction or one autocommit statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u64);

/// The request would wait for itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Deadlock;

/// All locks of one server.
#[derive(Default)]
pub struct Locks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    targets: HashMap<Target, Queue>,
    next_owner: u64,
    next_request: u64,
}

#[derive(Default)]
struct Queue {
    holders: BTreeMap<OwnerId, Mode>,
    waiting: VecDeque<Request>,
}

struct Request {
    id: u64,
    owner: OwnerId,
    mode: Mode,
    granted: oneshot::Sender<()>,
}

/// The locks of one owner, released together when dropped.
pub struct LockSet {
    locks: Arc<Locks>,
    owner: OwnerId,
}

impl LockSet {
    pub fn new(locks: &Arc<Locks>) -> LockSet {
        let mut state = locks.state();
        state.next_owner += 1;
        let owner = OwnerId(state.next_owner);
        drop(state);
        LockSet { locks: Arc::clone(locks), owner }
    }

    /// Waits until this owner holds `target` in at least `mode`.
    pub async fn acquire(&self, target: Target, mode: Mode) -> Result<(), Deadlock> {
        let Some((id, granted)) = self.locks.request(self.owner, target, mode)? else {
            return Ok(());
        };
        let withdraw = Withdraw { locks: &self.locks, owner: self.owner, target, id, armed: true };
        granted.await.expect("a request is only removed by its own owner");
        withdraw.disarm();
        Ok(())
    }

    /// An owner of its own that holds nothing.
    pub fn renewed(&self) -> LockSet {
        LockSet::new(&self.locks)
    }

    pub fn holds(&self, target: Target, mode: Mode) -> bool {
        let state = self.locks.state();
        let held = state.targets.get(&target).and_then(|queue| queue.holders.get(&self.owner));
        matches!((held, mode), (Some(_), Mode::Shared) | (Some(Mode::Exclusive), _))
    }
}

impl Drop for LockSet {
    fn drop(&mut self) {
        self.locks.release_all(self.owner);
    }
}

/// Takes a waiting request out of its queue again if its future is dropped.
struct Withdraw<'a> {
    locks: &'a Locks,
    owner: OwnerId,
    target: Target,
    id: u64,
    armed: bool,
}

impl Withdraw<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let mut state = self.locks.state();
        if let Some(queue) = state.targets.get_mut(&self.target) {
            queue.waiting.retain(|request| request.id != self.id || request.owner != self.owner);
            queue.grant();
        }
        // If it was granted in the meantime the owner simply holds it until it ends.
        state.targets.retain(|_, queue| !queue.is_idle());
    }
}

impl Locks {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when granted at once.
    fn request(
        &self,
        owner: OwnerId,
        target: Target,
        mode: Mode,
    ) -> Result<Option<(u64, oneshot::Receiver<()>)>, Deadlock> {
        let mut state = self.state();
        state.next_request += 1;
        let id = state.next_request;
        let queue = state.targets.entry(target).or_default();
        if queue.try_grant(owner, mode) {
            return Ok(None);
        }
        let (granted, receiver) = oneshot::channel();
        let request = Request { id, owner, mode, granted };
        if queue.holders.contains_key(&owner) {
            queue.waiting.push_front(request);
        } else {
            queue.waiting.push_back(request);
        }
        if state.waits_for_itself(owner) {
            let queue = state.targets.get_mut(&target).expect("just entered");
            queue.waiting.retain(|request| request.id != id);
            return Err(Deadlock);
        }
        Ok(Some((id, receiver)))
    }

    fn release_all(&self, owner: OwnerId) {
        let mut state = self.state();
        for queue in state.targets.values_mut() {
            if queue.holders.remove(&owner).is_some() {
                queue.grant();
            }
        }
        state.targets.retain(|_, queue| !queue.is_idle());
    }
}

impl State {
    /// Follows the waits of `start`; true if they lead back to it.
    fn waits_for_itself(&self, start: OwnerId) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![start];
        while let Some(owner) = next.pop() {
            for blocker in self.targets.values().flat_map(|queue| queue.blockers(owner)) {
                if blocker == start {
                    return true;
                }
                if seen.insert(blocker) {
                    next.push(blocker);
                }
            }
        }
        false
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.holders.is_empty() && self.waiting.is_empty()
    }

    fn compatible(&self, owner: OwnerId, mode: Mode) -> bool {
        self.holders.iter().all(|(holder, held)| *holder == owner || conflict_free(*held, mode))
    }

    /// Grants without waiting: nobody in the way, and nobody overtaken who came first.
    fn try_grant(&mut self, owner: OwnerId, mode: Mode) -> bool {
        match (self.holders.get(&owner), mode) {
            (Some(Mode::Exclusive), _) | (Some(Mode::Shared), Mode::Shared) => return true,
            (None, _) if !self.waiting.is_empty() => return false,
            _ => {}
        }
        let free = self.compatible(owner, mode);
        if free {
            self.holders.insert(owner, mode);
        }
        free
    }

    /// Grants from the front for as long as the front can have it.
    fn grant(&mut self) {
        while let Some(first) = self.waiting.front() {
            if !self.compatible(first.owner, first.mode) {
                return;
            }
            let request = self.waiting.pop_front().expect("front was there");
            if request.granted.send(()).is_ok() {
                self.holders.insert(request.owner, request.mode);
            }
        }
    }

    /// Whom `owner` waits for here: conflicting holders, and conflicting requests before its own.
    fn blockers(&self, owner: OwnerId) -> Vec<OwnerId> {
        let mut blockers = Vec::new();
        for (index, request) in self.waiting.iter().enumerate() {
            if request.owner != owner {
                continue;
            }
            let held = self.holders.iter().map(|(holder, held)| (*holder, *held));
            let before = self.waiting.iter().take(index).map(|r| (r.owner, r.mode));
            for (other, mode) in held.chain(before) {
                if other != owner && !conflict_free(mode, request.mode) {
                    blockers.push(other);
                }
            }
        }
        blockers
    }
}

fn conflict_free(a: Mode, b: Mode) -> bool {
    a == Mode::Shared && b == Mode::Shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    fn table(n: u64) -> Target {
        Target::Table(ObjectId(n))
    }

    async fn is_blocked(set: &LockSet, target: Target, mode: Mode) -> bool {
        timeout(Duration::from_millis(20), set.acquire(target, mode)).await.is_err()
    }

    #[tokio::test]
    async fn shared_holders_keep_an_exclusive_request_waiting() {
        let locks = Arc::new(Locks::default());
        let (a, b, c) = (LockSet::new(&locks), LockSet::new(&locks), LockSet::new(&locks));
        a.acquire(table(1), Mode::Shared).await.unwrap();
        b.acquire(table(1), Mode::Shared).await.unwrap();
        assert!(is_blocked(&c, table(1), Mode::Exclusive).await);
        drop((a, b));
        c.acquire(table(1), Mode::Exclusive).await.unwrap();
    }

    #[tokio::test]
    async fn a_withdrawn_request_stands_in_nobodys_way() {
        let locks = Arc::new(Locks::default());
        let (a, b, c) = (LockSet::new(&locks), LockSet::new(&locks), LockSet::new(&locks));
        a.acquire(table(1), Mode::Shared).await.unwrap();
        assert!(is_blocked(&b, table(1), Mode::Exclusive).await);
        c.acquire(table(1), Mode::Shared).await.unwrap();
    }

    #[tokio::test]
    async fn a_cycle_of_two_tables_is_a_deadlock_for_the_one_who_closes_it() {
        let locks = Arc::new(Locks::default());
        let (a, b) = (LockSet::new(&locks), LockSet::new(&locks));
        a.acquire(table(1), Mode::Exclusive).await.unwrap();
        b.acquire(table(2), Mode::Exclusive).await.unwrap();
        let first = a.acquire(table(2), Mode::Exclusive);
        let second = async {
            tokio::task::yield_now().await;
            assert_eq!(b.acquire(table(1), Mode::Exclusive).await, Err(Deadlock));
            drop(b);
        };
        let (first, ()) = tokio::join!(first, second);
        first.unwrap();
    }

    #[tokio::test]
    async fn two_upgrades_of_one_table_are_a_deadlock() {
        let locks = Arc::new(Locks::default());
        let (a, b) = (LockSet::new(&locks), LockSet::new(&locks));
        a.acquire(table(1), Mode::Shared).await.unwrap();
        b.acquire(table(1), Mode::Shared).await.unwrap();
        let first = a.acquire(table(1), Mode::Exclusive);
        let second = async {
            tokio::task::yield_now().await;
            assert_eq!(b.acquire(table(1), Mode::Exclusive).await, Err(Deadlock));
            drop(b);
        };
        let (first, ()) = tokio::join!(first, second);
        first.unwrap();
        assert!(a.holds(table(1), Mode::Exclusive));
    }
}
