//! The kind that a new policy is about, from how people name kinds.

use crate::admission::resources::Resources;

/// A kind, as rules and as objects name it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// `group/version/resource`, as the front matter has it.
    pub(super) pattern: String,
    /// `apiVersion` of its objects.
    pub(super) api_version: String,
    /// `kind` of its objects.
    pub(super) kind: String,
    /// What of it was not said and is not known.
    guessed: Option<Guessed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guessed {
    /// Of a kind, the resource.
    Resource,
    /// Of a resource, the kind.
    Kind,
}

/// Versions in which a kind that is named without one is looked for.
const VERSIONS: [&str; 4] = ["v2", "v1", "v1beta1", "v1alpha1"];

const HELP: &str = "write `group/version/resource`, such as `apps/v1/deployments` or `v1/pods`, or the \
                    kind in place of the resource";

impl Kind {
    /// Reads `group/version/resource`, `group/version/Kind` (the core group has no name), or the name
    /// of a kind of Kubernetes' own.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let is_allowed =
            |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '/' | '*');
        if !text.chars().all(is_allowed) {
            return Err(HELP.to_owned());
        }
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [name] => Kind::named(name),
            [version, name] => Kind::of("", version, name),
            [group, version, name] => Kind::of(group, version, name),
            _ => Err(format!(
                "{HELP}; policies about subresources begin with their resource"
            )),
        }
    }

    fn named(name: &str) -> Result<Self, String> {
        let known = Resources::built_in();
        let mut found = VERSIONS
            .into_iter()
            .flat_map(|version| known.kinds_for("", version, name));
        match found.next() {
            Some((group, version, kind)) => Kind::of(&group, &version, &kind),
            None => Err(format!("Kubernetes has no such kind; {HELP}")),
        }
    }

    fn of(group: &str, version: &str, name: &str) -> Result<Self, String> {
        let is_lower = |text: &str| !text.contains(|it: char| it.is_ascii_uppercase());
        let digits = version.strip_prefix('v').unwrap_or_default();
        let is_version = version == "*" || digits.starts_with(|it: char| it.is_ascii_digit());
        let is_group = group.is_empty() || group.split('.').all(|it| !it.is_empty());
        let is_kind = name.starts_with(|it: char| it.is_ascii_uppercase());
        let is_resource = name.starts_with(|it: char| it.is_ascii_lowercase()) && is_lower(name);
        if !is_version
            || !is_group
            || !is_lower(group)
            || !(is_kind || is_resource)
            || [group, digits, name].concat().contains('*')
        {
            return Err(HELP.to_owned());
        }
        let known = Resources::built_in();
        let join = |version: &str, last: &str| match group {
            "" => format!("{version}/{last}"),
            group => format!("{group}/{version}/{last}"),
        };
        // Objects have one version, whichever rules take.
        let object_version = if version == "*" { "v1" } else { version };
        let api_version = match group {
            "" => object_version.to_owned(),
            group => format!("{group}/{object_version}"),
        };
        let (resource, kind, guessed) = if is_kind {
            let found = known.by_kind(&api_version, name);
            let guessed = found.provenance.is_guess().then_some(Guessed::Resource);
            (found.resource, name.to_owned(), guessed)
        } else {
            match known.by_resource(group, object_version, name) {
                Some(found) => (found.resource, found.kind, None),
                None => (name.to_owned(), singular(name), Some(Guessed::Kind)),
            }
        };
        Ok(Kind {
            pattern: join(version, &resource),
            api_version,
            kind,
            guessed,
        })
    }

    /// Returns a line that says what was guessed.
    pub(super) fn guess(&self) -> Option<String> {
        let line = match self.guessed? {
            Guessed::Resource => format!(
                "note: the resource of {} is guessed; correct `{}` in the policy if it is another",
                self.kind, self.pattern
            ),
            Guessed::Kind => format!(
                "note: the kind of `{}` is guessed; correct `{}` in both files if it is another",
                self.pattern, self.kind
            ),
        };
        Some(line)
    }
}

/// Returns the likeliest kind of a resource.
fn singular(resource: &str) -> String {
    let stem = match resource.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => {
            let stem = resource.strip_suffix("ses").map(|stem| format!("{stem}s"));
            stem.unwrap_or_else(|| resource.strip_suffix('s').unwrap_or(resource).to_owned())
        }
    };
    let mut letters = stem.chars();
    let first = letters.next().map(|it| it.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_however_they_are_named() {
        for (text, pattern, api_version, kind, guessed) in [
            (
                "deployment",
                "apps/v1/deployments",
                "apps/v1",
                "Deployment",
                None,
            ),
            ("Pod", "v1/pods", "v1", "Pod", None),
            (
                "ingresses",
                "networking.k8s.io/v1/ingresses",
                "networking.k8s.io/v1",
                "Ingress",
                None,
            ),
            (
                "apps/v1/deployments",
                "apps/v1/deployments",
                "apps/v1",
                "Deployment",
                None,
            ),
            (
                "apps/v1/Deployment",
                "apps/v1/deployments",
                "apps/v1",
                "Deployment",
                None,
            ),
            ("v1/configmaps", "v1/configmaps", "v1", "ConfigMap", None),
            (
                "apps/*/deployments",
                "apps/*/deployments",
                "apps/v1",
                "Deployment",
                None,
            ),
            (
                "nsm.nginx.com/v1alpha2/MeshConfig",
                "nsm.nginx.com/v1alpha2/meshconfigs",
                "nsm.nginx.com/v1alpha2",
                "MeshConfig",
                Some(Guessed::Resource),
            ),
            (
                "example.com/v1/policies",
                "example.com/v1/policies",
                "example.com/v1",
                "Policy",
                Some(Guessed::Kind),
            ),
        ] {
            let read = Kind::read(text).unwrap();
            assert_eq!(read.pattern, pattern, "{text}");
            assert_eq!(
                (read.api_version.as_str(), read.kind.as_str()),
                (api_version, kind),
                "{text}"
            );
            assert_eq!(read.guessed, guessed, "{text}");
        }
        for text in [
            "",
            "things",
            "apps/deployments",
            "v1/pods/exec",
            "apps/v1/deployments/scale",
            "*/v1/pods",
            "apps/v1/*",
            "apps/v1/",
            "Apps/v1/deployments",
            "apps/v1/deploYments",
            "apps/v1/1",
            "apps/1/deployments",
            "apps/v1/x], name: [y",
            "v1/pods\nname: x",
        ] {
            assert!(Kind::read(text).is_err(), "{text}");
        }
    }
}
