//! Work over many items on several threads, with the results in order.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Blocks per thread: small enough that the last one does not keep the others waiting, large enough
/// that taking one costs nothing.
const BLOCKS_PER_THREAD: usize = 16;

/// Returns what `work` gives for each item, in the order of the items, done on so many threads.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let threads = threads.max(1);
    let block = items.len().div_ceil(threads * BLOCKS_PER_THREAD).max(1);
    if threads == 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(items) = items.chunks(block).nth(at) else {
                return done;
            };
            done.push((at, items.iter().map(&work).collect::<Vec<R>>()));
        }
    };
    let mut blocks = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let finished = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        finished.collect::<Vec<_>>()
    });
    blocks.sort_by_key(|(at, _)| *at);
    blocks
        .into_iter()
        .flat_map(|(_, results)| results)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0_usize, 1, 2, 31, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            for threads in [0, 1, 2, 7] {
                let found = map(&items, threads, |item| item * 2);
                assert_eq!(found, doubled, "{count} items, {threads} threads");
            }
        }
    }
}
