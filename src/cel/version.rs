//! The version of Kubernetes an expression is written for.

use std::fmt;
use std::str::FromStr;

use super::function::Since;

/// A minor version of Kubernetes: what it knows of the language may be written, nothing later.
///
/// This is the compatibility version of upstream's environment for new expressions (apiserver
/// `pkg/cel/environment/environment.go`, `NewExpressions`). What is stored already may use more: every
/// API server runs all it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    minor: u8,
}

/// A text that names no version we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Kubernetes `{given}` is not known; known are {}", known())]
pub struct UnknownVersion {
    given: String,
}

impl KubernetesVersion {
    /// The first one in which ValidatingAdmissionPolicies are generally available.
    pub const OLDEST: KubernetesVersion = KubernetesVersion { minor: 30 };
    /// The one whose packages our answers are compared with.
    pub const NEWEST: KubernetesVersion = KubernetesVersion { minor: 36 };

    /// Returns all, the oldest first.
    pub fn all() -> impl Iterator<Item = KubernetesVersion> {
        (Self::OLDEST.minor..=Self::NEWEST.minor).map(|minor| KubernetesVersion { minor })
    }

    /// Returns the number behind the dot.
    pub fn minor(self) -> u8 {
        self.minor
    }

    /// Says whether this version has what exists since then. Extensions are of no version: whether
    /// they may be used is up to the language.
    pub fn has(self, since: Since) -> bool {
        match since {
            Since::Kubernetes(minor) => minor <= self.minor,
            Since::Extension => true,
        }
    }
}

impl Default for KubernetesVersion {
    fn default() -> Self {
        KubernetesVersion::NEWEST
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

impl FromStr for KubernetesVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        KubernetesVersion::all()
            .find(|version| version.to_string() == text)
            .ok_or_else(|| UnknownVersion {
                given: text.to_owned(),
            })
    }
}

/// The versions there are, as a message names them.
fn known() -> String {
    let all: Vec<String> = KubernetesVersion::all()
        .map(|version| version.to_string())
        .collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_reads_as_it_is_written() {
        let all: Vec<String> = KubernetesVersion::all().map(|it| it.to_string()).collect();
        assert_eq!(
            all,
            ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36"]
        );
        for version in KubernetesVersion::all() {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert_eq!(KubernetesVersion::default().to_string(), "1.36");
    }

    #[test]
    fn what_is_no_version_is_answered_with_those_there_are() {
        for text in [
            "", "1", "1.3", "1.29", "1.37", "1.030", "v1.30", "1.30.0", "130", " 1.30", "latest",
        ] {
            assert_eq!(
                text.parse::<KubernetesVersion>().unwrap_err().to_string(),
                format!(
                    "Kubernetes `{text}` is not known; known are \
                     1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36"
                )
            );
        }
    }

    #[test]
    fn a_version_has_what_came_with_it_and_before() {
        for (version, since, expect) in [
            ("1.30", Since::Kubernetes(0), true),
            ("1.30", Since::Kubernetes(30), true),
            ("1.30", Since::Kubernetes(31), false),
            ("1.33", Since::Kubernetes(34), false),
            ("1.34", Since::Kubernetes(34), true),
            ("1.30", Since::Extension, true),
        ] {
            let version: KubernetesVersion = version.parse().unwrap();
            assert_eq!(version.has(since), expect, "{version} {since:?}");
        }
    }
}
