//! What the compiler does not check: the order of the layers, the shape of files.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this holds more than one concept.
const MAX_LINES: usize = 800;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below these folders of the repository, in order of path.
fn rust_files(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no Rust files below {folders:?}");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The modules a file declares, whatever their visibility.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = match line.strip_prefix("pub(") {
            Some(rest) => rest.split_once(") ").map_or(line, |(_, rest)| rest),
            None => line,
        };
        line.strip_prefix("mod ")?.strip_suffix(';')
    })
}

/// The first segment of every `crate::…` path in the code of a text.
fn imported(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.map(|line| format!("{line}\n")).collect();
    let mut modules = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let words: Vec<&str> = match rest.strip_prefix('{') {
            Some(group) => group
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .collect(),
            None => vec![rest],
        };
        for word in words {
            let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
            modules.insert(word.trim_start().chars().take_while(is_name).collect());
        }
    }
    modules
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let layers: Vec<&str> = declared(&lib).collect();
    assert!(
        layers.len() > 5,
        "the layers are not found in src/lib.rs: {layers:?}"
    );
    let mut faults = Vec::new();
    for (path, text) in rust_files(&["src"]) {
        let inner = path.strip_prefix(root().join("src")).unwrap();
        let first = inner
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let module = first.trim_end_matches(".rs");
        let Some(own) = layers.iter().position(|layer| *layer == module) else {
            continue;
        };
        for used in imported(&text) {
            if layers
                .iter()
                .position(|layer| *layer == used)
                .is_some_and(|at| at > own)
            {
                faults.push(format!(
                    "{}: `{module}` uses `{used}`, a layer below it",
                    shown(&path)
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_is_declared_by_a_mod() {
    let mut faults = Vec::new();
    for (path, _) in rust_files(&["src"]) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap();
        let is_root = folder == root().join("src");
        if is_root && ["lib", "main"].contains(&name) {
            continue;
        }
        let parent = if is_root {
            folder.join("lib.rs")
        } else {
            folder.with_extension("rs")
        };
        let text = fs::read_to_string(&parent).unwrap_or_default();
        if !declared(&text).any(|module| module == name) {
            faults.push(format!(
                "{}: not declared in {}",
                shown(&path),
                shown(&parent)
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let faults: Vec<String> = rust_files(&["src", "tests", "benches"])
        .iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| format!("{}: does not open with a `//!` line", shown(path)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let faults: Vec<String> = rust_files(&["src", "tests", "benches"])
        .iter()
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{}: {lines} lines, split it by concept", shown(path)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_comment_promises_work() {
    let words = ["TODO", "FIXME", "XXX"];
    let faults: Vec<String> = rust_files(&["src"])
        .iter()
        .filter(|(_, text)| {
            let comments = text.lines().filter_map(|line| line.split_once("//"));
            comments
                .into_iter()
                .any(|(_, it)| words.iter().any(|word| it.contains(word)))
        })
        .map(|(path, _)| format!("{}: finish it instead", shown(path)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
