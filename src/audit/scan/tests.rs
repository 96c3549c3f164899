//! Scans of scripted lists.

mod journal;

use serde_json::json;

use super::*;
use crate::audit::list::tests::{Answer, list, scripted};
use crate::audit::plan::Only;
use crate::audit::served::{Discovery, Served};
use crate::audit::view::{Snapshot, Texts};
use crate::cel::version::KubernetesVersion;
use crate::diagnostics::Severity;
use crate::policy::exceptions::settle_reach;
use crate::sources;
use crate::text::Source;

fn set(text: &str) -> PolicySet {
    set_of(&[Source::new("p.cel", text)])
}

fn set_of(sources: &[Arc<Source>]) -> PolicySet {
    let (mut documents, problems) = sources::documents(sources);
    settle_reach(&mut documents, None);
    assert!(problems.is_empty(), "{problems:?}");
    let version = KubernetesVersion::default();
    PolicySet::build(documents, version, &PolicySet::default(), |_| false).set
}

fn discovery(resource: &str, kind: &str) -> Discovery {
    Discovery {
        resources: vec![Served {
            group: String::new(),
            resource: resource.to_owned(),
            kind: kind.to_owned(),
            is_namespaced: true,
            versions: vec!["v1".to_owned()],
        }],
        unknown: Vec::new(),
    }
}

const NAMES: &str = "// ---
// name: names
// match: {resources: [v1/configmaps, v1/secrets], operations: [CREATE]}
// ---
// @require the name is allowed
!object.metadata.name.startsWith('bad') && object.kind != '' && object.apiVersion == 'v1'
// @message
object.metadata.name + ' holds ' + object.?data.?key.orValue('nothing')
";

/// Scans with these answers.
async fn scan(
    text: &str,
    discovery: &Discovery,
    answers: Vec<Answer>,
    limits: Limits,
) -> (Scanned, Vec<String>) {
    scan_with(&set(text), discovery, answers, limits, None).await
}

async fn scan_with(
    set: &PolicySet,
    discovery: &Discovery,
    answers: Vec<Answer>,
    limits: Limits,
    journal: Option<&Mutex<Journal>>,
) -> (Scanned, Vec<String>) {
    let plan = Plan::of(set, discovery, &Only::default());
    let (lister, asked) = scripted(answers);
    let (texts, arena) = (Texts::default(), bumpalo::Bump::new());
    let snapshot = Snapshot::new(&arena, &texts, set);
    let scan = Scan {
        set,
        plan: &plan,
        world: &snapshot,
        resources: Resources::built_in(),
        schemas: &|| Schemas::built_in_shared(),
        lister: &lister,
        namespaces: &[],
        threads: 2,
        limits,
        journal,
        now: crate::cluster::exceptions::now(),
        used: &Mutex::default(),
        give_way: &|| {},
    };
    let scanned = scan.run(&mut |_| {}, None).await;
    let asked = asked.lock().unwrap().clone();
    (scanned, asked)
}

