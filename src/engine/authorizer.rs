//! What a user may do, answered by rules that were given: those of a test, or of a recorded case.

use bumpalo::Bump;
use serde::Deserialize;
use serde_json::Value;

use crate::cel::value::access::{Access, Authorize, Decision, Subject};

/// Rules in order; the first one that fits answers, and where none fits nothing is allowed.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// A rule. What it leaves empty, or gives as `*`, fits every question.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    user: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    path: String,
    decision: Answer,
    reason: String,
    error: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    #[default]
    Allow,
    Deny,
    NoOpinion,
}

impl Rules {
    /// Reads a list of rules:
    /// `[{verb: delete, group: apps, resource: deployments, decision: deny, reason: …}]`.
    pub fn read(rules: &Value) -> Result<Self, serde_json::Error> {
        let rules = Vec::<Rule>::deserialize(rules)?;
        Ok(Rules { rules })
    }

    /// Returns the rules as they answer for the user of a request.
    pub fn for_user<'r>(&'r self, user: &'r str) -> Asked<'r> {
        Asked { rules: self, user }
    }
}

/// Rules, and who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    rules: &'r Rules,
    user: &'r str,
}

impl Authorize for Asked<'_> {
    fn authorize<'a>(&'a self, _: &'a Bump, question: Access<'_>, verb: &str) -> Decision<'a> {
        let fitting = self.rules.rules.iter();
        let rule = fitting
            .filter(|rule| fits(&rule.verb, verb))
            .find(|rule| rule.fits(question, self.user));
        rule.map_or(NO_OPINION, |rule| Decision {
            allowed: rule.decision == Answer::Allow,
            reason: &rule.reason,
            error: &rule.error,
        })
    }
}

const NO_OPINION: Decision<'static> = Decision {
    allowed: false,
    reason: "",
    error: "",
};

fn fits(wanted: &str, given: &str) -> bool {
    matches!(wanted, "" | "*") || wanted == given
}

impl Rule {
    fn fits(&self, question: Access<'_>, user: &str) -> bool {
        let (subject, pairs) = match question {
            Access::Path(subject, path) => (
                subject,
                [
                    (&self.path, path),
                    (&self.group, ""),
                    (&self.resource, ""),
                    (&self.subresource, ""),
                    (&self.namespace, ""),
                    (&self.name, ""),
                ],
            ),
            Access::Resource(check) => (
                check.subject,
                [
                    (&self.path, ""),
                    (&self.group, check.group),
                    (&self.resource, check.resource),
                    (&self.subresource, check.subresource),
                    (&self.namespace, check.namespace),
                    (&self.name, check.name),
                ],
            ),
            Access::Authorizer(_) | Access::Group(..) | Access::Decision(_) => return false,
        };
        let is_user = match subject {
            Subject::Requester => fits(&self.user, user),
            Subject::ServiceAccount { namespace, name } => {
                let account = format!("system:serviceaccount:{namespace}:{name}");
                fits(&self.user, &account)
            }
        };
        is_user && pairs.iter().all(|(wanted, given)| fits(wanted, given))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cel::value::access::ResourceCheck;

    fn resource(subject: Subject<'static>) -> Access<'static> {
        Access::Resource(ResourceCheck {
            subject,
            group: "apps",
            resource: "deployments",
            subresource: "",
            namespace: "prod",
            name: "web",
            field_selector: "",
            label_selector: "",
        })
    }

    #[test]
    fn the_first_rule_that_fits_answers() {
        let account = Subject::ServiceAccount {
            namespace: "ci",
            name: "robot",
        };
        let requester = resource(Subject::Requester);
        for (name, rules, question, allowed) in [
            ("no rule", json!([]), requester, false),
            ("an empty rule", json!([{}]), requester, true),
            ("another verb", json!([{"verb": "get"}]), requester, false),
            ("any group", json!([{"group": "*"}]), requester, true),
            (
                "a denial before",
                json!([{"decision": "deny"}, {}]),
                requester,
                false,
            ),
            (
                "no opinion before",
                json!([{"decision": "noopinion"}, {}]),
                requester,
                false,
            ),
            ("another user", json!([{"user": "eve"}]), requester, false),
            (
                "a service account",
                json!([{"user": "system:serviceaccount:ci:robot", "namespace": "prod"}]),
                resource(account),
                true,
            ),
            (
                "a path",
                json!([{"path": "/x"}]),
                Access::Path(account, "/x"),
                true,
            ),
            (
                "another path",
                json!([{"path": "/x"}]),
                Access::Path(account, "/y"),
                false,
            ),
            (
                "a path, asked of a resource",
                json!([{"path": "/x"}]),
                requester,
                false,
            ),
        ] {
            let rules = Rules::read(&rules).unwrap();
            let arena = Bump::new();
            let asked = rules.for_user("ann");
            let decision = asked.authorize(&arena, question, "delete");
            assert_eq!(decision.allowed, allowed, "{name}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = Rules::read(&json!([{"verbs": "get"}])).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `verbs`"),
            "{error}"
        );
    }
}
