//! Reads what the arguments name: files, folders, standard input; never waits for what does not
//! come and never reads without a limit.

use std::collections::BTreeSet;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::text::Source;

/// The largest policy file; the same as the largest request the server reads.
pub const MAX_POLICY_BYTES: u64 = 16 << 20;

/// The largest file of manifests: ten thousand objects of 10 KB, twice. In memory a manifest takes
/// about seventeen times its text.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// Most entries of folders that are looked at, so that a path given by mistake (`/`) ends.
const MAX_ENTRIES: usize = 200_000;

/// Stands for standard input.
pub const STDIN: &str = "-";

/// What was found below paths.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, in the order of the arguments, within a folder in order of name.
    pub files: Vec<PathBuf>,
    /// Paths that lead nowhere.
    pub problems: Vec<Diagnostic>,
    /// Those paths.
    pub unread: Vec<PathBuf>,
}

impl Found {
    fn failed(&mut self, path: &Path, problem: Diagnostic) {
        self.problems.push(problem);
        self.unread.push(path.to_owned());
    }
}

/// Finds the files that paths name; folders are walked, and of what is in them only what `wanted`
/// takes.
///
/// Hidden entries are passed over: editors' files, and the folders behind the kubelet's links. A file that
/// several arguments lead to is there once.
pub fn find(paths: &[PathBuf], wanted: impl Fn(&Path) -> bool) -> Found {
    let mut found = Found::default();
    for path in paths {
        if path.as_os_str() == STDIN {
            found.files.push(path.clone());
            continue;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => walk(path, &metadata, &wanted, &mut found),
            Ok(_) => found.files.push(path.clone()),
            Err(error) => found.failed(path, unreadable(path, &error)),
        }
    }
    let mut known = BTreeSet::new();
    let plain = |path: &PathBuf| -> PathBuf {
        let parts = path.components().filter(|it| *it != Component::CurDir);
        parts.collect()
    };
    found.files.retain(|path| known.insert(plain(path)));
    found
}

fn walk(root: &Path, metadata: &Metadata, wanted: &impl Fn(&Path) -> bool, found: &mut Found) {
    // Links may lead back to a folder around them.
    let mut known = BTreeSet::from([(metadata.dev(), metadata.ino())]);
    let mut entries_seen = 0_usize;
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                found.failed(&path, unreadable(&path, &error));
                continue;
            }
        };
        if !metadata.is_dir() {
            if wanted(&path) {
                found.files.push(path);
            }
            continue;
        }
        let identity = (metadata.dev(), metadata.ino());
        if path != root && !known.insert(identity) {
            continue;
        }
        match entries(&path) {
            Ok(mut entries) => {
                entries_seen += entries.len();
                if entries_seen > MAX_ENTRIES {
                    let message =
                        format!("`{}` has more than {MAX_ENTRIES} entries", root.display());
                    let problem = Diagnostic::error("file/too-many", message);
                    found.failed(root, problem.help("name a folder below it"));
                    return;
                }
                entries.reverse();
                pending.extend(entries);
            }
            Err(error) => found.failed(&path, unreadable(&path, &error)),
        }
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry.path());
        }
        if entries.len() > MAX_ENTRIES {
            break;
        }
    }
    entries.sort();
    Ok(entries)
}

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path, limit_bytes: u64) -> Result<Arc<Source>, Diagnostic> {
    if path.as_os_str() == STDIN {
        return text("<stdin>".to_owned(), io::stdin().lock(), limit_bytes);
    }
    let file = open(path, Some(limit_bytes))?;
    text(path.display().to_string(), file, limit_bytes)
}

