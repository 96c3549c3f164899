//! Looks at what lies below paths: a fingerprint of the files, and the folders to watch.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many entries are looked at; what lies beyond is not watched. A folder of policies has
/// hundreds; a path given by mistake (`/`) must not occupy the server for ever.
const MOST_ENTRIES: usize = 20_000;

/// What one survey saw.
#[derive(Debug)]
pub(super) struct Seen {
    /// Differs when any file was added, removed, replaced, written or touched.
    pub(super) fingerprint: u64,
    /// Every folder whose changes matter.
    pub(super) folders: Vec<Folder>,
}

/// A folder as it is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// How it was reached.
    pub(super) path: PathBuf,
    /// Which one it is: device and inode.
    pub(super) identity: (u64, u64),
}

/// Surveys `paths`; what cannot be read counts as absent.
pub(super) fn survey(paths: &[PathBuf]) -> Seen {
    let mut surveyor = Surveyor {
        hasher: DefaultHasher::new(),
        folders: Vec::new(),
        known: HashSet::new(),
        entries: 0,
    };
    for path in paths {
        surveyor.root(path);
    }
    Seen {
        fingerprint: surveyor.hasher.finish(),
        folders: surveyor.folders,
    }
}

struct Surveyor {
    hasher: DefaultHasher,
    folders: Vec<Folder>,
    known: HashSet<(u64, u64)>,
    entries: usize,
}

impl Surveyor {
    fn root(&mut self, path: &Path) {
        path.hash(&mut self.hasher);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // The path itself may be replaced, or may be a link that is pointed elsewhere.
        self.nearest_folder(absolute.parent());
        if let Ok(target) = fs::read_link(&absolute)
            && let Some(parent) = absolute.parent()
        {
            self.nearest_folder(parent.join(target).parent());
        }
        let mut pending = vec![absolute];
        while let Some(path) = pending.pop() {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return;
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    if self.folder(&path, &metadata) {
                        pending.extend(sorted_entries(&path));
                    }
                }
                Ok(metadata) => self.file(&path, &metadata),
                Err(_) => (&path, "absent").hash(&mut self.hasher),
            }
        }
    }

    /// Notes a folder; tells whether it is met for the first time.
    fn folder(&mut self, path: &Path, metadata: &Metadata) -> bool {
        let identity = (metadata.dev(), metadata.ino());
        let first = self.known.insert(identity);
        if first {
            self.folders.push(Folder {
                path: path.to_owned(),
                identity,
            });
        }
        first
    }

    /// Notes a folder for watching only, or the nearest one above it that exists.
    fn nearest_folder(&mut self, path: Option<&Path>) {
        let found = path
            .into_iter()
            .flat_map(Path::ancestors)
            .find_map(|path| Some((path, fs::metadata(path).ok()?)));
        if let Some((path, metadata)) = found {
            let identity = (metadata.dev(), metadata.ino());
            let folder = Folder {
                path: path.to_owned(),
                identity,
            };
            // Not marked as known: it may have to be surveyed as well.
            if !self.known.contains(&identity) && !self.folders.contains(&folder) {
                self.folders.push(folder);
            }
        }
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        (
            path,
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            (metadata.mtime(), metadata.mtime_nsec()),
            // Owner and mode may be what made it unreadable.
            (metadata.ctime(), metadata.ctime_nsec()),
        )
            .hash(&mut self.hasher);
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        if is_link && let Ok(target) = fs::canonicalize(path) {
            target.hash(&mut self.hasher);
            self.nearest_folder(target.parent());
        }
    }
}

/// Lists a folder in an order that does not change from look to look.
fn sorted_entries(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .take(MOST_ENTRIES)
        .collect();
    entries.sort();
    entries
}
