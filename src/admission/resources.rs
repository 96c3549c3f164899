//! Which resource a kind is reached under: built-in kinds by table, custom ones by their CRD.
//!
//! Without a cluster there is no discovery. What is neither built in nor defined is guessed, and
//! the answer says so.

use serde_json::Value;

use super::convert::Versions;
use crate::schema::numbers::Numbers;
use table::{BUILT_IN, SHARED_STORAGE};

mod table;

/// The resources known to one run: built-in ones, those of the CRDs given, and names from rules.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    custom: Vec<Custom>,
    /// Group and plural name, as written in a policy's rules.
    mentioned: Vec<(String, String)>,
}

/// A resource, as looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version asked for.
    pub version: String,
    /// The plural name.
    pub resource: String,
    /// The kind.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub scope: Scope,
    /// Its subresources that can be written or connected to.
    pub sub_resources: Vec<SubResource>,
    /// How it is known.
    pub provenance: Provenance,
}

/// Whether objects are in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// They are not.
    Cluster,
    /// They are.
    Namespaced,
}

/// How a resource is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provenance {
    /// Kubernetes serves it in this version.
    BuiltIn,
    /// Kubernetes had it or has it in other versions; the API server would not serve this one.
    BuiltInOtherVersion,
    /// A CustomResourceDefinition defines it.
    Defined,
    /// A policy's rule names its plural; kind and scope are guessed.
    Mentioned,
    /// Plural and scope are guessed from the kind.
    Guessed,
}

impl Provenance {
    /// Says whether something about the resource is a guess.
    pub fn is_guess(self) -> bool {
        matches!(self, Provenance::Mentioned | Provenance::Guessed)
    }
}

/// A subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubResource {
    /// `scale`, `status`, `exec`, …
    pub name: &'static str,
    /// Group, version and kind of what is sent to it; `None` if that is its resource's own kind.
    pub kind: Option<(&'static str, &'static str, &'static str)>,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    group: &'static str,
    resource: &'static str,
    kind: &'static str,
    scope: Scope,
    versions: &'static [&'static str],
    sub_resources: &'static [SubResource],
}

/// What a CRD says.
#[derive(Debug, Clone)]
struct Custom {
    group: String,
    resource: String,
    kind: String,
    scope: Scope,
    versions: Vec<CustomVersion>,
    /// How its versions differ.
    conversion: Versions,
}

#[derive(Debug, Clone)]
struct CustomVersion {
    name: String,
    sub_resources: Vec<SubResource>,
    /// Where its numbers are.
    numbers: Option<Numbers>,
}

/// Why a document is not a usable CustomResourceDefinition.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CrdError {
    /// It is something else.
    #[error("not an `apiextensions.k8s.io/v1` CustomResourceDefinition")]
    NotACrd,
    /// A field that must be there.
    #[error("`{field}` is missing or empty")]
    MissingField {
        /// Its path.
        field: &'static str,
    },
    /// A scope that does not exist.
    #[error("unknown scope `{found}`")]
    UnknownScope {
        /// What was given.
        found: String,
    },
}

impl Resources {
    /// Adds the resource a CustomResourceDefinition defines; the last definition of a kind counts.
    pub fn define(&mut self, crd: &Value) -> Result<(), CrdError> {
        let custom = Custom::read(crd)?;
        self.custom
            .retain(|other| (&other.group, &other.kind) != (&custom.group, &custom.kind));
        self.custom.push(custom);
        Ok(())
    }

    /// Remembers a resource that a policy's rule names, so that a kind that could be its own is
    /// taken for it. Names with `*` and subresources are passed over.
    pub fn mention(&mut self, group: &str, resource: &str) {
        if !resource.contains(['*', '/']) && !group.contains('*') {
            self.mentioned.push((group.to_owned(), resource.to_owned()));
        }
    }

