//! The system's notifications about folders, as hints that something may have changed.

use std::collections::HashMap;
use std::path::PathBuf;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::Source;
use super::survey::Folder;

/// Watches folders, each by itself.
pub(super) struct Hints {
    /// `None` where there are no notifications.
    watcher: Option<RecommendedWatcher>,
    watched: HashMap<PathBuf, (u64, u64)>,
    complete: bool,
}

impl Hints {
    /// Returns the hints, which watch nothing yet, and where they arrive. Hints that nobody has
    /// taken are one.
    pub(super) fn new(source: Source) -> (Self, mpsc::Receiver<()>) {
        let (sender, woken) = mpsc::channel(1);
        let watcher = match source {
            Source::Polling => None,
            Source::Notifications => {
                let forward = move |event: notify::Result<Event>| {
                    if event.as_ref().map_or(true, matters) {
                        // Full means that a hint is waiting already.
                        let _ = sender.try_send(());
                    }
                };
                notify::recommended_watcher(forward)
                    .inspect_err(|problem| {
                        tracing::warn!(%problem, "no file notifications; looking each second");
                    })
                    .ok()
            }
        };
        let hints = Hints {
            complete: watcher.is_some(),
            watcher,
            watched: HashMap::new(),
        };
        (hints, woken)
    }

    /// Tells whether every folder is watched.
    pub(super) fn are_complete(&self) -> bool {
        self.complete
    }

    /// Watches exactly `folders`; tells whether any of them was not watched before.
    pub(super) fn arm(&mut self, folders: &[Folder]) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        let wanted: HashMap<_, _> = folders
            .iter()
            .map(|folder| (&folder.path, folder.identity))
            .collect();
        self.watched.retain(|path, identity| {
            let kept = wanted.get(path) == Some(identity);
            if !kept {
                // The folder may be gone, and the watch with it.
                let _ = watcher.unwatch(path);
            }
            kept
        });
        let was_complete = std::mem::replace(&mut self.complete, true);
        let mut fresh = false;
        for folder in folders {
            if self.watched.contains_key(&folder.path) {
                continue;
            }
            match watcher.watch(&folder.path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    fresh = true;
                    self.watched.insert(folder.path.clone(), folder.identity);
                }
                Err(problem) => {
                    self.complete = false;
                    if was_complete {
                        tracing::warn!(%problem, "cannot watch a folder; looking each second");
                    }
                }
            }
        }
        fresh
    }
}

/// Reading a folder or a file is an event too, and the survey does both.
fn matters(event: &Event) -> bool {
    !matches!(
        event.kind,
        EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)
    )
}
