//! Policies with `scope: cluster`: evaluated once, on nothing but what the cluster holds.

use super::*;
use crate::engine::verdict::Outcome;

fn about_cluster(front_matter: &str, sections: &str) -> String {
    let front_matter: String = front_matter
        .lines()
        .map(|line| format!("// {line}\n"))
        .collect();
    format!("// ---\n// scope: cluster\n// reads: [v1/Node]\n{front_matter}// ---\n{sections}\n")
}

fn audit(set: &PolicySet, nodes: &[&str]) -> Verdict {
    let node =
        |name: &&str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let cluster = Objects::new(nodes.iter().map(node).collect());
    let options = Options::new(&cluster);
    audit_cluster(set, options, &mut Unwatched)
}

fn said(verdict: &Verdict) -> Vec<(&str, &str)> {
    let said = verdict.decisions.iter();
    said.map(|it| (it.policy.policy.name.as_str(), it.message.as_str()))
        .collect()
}

const COUNT: &str = "// @let nodes
cluster.list('v1', 'Node', '').map(object, object.metadata.name)
// @require there are enough nodes
size(variables.nodes) >= settings.floor
// @message
'there is ' + variables.nodes.join(', ')
// @audit nodes
string(size(variables.nodes))";

#[test]
fn a_policy_about_the_cluster_is_evaluated_once_and_on_no_request() {
    let set = set(&[
        (
            "count.cel",
            about_cluster("settings: {floor: 2}\naction: audit", COUNT),
        ),
        (
            "never.cel",
            about_cluster("", "// @when never\nfalse\n// @require no\nfalse"),
        ),
    ]);
    let verdict = audit(&set, &["a"]);
    assert_eq!(said(&verdict), [("count", "there is a")]);
    assert_eq!(verdict.decisions[0].actions, [ValidationAction::Audit]);
    assert_eq!(verdict.matched, 2);
    assert_eq!(
        verdict.audit_annotations,
        [("count/nodes".to_owned(), "1".to_owned())]
    );
    assert!(verdict.cost > 0);
    assert_eq!(said(&audit(&set, &["a", "b"])), []);
    let decided = decide(&set, &body(&[]), &Objects::default());
    assert_eq!((decided.matched, decided.decisions.len()), (0, 0));
}

#[test]
fn errors_meet_the_failure_policy() {
    let failing =
        "// @require it can be said\n[1][int(size(cluster.list('v1', 'Node', '')) + 1)] == 1";
    let costly = "// @require it ends\n\
                  [1, 2, 3, 4, 5, 6, 7, 8, 9].all(a, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(b, \
                  [1, 2, 3, 4, 5, 6, 7, 8, 9].all(c, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(d, \
                  [1, 2, 3, 4, 5, 6, 7, 8, 9].all(e, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(f, \
                  [1, 2, 3, 4, 5, 6, 7, 8, 9].all(g, a + b + c + d + e + f + g > 0)))))))";
    let set = set(&[
        ("closed.cel", about_cluster("", failing)),
        ("costly.cel", about_cluster("", costly)),
        ("open.cel", about_cluster("failurePolicy: Ignore", failing)),
    ]);
    let verdict = audit(&set, &[]);
    let outcomes: Vec<Outcome> = verdict.decisions.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Outcome::Error, Outcome::Error]);
    let [(_, failed), (_, spent)] = said(&verdict)[..] else {
        panic!("{verdict:?}");
    };
    assert!(failed.contains("index out of bounds: 1"), "{failed}");
    assert!(spent.contains("cost"), "{spent}");
}

#[test]
fn what_is_about_a_request_is_not_there() {
    for variable in [
        "object",
        "oldObject",
        "request",
        "params",
        "namespaceObject",
        "pod",
        "authorizer",
    ] {
        let section = format!("// @require x\n{variable} == null");
        let text = about_cluster("", &section);
        // The same expression means something in the policy beside it.
        let other = cel("", &section);
        let mut documents = Documents::default();
        for (name, text) in [("a.cel", &other), ("b.cel", &text)] {
            let (read, findings) = read::read(&Source::new(name, text.as_str()));
            assert!(findings.is_empty(), "{findings:?}");
            documents.policies.extend(read.policies);
        }
        let version = KubernetesVersion::default();
        let built = PolicySet::build(documents, version, &PolicySet::default(), |_| false);
        let found: Vec<_> = built
            .diagnostics
            .iter()
            .filter(|it| it.labels[0].source.name() == "b.cel")
            .collect();
        let [found] = found[..] else {
            panic!("{variable}: {found:?}");
        };
        assert_eq!(found.code, "cel/compile");
        assert_eq!(
            found.message,
            format!("undeclared reference to `{variable}`")
        );
        let help = found.help.as_deref().unwrap();
        assert!(help.contains("without an object or a request"), "{help}");
    }
}