    /// Returns the resource of a kind; a guess, marked as one, if the kind is not known.
    ///
    /// `api_version` is `group/version`, or `version` for the core group.
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Resource {
        let (group, version) = split(api_version);
        if let Some(custom) = self
            .custom
            .iter()
            .find(|custom| custom.group == group && custom.kind == kind)
        {
            return custom.at(version);
        }
        if let Some(row) = BUILT_IN
            .iter()
            .find(|row| row.group == group && row.kind == kind)
        {
            return row.at(version);
        }
        let (resource, provenance) = self.guess(group, kind);
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            resource,
            kind: kind.to_owned(),
            scope: Scope::Namespaced,
            sub_resources: Vec::new(),
            provenance,
        }
    }

    /// Returns the plural name under which Kubernetes serves a kind, in whatever group.
    pub fn plural_of(kind: &str) -> Option<&'static str> {
        let row = BUILT_IN.iter().find(|row| row.kind == kind)?;
        Some(row.resource)
    }

    /// Returns the resource of a plural name, if it is built in or defined.
    pub fn by_resource(&self, group: &str, version: &str, resource: &str) -> Option<Resource> {
        let custom = self
            .custom
            .iter()
            .find(|custom| custom.group == group && custom.resource == resource);
        match custom {
            Some(custom) => Some(custom.at(version)),
            None => row_of(group, resource).map(|row| row.at(version)),
        }
    }

    /// Returns group, version and kind of everything a rule's names may mean, as the type checker of
    /// Kubernetes asks for them: singular names count, and an empty group stands for every group
    /// (apimachinery `pkg/api/meta/restmapper.go`, `KindsFor`).
    pub fn kinds_for(
        &self,
        group: &str,
        version: &str,
        resource: &str,
    ) -> Vec<(String, String, String)> {
        let resource = resource.to_lowercase();
        let is_asked = |of: &str, plural: &str, kind: &str| {
            (group.is_empty() || of == group)
                && (plural == resource || kind.to_lowercase() == resource)
        };
        let built_in = BUILT_IN.iter().filter(|row| {
            is_asked(row.group, row.resource, row.kind) && row.versions.contains(&version)
        });
        let custom = self.custom.iter().filter(|custom| {
            let mut versions = custom.versions.iter();
            is_asked(&custom.group, &custom.resource, &custom.kind)
                && versions.any(|known| known.name == version)
        });
        let built_in = built_in.map(|row| (row.group, row.kind));
        let custom = custom.map(|custom| (custom.group.as_str(), custom.kind.as_str()));
        built_in
            .chain(custom)
            .map(|(group, kind)| (group.to_owned(), version.to_owned(), kind.to_owned()))
            .collect()
    }

    /// Returns the resources that only built-in kinds have.
    pub fn built_in() -> &'static Resources {
        static NONE: Resources = Resources {
            custom: Vec::new(),
            mentioned: Vec::new(),
        };
        &NONE
    }

    /// Returns where the numbers of a custom kind are, if it has any.
    pub fn numbers(&self, group: &str, version: &str, kind: &str) -> Option<&Numbers> {
        let mut custom = self.custom.iter();
        let custom = custom.find(|custom| custom.group == group && custom.kind == kind)?;
        let mut versions = custom.versions.iter();
        let version = versions.find(|known| known.name == version)?;
        version.numbers.as_ref()
    }

    /// Says how the versions of a resource differ.
    pub fn versions(&self, group: &str, resource: &str) -> Versions {
        let mut custom = self.custom.iter();
        let custom = custom.find(|custom| custom.group == group && custom.resource == resource);
        match (custom, group, resource) {
            (Some(custom), ..) => custom.conversion,
            (None, "autoscaling", "horizontalpodautoscalers") => Versions::Autoscaling,
            // The fields of an Event have other names in its other group, and claims of devices have
            // been changed from version to version.
            (None, _, "events") | (None, "resource.k8s.io", _) => Versions::Different,
            (None, ..) => Versions::Alike,
        }
    }

    /// Returns group and version of everything that is the same resource in storage, itself
    /// included, most preferred version first: what `matchPolicy: Equivalent` matches.
    ///
    /// Semantics: apimachinery `pkg/runtime/mapper.go`; kubernetes
    /// `pkg/controlplane/apiserver/config.go`.
    pub fn equivalents(&self, group: &str, resource: &str) -> Vec<(String, String)> {
        if let Some(custom) = self
            .custom
            .iter()
            .find(|custom| custom.group == group && custom.resource == resource)
        {
            return custom
                .versions
                .iter()
                .map(|version| (custom.group.clone(), version.name.clone()))
                .collect();
        }
        let shared = SHARED_STORAGE
            .iter()
            .filter(|(name, one, other)| *name == resource && (*one == group || *other == group))
            .flat_map(|(_, one, other)| [*one, *other])
            .filter(|other| *other != group);
        std::iter::once(group)
            .chain(shared)
            .filter_map(|group| row_of(group, resource))
            .flat_map(|row| row.versions.iter().map(|version| (row.group, *version)))
            .map(|(group, version)| (group.to_owned(), version.to_owned()))
            .collect()
    }

    fn guess(&self, group: &str, kind: &str) -> (String, Provenance) {
        let lower = kind.to_lowercase();
        let plural = plural(&lower);
        let candidates = [&plural, &lower, &format!("{lower}s"), &format!("{lower}es")];
        let mentioned = candidates.into_iter().find(|candidate| {
            self.mentioned
                .iter()
                .any(|(other, resource)| other == group && resource == *candidate)
        });
        match mentioned {
            Some(resource) => (resource.clone(), Provenance::Mentioned),
            None => (plural, Provenance::Guessed),
        }
    }
}

