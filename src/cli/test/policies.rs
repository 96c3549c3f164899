//! The policies that a file of tests is about.

use std::path::{Path, PathBuf};

use crate::diagnostics::Diagnostic;
use crate::sources::{self, files};
use crate::suite::FILE_SUFFIX;
use crate::suite::format::TestFile;

/// Returns the policies a file of tests is about: those it names, or the one beside it.
///
/// A name is that of a file, of a folder, or a pattern for the names of files (`*.cel`), relative
/// to the folder of the file; what several names lead to is there once.
pub(super) fn of(path: &Path, file: &TestFile) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    if file.policies.is_empty() {
        return beside(path, folder).map_err(|problem| vec![problem]);
    }
    let mut policies: Vec<PathBuf> = Vec::new();
    let mut problems = Vec::new();
    for (name, span) in &file.policies {
        match named(folder, name) {
            Ok(found) => {
                for policy in found {
                    // A file has one name, however it was found; `.` goes where none was given.
                    let policy = match policy.strip_prefix(".") {
                        Ok(bare) if !folder.starts_with(".") => bare.to_owned(),
                        _ => policy,
                    };
                    if !policies.contains(&policy) {
                        policies.push(policy);
                    }
                }
            }
            Err(found) => {
                let placed = found.into_iter().map(|it| it.at(&file.source, *span));
                problems.extend(placed);
            }
        }
    }
    if problems.is_empty() {
        Ok(policies)
    } else {
        Err(problems)
    }
}

/// Returns the policy beside a file of tests.
fn beside(path: &Path, folder: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let stem = name.strip_suffix(FILE_SUFFIX).unwrap_or(name);
    let beside = ["cel", "yaml", "yml", "json"].map(|end| folder.join(format!("{stem}.{end}")));
    match beside.into_iter().find(|policy| policy.is_file()) {
        Some(policy) => Ok(vec![policy]),
        None => {
            let message = format!("there is no policy beside `{}`", path.display());
            let help = format!("it is about `{stem}.cel`; name others with `policies: [FILE]`");
            Err(Diagnostic::error("test/no-policy", message).help(help))
        }
    }
}

/// Returns the policies that one name leads to.
fn named(folder: &Path, name: &str) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let path = folder.join(name);
    if path.is_dir() {
        let nothing = format!("there are no policies in `{name}`");
        return within(&path, |_| true, nothing);
    }
    if path.exists() {
        return Ok(vec![path.components().collect()]);
    }
    let (around, pattern) = name.rsplit_once('/').unwrap_or((".", name));
    let around = folder.join(around);
    if !pattern.contains(['*', '?']) || !around.is_dir() {
        let message = format!("there is no file `{}`", path.display());
        let problem = Diagnostic::error("test/no-policy", message);
        return Err(vec![
            problem.help("policies are named relative to the file of tests"),
        ]);
    }
    let is_wanted = |policy: &Path| {
        let name = policy.file_name().and_then(|name| name.to_str());
        policy.parent() == Some(&around) && name.is_some_and(|name| fits(pattern, name))
    };
    let nothing = format!("there is no policy with a name like `{name}`");
    within(&around, is_wanted, nothing)
}

/// Returns the policies in a folder that are wanted, in order of name.
fn within(
    folder: &Path,
    is_wanted: impl Fn(&Path) -> bool,
    nothing: String,
) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let found = files::find(&[folder.to_owned()], |path| {
        sources::is_policy(path) && is_wanted(path)
    });
    if !found.problems.is_empty() {
        return Err(found.problems);
    }
    if found.files.is_empty() {
        let help = "policies are `.cel`, `.yaml`, `.yml` and `.json` files, and are named \
                    relative to the file of tests";
        return Err(vec![
            Diagnostic::error("test/no-policy", nothing).help(help),
        ]);
    }
    let files = found.files.iter();
    Ok(files.map(|path| path.components().collect()).collect())
}

/// Says whether a name is like a pattern: `*` stands for any characters, `?` for one.
///
/// Goes back to the last `*` only, so that it takes no longer than both lengths multiplied.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut read) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(read) {
        match (pattern.get(at), last_star) {
            (Some('*'), _) => {
                last_star = Some((at, read));
                at += 1;
            }
            (Some(wanted), _) if *wanted == '?' || wanted == character => {
                at += 1;
                read += 1;
            }
            (_, Some((star, from))) => {
                last_star = Some((star, from + 1));
                at = star + 1;
                read = from + 1;
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_like_whole_names() {
        for (pattern, name, expected) in [
            ("*", "a.cel", true),
            ("*.cel", "a.cel", true),
            ("*.cel", "a.cel.yaml", false),
            ("mesh-*.cel", "mesh-a.cel", true),
            ("mesh-*.cel", "meshery.cel", false),
            ("a?.cel", "ab.cel", true),
            ("a?.cel", "a.cel", false),
            ("*a*b*", "xxaxxabx", true),
            ("*a*b", "ba", false),
            ("**", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
