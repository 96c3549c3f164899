//! The built-in policies: the files of `policies/`, in the binary.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::text::Source;

/// What the names of built-in files begin with, so that nobody looks for them in their own folder.
pub const PREFIX: &str = "built-in/";

/// Name and text of each file, in order of path.
static FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/packs.rs"));

/// Returns the built-in policies as sources, in order of name.
pub fn sources() -> Vec<Arc<Source>> {
    FILES
        .iter()
        .map(|(name, text)| Source::new(*name, *text))
        .collect()
}

/// Returns the pack that a file belongs to: the folder that it is in.
pub fn pack_of(file: &str) -> Option<&str> {
    let (folder, _) = file.rsplit_once('/')?;
    let name = folder.rsplit('/').next()?;
    (!name.is_empty() && name != "." && name != "..").then_some(name)
}

/// Returns the names of the built-in packs, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    let packs: BTreeSet<&str> = FILES.iter().filter_map(|(name, _)| pack_of(name)).collect();
    packs.into_iter()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::cel::version::KubernetesVersion;
    use crate::policy::model::{Documents, PolicyKind};
    use crate::policy::read;
    use crate::policy::set::PolicySet;

    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|end| end == "cel") {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut found = Vec::new();
        files(&folder, &mut found);
        let mut names: Vec<String> = found
            .iter()
            .map(|path| format!("{PREFIX}{}", path.strip_prefix(&folder).unwrap().display()))
            .collect();
        names.sort();
        let built_in: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(built_in, names);
    }

    #[test]
    fn a_pack_is_the_folder_of_a_file() {
        for (file, pack) in [
            ("built-in/kuma/kuma-identity.cel", Some("kuma")),
            ("/etc/policies/mine/a.cel", Some("mine")),
            ("policies/a.cel", Some("policies")),
            ("a.cel", None),
            ("./a.cel", None),
            ("../a.cel", None),
            ("/a.cel", None),
        ] {
            assert_eq!(pack_of(file), pack, "{file}");
        }
        assert!(names().any(|name| name == "kuma"));
    }

    #[test]
    fn every_built_in_policy_is_in_force() {
        let mut documents = Documents::default();
        for source in sources() {
            let (read, diagnostics) = read::read(&source);
            assert!(diagnostics.is_empty(), "{}: {diagnostics:?}", source.name());
            documents.policies.extend(read.policies);
            documents.bindings.extend(read.bindings);
        }
        let validating = documents.policies.iter();
        let count = validating
            .filter(|policy| policy.kind == PolicyKind::Validating)
            .count();
        assert_eq!(count, FILES.len());
        let version = KubernetesVersion::NEWEST;
        let built = PolicySet::build(documents, version, &PolicySet::default(), |_| false);
        let problems: Vec<&String> = built.diagnostics.iter().map(|it| &it.message).collect();
        assert_eq!(problems, [] as [&str; 0]);
        let in_force = built.set.validating().len() + built.set.about_cluster().len();
        assert_eq!(in_force, count);
    }
}
