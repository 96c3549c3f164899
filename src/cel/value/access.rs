//! Questions to the authorizer, as an expression builds them up, and the answers.
//!
//! Semantics: apiserver `pkg/cel/library/authz.go`.

use bumpalo::Bump;

/// A value of the authorizer's library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access<'a> {
    /// `kubernetes.authorization.Authorizer`
    Authorizer(Subject<'a>),
    /// `kubernetes.authorization.PathCheck`: who asks, and a URL path.
    Path(Subject<'a>, &'a str),
    /// `kubernetes.authorization.GroupCheck`: who asks, and an API group.
    Group(Subject<'a>, &'a str),
    /// `kubernetes.authorization.ResourceCheck`
    Resource(ResourceCheck<'a>),
    /// `kubernetes.authorization.Decision`
    Decision(Decision<'a>),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The user of the request.
    Requester,
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
}

/// A question about a resource; what is empty is not asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceCheck<'a> {
    /// Who asks.
    pub subject: Subject<'a>,
    /// The API group.
    pub group: &'a str,
    /// The plural name of the resource.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// A selector of fields.
    pub field_selector: &'a str,
    /// A selector of labels.
    pub label_selector: &'a str,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, if that was said.
    pub reason: &'a str,
    /// What went wrong, or empty.
    pub error: &'a str,
}

/// Answers what a user may do; texts of the answer live in the arena.
pub trait Authorize: std::fmt::Debug {
    /// Answers a [`Access::Path`] or [`Access::Resource`] for a verb.
    fn authorize<'a>(&'a self, arena: &'a Bump, question: Access<'_>, verb: &str) -> Decision<'a>;
}

impl Access<'_> {
    /// Returns the name of the value's type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Access::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Access::Path(..) => "kubernetes.authorization.PathCheck",
            Access::Group(..) => "kubernetes.authorization.GroupCheck",
            Access::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Access::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}