/// Opens a file, unless it is one that nothing may ever come of, or that may never end.
pub fn open(path: &Path, limit_bytes: Option<u64>) -> Result<File, Diagnostic> {
    let name = path.display().to_string();
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if let Some(what) = special(metadata.file_type()).filter(|_| !is_open_already(path)) {
        let diagnostic =
            Diagnostic::error("file/not-a-file", format!("`{name}` is {what}, not a file"));
        return Err(match metadata.is_dir() {
            true => diagnostic.help("name the files in it"),
            false => diagnostic.help("write its content to a file, or to standard input with `-`"),
        });
    }
    match limit_bytes.filter(|limit| metadata.len() > *limit) {
        Some(limit_bytes) => Err(too_large(&name, limit_bytes)),
        None => File::open(path).map_err(|error| unreadable(path, &error)),
    }
}

/// A descriptor that the shell has opened (`<(helm template …)`) is as good as standard input.
fn is_open_already(path: &Path) -> bool {
    path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
        || path == Path::new("/dev/stdin")
}

fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        kind if kind.is_file() => None,
        _ => Some("a device"),
    }
}

fn text(name: String, from: impl Read, limit_bytes: u64) -> Result<Arc<Source>, Diagnostic> {
    let mut bytes = Vec::new();
    let read = from.take(limit_bytes + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(Path::new(&name), &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit_bytes) {
        return Err(too_large(&name, limit_bytes));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let read = error.as_bytes().get(..at).unwrap_or_default();
            let line = read.iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("`{name}` is not a UTF-8 text: byte {at}, in line {line}");
            Err(Diagnostic::error("file/not-text", message))
        }
    }
}

fn too_large(name: &str, limit_bytes: u64) -> Diagnostic {
    let message = format!("`{name}` is larger than {} MiB", limit_bytes >> 20);
    Diagnostic::error("file/too-large", message).help("split it into several files")
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    let message = format!("`{}` cannot be read: {problem}", path.display());
    Diagnostic::error("file/unreadable", message)
}

/// Says whether a path ends like a document: `.yaml`, `.yml`, `.json`, but is no file of tests.
pub fn is_document(path: &Path) -> bool {
    has_extension(path, &["yaml", "yml", "json"]) && !is_test(path)
}

/// Says whether a path is that of a file of tests.
pub fn is_test(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|path| path.ends_with(crate::suite::FILE_SUFFIX))
}

/// Says whether a path ends in one of these.
pub fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        extensions
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_are_walked_in_order_and_links_back_are_not_followed_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("b")).unwrap();
        fs::create_dir(root.join(".hidden")).unwrap();
        for name in [
            "c.yaml",
            "a.yaml",
            "b/x.json",
            "b/x.test.yaml",
            "d.txt",
            ".hidden/y.yaml",
        ] {
            fs::write(root.join(name), "").unwrap();
        }
        symlink(root, root.join("b/loop")).unwrap();
        symlink(root.join("a.yaml"), root.join("link.yaml")).unwrap();
        let found = find(&[root.to_owned()], is_document);
        let names: Vec<_> = found
            .files
            .iter()
            .map(|path| path.strip_prefix(root).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.yaml", "b/x.json", "c.yaml", "link.yaml"]);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        // Named twice, each is there once.
        let twice = [
            root.to_owned(),
            root.join("./b/x.json"),
            root.join("a.yaml"),
        ];
        assert_eq!(find(&twice, is_document).files, found.files);
    }

    #[test]
    fn what_is_no_readable_text_is_said_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("latin"), b"a: 1\nb: \xe9\n").unwrap();
        fs::write(path("large"), [b'x'; 65]).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(path("pipe"))
            .status();
        assert!(made.unwrap().success());
        for (name, code, problem) in [
            (
                "latin",
                "file/not-text",
                "is not a UTF-8 text: byte 8, in line 2",
            ),
            ("large", "file/too-large", "is larger than 0 MiB"),
            ("pipe", "file/not-a-file", "is a named pipe, not a file"),
            (".", "file/not-a-file", "is a folder, not a file"),
            (
                "gone",
                "file/unreadable",
                "cannot be read: there is no such file or folder",
            ),
        ] {
            let diagnostic = read(&path(name), 64).unwrap_err();
            assert_eq!(diagnostic.code, code);
            let expected = format!("`{}` {problem}", path(name).display());
            assert_eq!(diagnostic.message, expected);
        }
    }
}
