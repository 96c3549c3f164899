//! The right to use a core, and on which thread it is used.
//!
//! Deciding is CPU work inside an asynchronous server. Measured on two cores with a body of 10 KB
//! over HTTP/2 and 50 µs of work, one request at a time (median of 3,500; two rounds, unoptimised
//! build): done where the request was read, the answer takes 235 and 246 µs; on a thread that
//! tokio replaces (`block_in_place`) 293 and 361 µs; on another thread (`spawn_blocking`) 276 and
//! 367 µs. Waking a thread costs as much as deciding. But what blocks a thread of the runtime also
//! holds up what that thread was about to do, such as reading the next request of the same
//! connection. So work that has been quick of late is done in place, and other work on a thread
//! that tokio replaces.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

/// Work shorter than this is quick: waking a thread (50 to 100 µs, see above) would be a good part
/// of it, and nobody on the same thread notices the wait.
const QUICK: Duration = Duration::from_micros(300);
/// Work that was taken for quick and lasts this long calls [`hand_over`]: long enough that waking
/// two threads is a small part of it, short enough that nobody's deadline notices.
pub const OVERDUE: Duration = Duration::from_millis(2);
/// Bodies up to this size can be quick: parsing alone takes more than [`QUICK`] from a few hundred
/// kilobytes on.
const QUICK_BYTES: usize = 128 * 1024;

/// Permits to use a core, each until it is dropped.
#[derive(Debug)]
pub struct Permits {
    semaphore: Semaphore,
    /// About the longest of the last pieces of work, in nanoseconds: jumps up at once and decays
    /// by a sixteenth with each shorter one.
    longest: AtomicU64,
}

/// A permit to use a core.
#[derive(Debug)]
pub struct Permit<'a> {
    permits: &'a Permits,
    _held: SemaphorePermit<'a>,
}

impl Permits {
    /// Makes as many permits, at least one.
    ///
    /// A runtime with more threads than permits always has one for input and output.
    pub fn new(count: usize) -> Self {
        Permits {
            semaphore: Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)),
            // Nothing is known yet; the first piece of work will tell.
            longest: AtomicU64::new(nanoseconds(QUICK)),
        }
    }

    /// Waits for a permit, first come first served; `None` when there is none before `deadline`.
    pub async fn acquire(&self, deadline: Instant) -> Option<Permit<'_>> {
        let held = timeout_at(deadline.into(), self.semaphore.acquire()).await;
        // The inner error is that of a closed semaphore, which nothing does.
        let held = held.ok()?.ok()?;
        (Instant::now() < deadline).then_some(Permit {
            permits: self,
            _held: held,
        })
    }
}

impl Permit<'_> {
    /// Does `work` on `bytes` bytes. Needs a runtime of several threads.
    pub fn run<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let longest = &self.permits.longest;
        // Relaxed: a guess may be a little out of date.
        let expected = longest.load(Ordering::Relaxed);
        let begun = Instant::now();
        let result = if bytes <= QUICK_BYTES && expected < nanoseconds(QUICK) {
            work()
        } else {
            tokio::task::block_in_place(work)
        };
        if bytes <= QUICK_BYTES {
            let taken = nanoseconds(begun.elapsed());
            longest.store(blend(expected, taken), Ordering::Relaxed);
        }
        result
    }
}

/// Sees to it that input and output go on although the thread that calls this is busy; for work
/// that was taken for quick and turns out not to be.
///
/// A thread of the runtime that has just read from the network and is kept busy holds up all of
/// it: tokio wakes another one to wait for the network only if there is more to do than one piece
/// of work. What is spawned from outside the runtime wakes one.
pub fn hand_over() {
    if let Ok(runtime) = Handle::try_current() {
        let inside = runtime.clone();
        // Neither is waited for; there is nothing to be had from them.
        drop(runtime.spawn_blocking(move || drop(inside.spawn(async {}))));
    }
}

fn blend(longest: u64, taken: u64) -> u64 {
    if taken >= longest {
        taken
    } else {
        longest - (longest - taken) / 16
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_piece_of_work_is_remembered_for_a_while() {
        let quick = nanoseconds(QUICK);
        let mut longest = blend(quick, 50_000);
        assert!(longest < quick, "one quick piece shows that work is quick");
        longest = blend(longest, 10 * quick);
        let mut pieces = 0;
        while longest >= quick {
            longest = blend(longest, 50_000);
            pieces += 1;
        }
        assert!((20..60).contains(&pieces), "{pieces}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_permits_than_asked_for_are_given() {
        let permits = Permits::new(1);
        let soon = || Instant::now() + Duration::from_millis(20);
        let first = permits.acquire(soon()).await.expect("there is one");
        assert!(permits.acquire(soon()).await.is_none(), "and no other");
        assert_eq!(first.run(1, || 7), 7);
        assert_eq!(first.run(usize::MAX, || 8), 8);
        drop(first);
        assert!(
            permits.acquire(soon()).await.is_some(),
            "until it is dropped"
        );
        assert!(permits.acquire(Instant::now()).await.is_none(), "too late");
    }
}
