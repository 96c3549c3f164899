//! Runs helm: the one in `PATH`, or the one that `tests/chart/build` makes.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{documents, path};

pub(crate) const RELEASE: &str = "portcullis";
pub(crate) const NAMESPACE: &str = "portcullis-system";
/// The name of what is the cluster's.
pub(crate) const CLUSTER_NAME: &str = "portcullis.portcullis-system";
/// What charts are told that the cluster is, where there is none.
const KUBERNETES: &str = "1.36.0";

/// The sets of values in `tests/chart/values`.
pub(crate) const VALUES: [&str; 4] = ["default", "everything", "mounted", "published"];

/// What helm said.
pub(crate) struct Said {
    pub(crate) is_success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The path of a set of values.
pub(crate) fn values(name: &str) -> PathBuf {
    path(&format!("tests/chart/values/{name}.yaml"))
}

/// Runs helm with nothing of the user's.
pub(crate) fn helm<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Said {
    let home = TempDir::new().unwrap();
    let output = Command::new(program("helm"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .env("KUBECONFIG", home.path().join("none"))
        .current_dir(path("charts"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        is_success: output.status.success(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// What the chart renders with a set of values and what is set besides.
pub(crate) fn template(values_name: &str, set: &[&str]) -> String {
    let said = try_template(values_name, set);
    assert!(said.is_success, "{values_name} {set:?}: {}", said.err);
    said.out
}

pub(crate) fn objects(values_name: &str, set: &[&str]) -> Vec<Value> {
    documents(&template(values_name, set))
}

pub(crate) fn try_template(values_name: &str, set: &[&str]) -> Said {
    try_release((RELEASE, NAMESPACE), values_name, set)
}

/// The same for a release of another name or namespace.
pub(crate) fn try_release(
    (release, namespace): (&str, &str),
    values_name: &str,
    set: &[&str],
) -> Said {
    let file = values(values_name);
    let mut arguments = vec!["template", release, "portcullis", "--namespace", namespace];
    arguments.extend(["--kube-version", KUBERNETES]);
    arguments.extend(["--values", file.to_str().unwrap()]);
    arguments.extend(set);
    helm(arguments)
}

/// A program: the one in `PATH`, or the one in the cache.
pub(crate) fn program(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = cache.unwrap_or_else(|| home().join(".cache"));
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain([cache.join("portcullis/bin")]);
    let mut candidates = folders.map(|folder| folder.join(name));
    let found = candidates.find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no {name}: run tests/chart/build, or put one into PATH")
    })
}
