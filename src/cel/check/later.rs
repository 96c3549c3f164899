//! What Kubernetes has, but not yet in the version an expression is written for.
//!
//! Upstream such a name is undeclared, and the call of such a macro is that of an undeclared function.
//! Here it is known and refused all the same, so that the message can say since when it exists.

use crate::cel::ast::{Call, Fold, FoldKind, NodeId};
use crate::cel::function::{Function, Overload, Since, Style};
use crate::cel::issue::Issue;
use crate::cel::macros;
use crate::cel::types::Inferred;
use crate::text::Span;

use super::Checker;

impl Checker<'_> {
    /// Refuses the call of a function that has an overload for it, or for calls of this style, only
    /// in a later version. Says whether there is one.
    pub(super) fn refuse_later_function(
        &mut self,
        call: &Call,
        (function, style): (&'static Function, Style),
        arguments: &[Inferred],
    ) -> bool {
        let spoken = function
            .overloads
            .iter()
            .filter(|overload| overload.style == style && self.env.speaks(overload));
        let (present, later): (Vec<_>, Vec<&'static Overload>) =
            spoken.partition(|overload| self.env.allows(overload));
        let fitting = later.iter().find(|overload| {
            let result = self.instance(overload.params, &overload.result, arguments);
            result.is_some()
        });
        let missing = match (fitting, later.first()) {
            (Some(overload), _) => overload,
            (None, Some(overload)) if present.is_empty() => overload,
            _ => return false,
        };
        let what = match function.overloads.iter().any(|it| self.env.allows(it)) {
            true => missing.form(function),
            false => format!("`{}`", macros::written(function.name)),
        };
        // What is later makes what is later: `semver('1.0.0').major()` is refused once.
        let is_known = arguments.contains(&Inferred::Error) && !self.issues.is_empty();
        if !is_known {
            self.refuse_later(call.function_span, &what, missing.since);
        }
        true
    }

    /// Refuses a comprehension with two variables in a version without them. Says whether it did.
    pub(super) fn refuse_later_fold(&mut self, id: NodeId, fold: &Fold) -> bool {
        let is_later = fold.second.is_some() && !self.env.version().has(macros::TWO_VARIABLES);
        if is_later {
            let what = match fold.kind {
                FoldKind::All => "`all` with two variables",
                FoldKind::Exists => "`exists` with two variables",
                FoldKind::ExistsOne => "`existsOne`",
                FoldKind::Filter => "`filter` with two variables",
                FoldKind::Map => "`transformList`",
                FoldKind::TransformMap => "`transformMap`",
                FoldKind::TransformMapEntry => "`transformMapEntry`",
            };
            self.refuse_later(self.ast.span(id), what, macros::TWO_VARIABLES);
        }
        is_later
    }

    fn refuse_later(&mut self, span: Span, what: &str, since: Since) {
        // What is of no version is in all of them.
        let Since::Kubernetes(minor) = since else {
            return;
        };
        let checked_for = self.env.version();
        let message = format!("{what} is in Kubernetes since 1.{minor}; checked for {checked_for}");
        self.issues.push(Issue::new(span, message).help(format!(
            "an older API server refuses it; check for 1.{minor} if every cluster has at least that"
        )));
    }
}

#[cfg(test)]
mod tests {
    use crate::cel::check::{Checked, check};
    use crate::cel::env::{Env, Language};
    use crate::cel::issue::Issue;
    use crate::cel::parse;
    use crate::cel::types::Type;
    use crate::cel::version::KubernetesVersion;

    fn checked(expression: &str, version: &str, language: Language) -> Result<Checked, Vec<Issue>> {
        let env =
            Env::new([("object", Type::Dyn)], language).with_version(version.parse().unwrap());
        check(parse::parse(expression)?, &env)
    }

    #[test]
    fn what_is_later_is_refused_until_it_exists() {
        for (expression, first, text, message) in [
            (
                "semver('1.0.0').major() == 1",
                "1.33",
                "semver",
                "`semver` is in Kubernetes since 1.33",
            ),
            (
                "!format.named('dns1123Label').hasValue()",
                "1.31",
                "named",
                "`format.named` is in Kubernetes since 1.31",
            ),
            (
                "lists.range(3).size() == 3",
                "1.34",
                "range",
                "`lists.range` is in Kubernetes since 1.34",
            ),
            (
                "object.names.sort() == object.names",
                "1.34",
                "sort",
                "`sort` is in Kubernetes since 1.34",
            ),
            (
                "object.names.sortBy(name, size(name)) == []",
                "1.34",
                "sortBy",
                "`sortBy` is in Kubernetes since 1.34",
            ),
            (
                "[1].all(i, x, i < x)",
                "1.32",
                "[1].all(i, x, i < x)",
                "`all` with two variables is in Kubernetes since 1.32",
            ),
            (
                "object.exists(k, v, k == v)",
                "1.32",
                "object.exists(k, v, k == v)",
                "`exists` with two variables is in Kubernetes since 1.32",
            ),
            (
                "object.exists_one(k, v, k == v)",
                "1.32",
                "object.exists_one(k, v, k == v)",
                "`existsOne` is in Kubernetes since 1.32",
            ),
            (
                "[1].transformList(i, x, x > 0, i)",
                "1.32",
                "[1].transformList(i, x, x > 0, i)",
                "`transformList` is in Kubernetes since 1.32",
            ),
            (
                "{}.transformMap(k, v, v)",
                "1.32",
                "{}.transformMap(k, v, v)",
                "`transformMap` is in Kubernetes since 1.32",
            ),
            (
                "{}.transformMapEntry(k, v, {v: k})",
                "1.32",
                "{}.transformMapEntry(k, v, {v: k})",
                "`transformMapEntry` is in Kubernetes since 1.32",
            ),
            // Of all versions.
            ("ip('::1').family() == 6", "1.30", "", ""),
            ("[1].all(x, x > 0)", "1.30", "", ""),
            ("optional.of(1).optMap(x, x).hasValue()", "1.30", "", ""),
        ] {
            for version in KubernetesVersion::all().map(|it| it.to_string()) {
                for language in [Language::Kubernetes, Language::Extended] {
                    let found = checked(expression, &version, language);
                    let is_later = version.as_str() < first;
                    if !is_later {
                        assert!(found.is_ok(), "{expression} for {version}: {found:?}");
                        continue;
                    }
                    let issues = found.expect_err(expression);
                    let [issue] = issues.as_slice() else {
                        panic!("{expression} for {version}: {issues:?}");
                    };
                    let wanted = format!("{message}; checked for {version}");
                    assert_eq!(issue.message, wanted, "{expression}");
                    assert_eq!(&expression[issue.span.start..issue.span.end], text);
                }
            }
        }
    }
    /// The message and help of the first issue.
    fn refusal(expression: &str, version: &str) -> (String, String) {
        let issues = checked(expression, version, Language::Kubernetes).expect_err(expression);
        let issue = issues.into_iter().next().unwrap();
        (issue.message, issue.help.unwrap_or_default())
    }

    #[test]
    fn the_help_says_what_to_do() {
        for (expression, version, message, help) in [
            // That there is no form at all comes before which form is meant.
            (
                "semver(1)",
                "1.31",
                "`semver` is in Kubernetes since 1.33; checked for 1.31",
                "an older API server refuses it; check for 1.33 if every cluster has at least that",
            ),
            (
                "semver(1)",
                "1.33",
                "no overload of `semver` takes (int)",
                "it is called as `semver(string)` or `semver(string, bool)`",
            ),
            // The forms of semantic versions are left out.
            (
                "quantity('1').compareTo(1)",
                "1.32",
                "no overload of `compareTo` takes (kubernetes.Quantity).(int)",
                "it is called as `kubernetes.Quantity.compareTo(kubernetes.Quantity)`",
            ),
            // What is not there is not proposed either.
            ("semvr('1')", "1.32", "undeclared function `semvr`", ""),
            (
                "semvr('1')",
                "1.33",
                "undeclared function `semvr`",
                "did you mean `semver`?",
            ),
        ] {
            assert_eq!(
                refusal(expression, version),
                (message.to_owned(), help.to_owned()),
                "{expression} for {version}"
            );
        }
    }

    #[test]
    fn extensions_are_of_no_version() {
        for expression in ["cel.bind(x, 1, x)", "cluster.list('v1', 'Pod', '').size()"] {
            assert!(checked(expression, "1.30", Language::Extended).is_ok());
        }
    }
}