impl Resource {
    /// Returns `group/version`, or `version` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Returns the subresource of this name.
    pub fn sub_resource(&self, name: &str) -> Option<SubResource> {
        self.sub_resources
            .iter()
            .find(|sub_resource| sub_resource.name == name)
            .copied()
    }
}

impl Row {
    fn at(&self, version: &str) -> Resource {
        Resource {
            group: self.group.to_owned(),
            version: version.to_owned(),
            resource: self.resource.to_owned(),
            kind: self.kind.to_owned(),
            scope: self.scope,
            sub_resources: self.sub_resources.to_vec(),
            provenance: if self.versions.contains(&version) {
                Provenance::BuiltIn
            } else {
                Provenance::BuiltInOtherVersion
            },
        }
    }
}

/// `status` of a custom resource.
const CUSTOM_STATUS: SubResource = SubResource {
    name: "status",
    kind: None,
};

/// `scale` of a custom resource.
const CUSTOM_SCALE: SubResource = SubResource {
    name: "scale",
    kind: Some(("autoscaling", "v1", "Scale")),
};

impl Custom {
    fn read(crd: &Value) -> Result<Self, CrdError> {
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str);
        if text("/kind") != Some("CustomResourceDefinition")
            || text("/apiVersion") != Some("apiextensions.k8s.io/v1")
        {
            return Err(CrdError::NotACrd);
        }
        let need = |pointer: &str, field| {
            text(pointer)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or(CrdError::MissingField { field })
        };
        let versions: Vec<_> = crd
            .pointer("/spec/versions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|version| version.get("served").and_then(Value::as_bool) != Some(false))
            .filter_map(CustomVersion::read)
            .collect();
        if versions.is_empty() {
            return Err(CrdError::MissingField {
                field: "spec.versions",
            });
        }
        Ok(Custom {
            group: need("/spec/group", "spec.group")?,
            resource: need("/spec/names/plural", "spec.names.plural")?,
            kind: need("/spec/names/kind", "spec.names.kind")?,
            scope: match &*need("/spec/scope", "spec.scope")? {
                "Cluster" => Scope::Cluster,
                "Namespaced" => Scope::Namespaced,
                found => {
                    return Err(CrdError::UnknownScope {
                        found: found.to_owned(),
                    });
                }
            },
            versions,
            conversion: match text("/spec/conversion/strategy") {
                None | Some("None") => Versions::Alike,
                Some(_) => Versions::Different,
            },
        })
    }

    fn at(&self, version: &str) -> Resource {
        Resource {
            group: self.group.clone(),
            version: version.to_owned(),
            resource: self.resource.clone(),
            kind: self.kind.clone(),
            scope: self.scope,
            sub_resources: self
                .versions
                .iter()
                .find(|known| known.name == version)
                .map(|known| known.sub_resources.clone())
                .unwrap_or_default(),
            provenance: Provenance::Defined,
        }
    }
}

impl CustomVersion {
    fn read(version: &Value) -> Option<Self> {
        let declares = |name| {
            version
                .get("subresources")
                .and_then(|declared| declared.get(name))
                .is_some_and(Value::is_object)
        };
        Some(CustomVersion {
            name: version.get("name")?.as_str()?.to_owned(),
            sub_resources: [CUSTOM_SCALE, CUSTOM_STATUS]
                .into_iter()
                .filter(|sub_resource| declares(sub_resource.name))
                .collect(),
            numbers: version
                .pointer("/schema/openAPIV3Schema")
                .and_then(Numbers::of),
        })
    }
}

/// Returns the other group in which a resource, with its subresource if there is one, is the same in
/// storage.
pub fn shared_with(group: &str, resource: &str) -> Option<&'static str> {
    let resource = resource.split('/').next().unwrap_or(resource);
    let mut shared = SHARED_STORAGE.iter();
    shared.find_map(|(name, one, other)| match *name == resource {
        true if *one == group => Some(*other),
        true if *other == group => Some(*one),
        _ => None,
    })
}

fn row_of(group: &str, resource: &str) -> Option<&'static Row> {
    let at = BUILT_IN
        .binary_search_by(|row| (row.group, row.resource).cmp(&(group, resource)))
        .ok()?;
    BUILT_IN.get(at)
}

/// Splits an `apiVersion` into group and version.
pub fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Returns the likeliest plural of a kind in lower case.
///
/// DIVERGES: apimachinery `pkg/api/meta/restmapper.go`, `UnsafeGuessKindToResource`, makes
/// `gatewaies` of Gateway; the CRDs people write say `gateways`.
fn plural(lower: &str) -> String {
    if lower.ends_with("endpoints") {
        return lower.to_owned();
    }
    match lower.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if lower.ends_with('s') => format!("{lower}es"),
        _ => format!("{lower}s"),
    }
}

#[cfg(test)]
mod tests;
