//! Tells when files below given paths change: within a second, and once they rest.
//!
//! The system's notifications are hints only. What decides is a fingerprint of the files (place,
//! inode, size, times), taken when a hint has come and it has been quiet for a moment; a tick is
//! sent if it differs from the last. So whatever way a file is replaced (the kubelet's symlink
//! swap, an editor's rename, a write in place, a folder removed and made again) is seen alike, and
//! noise beside the files is not. Folders are watched, never files: a watched file that is renamed
//! over is watched no more.

mod hints;
mod survey;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use hints::Hints;
use survey::survey;

/// How long it must have been quiet before the files are looked at: editors and the kubelet write
/// several files in a row.
const QUIET: Duration = Duration::from_millis(100);
/// After this long they are looked at even if it is never quiet, so that a change is seen within
/// a second.
const AT_LATEST: Duration = Duration::from_millis(500);
/// How often files are looked at where the system sends no notifications.
const POLL: Duration = Duration::from_secs(1);
/// How often they are looked at where it does: network file systems do not report what others
/// write.
const POLL_BESIDE_HINTS: Duration = Duration::from_secs(30);

/// How often in one look folders that were not watched before are surveyed again.
const MOST_SURVEYS: usize = 5;

/// Watches paths until dropped.
#[derive(Debug)]
pub struct Watch {
    ticks: mpsc::Receiver<()>,
    task: JoinHandle<()>,
}

/// Where hints come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The system's notifications, or looking each second where there are none.
    Notifications,
    /// Looking each second.
    Polling,
}

impl Watch {
    /// Starts to watch `paths`, files or folders, whether or not they exist. Changes after the
    /// return are reported.
    pub async fn start(paths: Vec<PathBuf>, source: Source) -> Watch {
        let (sender, ticks) = mpsc::channel(1);
        let (hints, woken) = Hints::new(source);
        let mut scout = Scout {
            paths: Arc::new(paths),
            hints: Some(hints),
            last: 0,
        };
        scout.look().await;
        let task = tokio::spawn(follow(scout, woken, sender));
        Watch { ticks, task }
    }

    /// Waits for the next change; changes while nobody waits are reported once. `None` when the
    /// watch has failed.
    pub async fn changed(&mut self) -> Option<()> {
        self.ticks.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks at the files.
struct Scout {
    paths: Arc<Vec<PathBuf>>,
    /// `None` only while a look is under way.
    hints: Option<Hints>,
    last: u64,
}

impl Scout {
    /// Tells whether the files differ from the last look, and arms the hints for what is there.
    async fn look(&mut self) -> bool {
        let Some(mut hints) = self.hints.take() else {
            return false;
        };
        let paths = Arc::clone(&self.paths);
        let looked = tokio::task::spawn_blocking(move || {
            let mut seen = survey(&paths);
            // What was written into a folder before it was watched raised no hint.
            for _ in 0..MOST_SURVEYS {
                if !hints.arm(&seen.folders) {
                    break;
                }
                seen = survey(&paths);
            }
            (hints, seen.fingerprint)
        });
        let Ok((hints, fingerprint)) = looked.await else {
            return false;
        };
        self.hints = Some(hints);
        std::mem::replace(&mut self.last, fingerprint) != fingerprint
    }

    fn poll(&self) -> Duration {
        match &self.hints {
            Some(hints) if hints.are_complete() => POLL_BESIDE_HINTS,
            _ => POLL,
        }
    }
}

async fn follow(mut scout: Scout, mut woken: mpsc::Receiver<()>, ticks: mpsc::Sender<()>) {
    let mut changed_in_the_midst = false;
    loop {
        let hinted = tokio::select! {
            Some(()) = woken.recv() => true,
            () = tokio::time::sleep(scout.poll()) => false,
        };
        let rested = !hinted || rest(&mut woken).await;
        let changed = scout.look().await;
        // A file written again within one step of the file system's clock looks the same.
        let again = changed_in_the_midst && rested;
        changed_in_the_midst = changed && !rested;
        // A tick that waits to be taken stands for this one too.
        let untaken = (changed || again) && ticks.try_send(()).is_err();
        if untaken && ticks.is_closed() {
            return;
        }
    }
}

/// Waits until hints have stopped; tells whether they did.
async fn rest(woken: &mut mpsc::Receiver<()>) -> bool {
    let latest = Instant::now() + AT_LATEST;
    loop {
        let quiet = Instant::now() + QUIET;
        if quiet > latest {
            return false;
        }
        match timeout_at(quiet, woken.recv()).await {
            Ok(Some(())) => {}
            Ok(None) | Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests;