fn subjects(scanned: &Scanned) -> Vec<String> {
    scanned.findings.kept().map(|it| it.subject()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_looked_at_and_what_is_wrong_is_found() {
    let answers = vec![
        (200, vec![], list(&["a", "bad-1"], "next")),
        (200, vec![], list(&["bad-2", "b"], "")),
    ];
    let (scanned, asked) = scan(
        NAMES,
        &discovery("configmaps", "ConfigMap"),
        answers,
        Limits::default(),
    )
    .await;
    assert_eq!(
        subjects(&scanned),
        ["ConfigMap shop/bad-1", "ConfigMap shop/bad-2"]
    );
    assert_eq!((scanned.objects, scanned.unread, asked.len()), (4, 0, 2));
    let first = scanned.findings.kept().next().unwrap();
    assert_eq!(
        (&*first.message, first.result),
        ("bad-1 holds nothing", Rating::Fail)
    );
    assert_eq!(first.to_diagnostic().code, "names");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_forgotten_is_begun_anew_and_nothing_is_found_twice() {
    let gone = json!({"kind": "Status", "metadata": {"continue": "as-of-now"}}).to_string();
    let begun = || (200, vec![], list(&["bad-1"], "next"));
    let answers = vec![
        begun(),
        (410, vec![], gone.clone()),
        begun(),
        (410, vec![], gone.clone()),
        begun(),
        (410, vec![], gone),
        (200, vec![], list(&["bad-2"], "")),
    ];
    let (scanned, asked) = scan(
        NAMES,
        &discovery("configmaps", "ConfigMap"),
        answers,
        Limits::default(),
    )
    .await;
    assert_eq!(
        subjects(&scanned),
        ["ConfigMap shop/bad-1", "ConfigMap shop/bad-2"]
    );
    assert_eq!(scanned.objects, 2);
    let last = asked.last().unwrap();
    assert!(
        last.ends_with("continue=as-of-now"),
        "in the end it goes on: {last}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_holds_is_never_said() {
    let secret =
        json!({"metadata": {"name": "bad", "namespace": "shop"}, "data": {"key": "c2VjcmV0"}});
    let page = json!({"metadata": {}, "items": [secret]}).to_string();
    let (scanned, _) = scan(
        NAMES,
        &discovery("secrets", "Secret"),
        vec![(200, vec![], page)],
        Limits::default(),
    )
    .await;
    let found = scanned.findings.kept().next().unwrap();
    assert_eq!(&*found.message, "the name is allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_computed_from_secrets_is_never_said() {
    let reading = NAMES.replace("// match:", "// reads: [v1/Secret]\n// match:");
    let (scanned, _) = scan(
        &reading,
        &discovery("configmaps", "ConfigMap"),
        vec![(200, vec![], list(&["bad-1"], ""))],
        Limits::default(),
    )
    .await;
    let found = scanned.findings.kept().next().unwrap();
    assert_eq!(&*found.message, "the name is allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_than_is_kept_is_counted() {
    let names: Vec<String> = (0..50).map(|at| format!("bad-{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let limits = Limits {
        of_namespace: 10,
        of_all: 100,
    };
    let (scanned, _) = scan(
        NAMES,
        &discovery("configmaps", "ConfigMap"),
        vec![(200, vec![], list(&names, ""))],
        limits,
    )
    .await;
    assert_eq!(scanned.findings.kept().count(), 10);
    assert_eq!(scanned.findings.omitted(), 40);
    assert_eq!(scanned.findings.by_policy()["names"].fail, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_changed_is_a_finding() {
    let text = "// ---
// name: labels
// match: {resources: [v1/configmaps]}
// mutate: true
// ---
// @patch
!has(object.data) ? [JSONPatch{op: 'add', path: '/data', value: {'a': 'b'}}] : []
";
    let page = json!({"metadata": {}, "items": [
        {"metadata": {"name": "bare", "namespace": "shop"}},
        {"metadata": {"name": "full", "namespace": "shop"}, "data": {"c": "d"}},
    ]});
    let answers = vec![(200, vec![], page.to_string())];
    let (scanned, _) = scan(
        text,
        &discovery("configmaps", "ConfigMap"),
        answers,
        Limits::default(),
    )
    .await;
    assert_eq!(subjects(&scanned), ["ConfigMap shop/bare"]);
    let found = scanned.findings.kept().next().unwrap();
    assert_eq!(
        (&*found.message, found.result),
        ("would be changed at /data", Rating::Warn)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_on_trial_is_found_as_one_that_is_made() {
    let adds = |name: &str, action: &str, field: &str| {
        let text = format!(
            "// ---\n// name: {name}\n// action: {action}\n// mutate: true\n\
             // match: {{resources: [v1/configmaps]}}\n// ---\n// @patch\n!has(object.{field}) ? \
             [JSONPatch{{op: 'add', path: '/{field}', value: {{'a': 'b'}}}}] : []\n"
        );
        Source::new(format!("{name}.cel"), text)
    };
    let set = set_of(&[
        adds("a-trial", "audit", "binaryData"),
        adds("made", "deny", "data"),
        adds("no-need", "audit", "metadata"),
        adds("tried", "[warn, audit]", "data"),
    ]);
    let page =
        json!({"metadata": {}, "items": [{"metadata": {"name": "bare", "namespace": "shop"}}]});
    let answers = vec![(200, vec![], page.to_string())];
    let configmaps = discovery("configmaps", "ConfigMap");
    let (scanned, _) = scan_with(&set, &configmaps, answers, Limits::default(), None).await;
    let mut found: Vec<String> = scanned
        .findings
        .kept()
        .map(|it| format!("{} {} {:?}", it.policy.policy.name, it.message, it.result))
        .collect();
    found.sort();
    // What is made comes first in the order of names, so that nothing is left for `tried`.
    assert_eq!(
        found,
        [
            "a-trial would be changed at /binaryData Warn",
            "made would be changed at /data Warn",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_cannot_be_listed_is_a_problem_and_one_that_is_gone_is_none() {
    for (code, problems) in [(403, 1), (404, 0)] {
        let (scanned, _) = scan(
            NAMES,
            &discovery("configmaps", "ConfigMap"),
            vec![(code, vec![], String::new())],
            Limits::default(),
        )
        .await;
        assert_eq!(scanned.problems.len(), problems, "{code}");
        assert_eq!(scanned.is_whole(), problems == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_exception_excuses_is_not_found_while_it_lasts() {
    for (expires, expected) in [("2999-12-31", 1), ("2020-01-01", 2)] {
        let exception = format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {{name: known}}\nspec: \
             {{policies: [names], match: {{names: [bad-1]}}, reason: old, owner: team, expires: {expires}}}\n"
        );
        let sources = [
            Source::new("p.cel", NAMES),
            Source::new("e.yaml", exception),
        ];
        let (scanned, _) = scan_with(
            &set_of(&sources),
            &discovery("configmaps", "ConfigMap"),
            vec![(200, vec![], list(&["bad-1", "bad-2"], ""))],
            Limits::default(),
            None,
        )
        .await;
        let found = subjects(&scanned);
        assert_eq!(found.len(), expected, "{expires}: {found:?}");
        assert!(
            found.contains(&"ConfigMap shop/bad-2".to_owned()),
            "{found:?}"
        );
        let excused = scanned.findings.excused();
        let excused: Vec<String> = excused.map(|it| it.finding.subject()).collect();
        assert_eq!(excused.len(), 2 - expected);
        assert!(excused.iter().all(|it| it == "ConfigMap shop/bad-1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_excused_a_share_is_kept_and_all_is_counted() {
    let exception = "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: known}\nspec: \
                     {policies: [names], match: {names: [bad-1]}, reason: old, owner: team, expires: 2999-12-31}\n";
    let set = set_of(&[
        Source::new("p.cel", NAMES),
        Source::new("e.yaml", exception),
    ]);
    let limits = Limits {
        of_namespace: 8,
        of_all: 20,
    };
    let (scanned, _) = scan_with(
        &set,
        &discovery("configmaps", "ConfigMap"),
        vec![
            (200, vec![], list(&["bad-1", "bad-2", "bad-1"], "next")),
            (200, vec![], list(&["bad-1", "bad-1", "bad-1"], "")),
        ],
        limits,
        None,
    )
    .await;
    let findings = &scanned.findings;
    let counts = findings.counts();
    assert_eq!((counts.all(), counts.excused), (1, 5));
    let kept: Vec<_> = findings.excused().map(|it| it.to_diagnostic()).collect();
    assert_eq!((kept.len(), findings.excused_omitted()), (2, 3));
    assert_eq!(
        kept[0].message,
        "bad-1 holds nothing (excused by `known` until 2999-12-31)"
    );
    assert_eq!(kept[0].severity, Severity::Note);
    assert_eq!(kept[0].help.as_deref(), Some("old (team)"));
    assert_eq!(kept[0].excuse.as_ref().unwrap().owner, "team");
}

#[test]
fn objects_of_lists_get_their_kind() {
    let whole = |text: &str| {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        whole_text(raw, "v1", "Pod").into_owned()
    };
    for (text, expected) in [
        ("{}", r#"{"kind":"Pod","apiVersion":"v1"}"#),
        (r#"{"a":1}"#, r#"{"kind":"Pod","apiVersion":"v1","a":1}"#),
        (
            r#"{"kind":"X","a":1}"#,
            r#"{"apiVersion":"v1","kind":"X","a":1}"#,
        ),
        (
            r#"{"kind":"X","apiVersion":"y"}"#,
            r#"{"kind":"X","apiVersion":"y"}"#,
        ),
    ] {
        assert_eq!(whole(text), expected);
    }
}
