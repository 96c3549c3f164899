//! Series appear with their policies, count what they do, and go with them.

use super::*;
use crate::cel::version::KubernetesVersion;
use crate::policy::model::Documents;
use crate::policy::read;
use crate::text::Source;
use prometheus_client::registry::Registry;

fn set(policies: &[(&str, &str)]) -> PolicySet {
    let mut documents = Documents::default();
    for (name, action) in policies {
        let text = format!(
            "// ---\n// match: {{resources: [v1/pods]}}\n// action: {action}\n// ---\n// @require r\ntrue\n"
        );
        let (read, _) = read::read(&Source::new(format!("{name}.cel"), text));
        documents.policies.extend(read.policies);
        documents.bindings.extend(read.bindings);
    }
    let version = KubernetesVersion::default();
    PolicySet::build(documents, version, &PolicySet::default(), |_| false).set
}

fn page(checks: &Checks) -> String {
    let mut registry = Registry::with_prefix("portcullis");
    registry.register_collector(Box::new(checks.clone()));
    crate::telemetry::metrics::page(&registry).unwrap()
}

fn count(table: &Table, set: &PolicySet, at: usize, action: Action) {
    let bound = &set.validating()[at];
    let binding = bound.bindings.first().map(|it| &**it);
    let check = table.get(&bound.policy, binding).expect("it has a series");
    check.observe(action, None, Duration::from_micros(7));
}

fn lines(page: &str, part: &str) -> Vec<String> {
    let lines = page
        .lines()
        .filter(|line| line.contains(part) && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_policy_is_counted_by_what_it_leads_to_and_for_how_long() {
    let (checks, set) = (Checks::default(), set(&[("a", "deny"), ("b", "audit")]));
    let table = checks.table(&set, false);
    count(&table, &set, 0, Action::Deny);
    count(&table, &set, 0, Action::Deny);
    count(&table, &set, 1, Action::Audit);
    let page = page(&checks);
    let of = |policy: &str, action: &str, enforcement: &str| {
        format!(
            "{{policy=\"{policy}\",policy_binding=\"{policy}\",kind=\"validating\",error_type=\"no_error\",\
             enforcement_action=\"{action}\",enforcement=\"{enforcement}\""
        )
    };
    assert_eq!(
        lines(&page, "check_total"),
        [
            format!(
                "portcullis_policy_check_total{}}} 0",
                of("a", "allow", "enforce")
            ),
            format!(
                "portcullis_policy_check_total{}}} 2",
                of("a", "deny", "enforce")
            ),
            format!(
                "portcullis_policy_check_total{}}} 0",
                of("b", "allow", "audit")
            ),
            format!(
                "portcullis_policy_check_total{}}} 0",
                of("b", "deny", "audit")
            ),
            format!(
                "portcullis_policy_check_total{}}} 1",
                of("b", "audit", "audit")
            ),
        ]
    );
    let buckets = lines(&page, "duration_seconds_bucket{");
    let of_a = buckets.iter().filter(|line| line.contains("policy=\"a\""));
    let counts: Vec<&str> = of_a.filter_map(|line| line.rsplit(' ').next()).collect();
    // Seven microseconds are more than the second bound and less than the third.
    assert_eq!(counts.join(" "), "0 0 2 2 2 2 2 2 2 2 2 2", "{buckets:#?}");
    assert_eq!(buckets.len(), 2 * counts.len(), "{buckets:#?}");
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[test]
fn a_reload_keeps_what_stays_and_forgets_what_goes() {
    let checks = Checks::default();
    let before = set(&[("a", "deny"), ("b", "deny")]);
    let table = checks.table(&before, false);
    count(&table, &before, 0, Action::Deny);
    count(&table, &before, 1, Action::Deny);
    let after = set(&[("a", "deny"), ("c", "deny")]);
    let table = checks.table(&after, false);
    let shown = page(&checks);
    assert!(lines(&shown, "policy=\"b\"").is_empty(), "{shown}");
    assert_eq!(
        lines(&shown, "policy=\"c\",policy_binding=\"c\"").len(),
        2,
        "{shown}"
    );
    count(&table, &after, 0, Action::Deny);
    let counted = lines(&page(&checks), "check_total{policy=\"a\"");
    assert!(counted[1].ends_with("} 2"), "{counted:?}");
    checks.table(&after, true);
    let counted = lines(&page(&checks), "check_total{policy=\"a\"");
    assert!(
        counted
            .iter()
            .all(|line| line.contains("enforcement=\"audit\"") && line.ends_with("} 0")),
        "{counted:?}"
    );
}

#[test]
fn the_page_is_bounded_whatever_is_loaded() {
    let names: Vec<String> = (0..MOST_BINDINGS + 50)
        .map(|at| format!("p{at:05}"))
        .collect();
    let policies: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "deny")).collect();
    let (checks, set) = (Checks::default(), set(&policies));
    let table = checks.table(&set, false);
    for at in [MOST_BINDINGS, MOST_BINDINGS + 49] {
        count(&table, &set, at, Action::Deny);
    }
    let page = page(&checks);
    assert_eq!(lines(&page, "check_total{").len(), 2 * (MOST_BINDINGS + 1));
    let other = lines(&page, "check_total{policy=\"other\"");
    assert!(other[1].ends_with("} 2"), "{other:?}");
}
