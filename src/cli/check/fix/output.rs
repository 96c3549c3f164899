//! What is done with changed texts: printed, shown as a difference, or written back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use super::{Fixed, Text, mutations};
use crate::cli::{note, print};
use crate::diagnostics::Style;
use crate::policy::set::PolicySet;

/// How long a difference of one text is made small; then it is as it is. Most take milliseconds.
const DIFF_EFFORT: Duration = Duration::from_secs(2);

/// Lines around a change that are shown, as `diff -u` has it.
const CONTEXT_LINES: usize = 3;

impl Fixed {
    /// Prints and writes as the arguments say; `false` if a file could not be written.
    pub(in crate::cli::check) fn hand_out(
        &self,
        args: &super::super::Args,
        set: &PolicySet,
    ) -> bool {
        let fixing = &args.fixing;
        if fixing.diff {
            print(&differences(&self.texts, args.color.style()));
        } else if !fixing.in_place {
            print(&joined(&self.texts));
        }
        let is_written = !fixing.in_place || self.write_back();
        self.sum_up(set);
        is_written
    }

    fn write_back(&self) -> bool {
        let mut is_written = true;
        for text in self.texts.iter().filter(|text| text.is_changed()) {
            let name = text.before.name();
            match replace(&text.path, text.before.text(), text.after.text()) {
                Ok(()) => note(&format!("{name}: changed")),
                Err(error) => {
                    note(&format!("error: `{name}` cannot be written: {error}"));
                    is_written = false;
                }
            }
        }
        is_written
    }

    /// Says what was changed, or why nothing was.
    fn sum_up(&self, set: &PolicySet) {
        let off: Vec<&str> = mutations(set)
            .into_iter()
            .filter(|(_, is_on)| !is_on)
            .map(|(name, _)| name)
            .collect();
        if set.mutating().is_empty() {
            note("note: no mutation is in force");
        }
        if self.changed == 0 && !off.is_empty() {
            note(&format!(
                "note: these mutations are switched off (switch them on with --mutate): {}",
                off.join(", ")
            ));
        }
        let trials = set.mutating().iter().filter(|it| it.is_audited());
        let trials: Vec<&str> = trials.map(|it| it.policy.policy.name.as_str()).collect();
        if let (0, [first, ..]) = (self.changed, trials.as_slice()) {
            note(&format!(
                "note: these mutations are on trial, and only recorded (`portcullis explain {first} --object FILE` \
                 shows what they would change): {}",
                trials.join(", ")
            ));
        }
        let files = self.texts.iter().filter(|text| text.is_changed()).count();
        let plural = |count| if count == 1 { "" } else { "s" };
        note(&format!(
            "{} object{} changed in {files} file{}",
            self.changed,
            plural(self.changed),
            plural(files)
        ));
    }
}

/// All texts as one stream of documents.
fn joined(texts: &[Text]) -> String {
    let mut stream = String::new();
    for text in texts.iter().map(|text| text.after.text()) {
        if text.trim().is_empty() {
            continue;
        }
        if !stream.is_empty() {
            if !stream.ends_with('\n') {
                stream.push('\n');
            }
            // A text may begin with a separator of its own.
            let mut lines = text.lines().filter(|line| !line.trim().is_empty());
            if !lines.next().is_some_and(|line| line.starts_with("---")) {
                stream.push_str("---\n");
            }
        }
        stream.push_str(text.trim_start_matches('\u{feff}'));
    }
    stream
}

/// A unified diff of each text that is changed.
fn differences(texts: &[Text], style: Style) -> String {
    let changed = texts.iter().filter(|text| text.is_changed());
    changed.map(|text| difference(text, style)).collect()
}

fn difference(text: &Text, style: Style) -> String {
    let difference = TextDiff::configure()
        .timeout(DIFF_EFFORT)
        .diff_lines(text.before.text(), text.after.text());
    let name: String = text
        .before
        .name()
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    // As git names them, so that both git and patch apply it.
    let (before, after) = match name.starts_with('/') {
        true => (name.clone(), name),
        false => (format!("a/{name}"), format!("b/{name}")),
    };
    let unified = difference
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&before, &after)
        .to_string();
    match style {
        Style::Plain => unified,
        Style::Coloured => coloured(&unified),
    }
}

/// Colours a unified diff as git does.
fn coloured(unified: &str) -> String {
    let mut text = String::with_capacity(unified.len() + 16);
    for (at, line) in unified.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches('\n');
        // The first two lines name the files; what follows may begin like them.
        let colour = match content.as_bytes().first() {
            _ if at < 2 => "\u{1b}[1m",
            Some(b'@') => "\u{1b}[36m",
            Some(b'-') => "\u{1b}[31m",
            Some(b'+') => "\u{1b}[32m",
            _ => "",
        };
        text.push_str(colour);
        text.push_str(content);
        text.push_str(if colour.is_empty() { "" } else { "\u{1b}[0m" });
        text.push_str(line.get(content.len()..).unwrap_or_default());
    }
    text
}

/// Puts a text in the place of a file, at once: whoever reads it reads the one or the other.
///
/// The file that a link leads to is replaced, not the link. Fails if the file is not what was read.
fn replace(path: &Path, before: &str, after: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if fs::read(&path)? != before.as_bytes() {
        return Err(io::Error::other("it was changed in the meantime"));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, so that nobody takes it for a manifest.
    let temporary = folder.join(format!(".{name}.portcullis-{}", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)?;
    let written = fill(file, after, &metadata).and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn fill(mut file: File, text: &str, like: &fs::Metadata) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        // Only an administrator may give files away; the permissions are kept in any case.
        let _ = std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()));
    }
    file.set_permissions(like.permissions())?;
    file.sync_all()
}
