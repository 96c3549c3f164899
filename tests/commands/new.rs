//! `new`: what it makes is whole, and what is there stays as it is.

use std::fs;

use super::Folder;

#[test]
fn a_new_policy_and_its_tests_are_there_and_what_to_do_next_is_said() {
    let folder = Folder::with(&[]);
    let output = folder.run("new owned-workloads");
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(output.out, @r#"
    made policies/owned-workloads.cel
    made policies/owned-workloads.test.yaml

    Say in policies/owned-workloads.cel what must hold, and in policies/owned-workloads.test.yaml what that means. Then:

      portcullis test policies/owned-workloads.cel --coverage
      portcullis lint policies/owned-workloads.cel
      portcullis check MANIFESTS --policies policies/owned-workloads.cel
      portcullis serve --policies policies/owned-workloads.cel
    "#);
    let written = fs::read_to_string(folder.path().join("policies/owned-workloads.cel")).unwrap();
    insta::assert_snapshot!(written, @r#"
    // Say here why the policy is there: what goes wrong, and for whom, if it is broken. This example
    // wants to know whom to ask about an object.
    //
    // ---
    // severity: medium            # info, low, medium, high or critical
    // category: ownership
    // match:
    //   resources: [apps/v1/deployments]
    //   operations: [CREATE, UPDATE]
    // action: deny                # or warn, or audit
    // settings:
    //   label: owner
    // ---

    // @when it is not being deleted
    !has(object.metadata.deletionTimestamp)

    // @let owner
    object.metadata.?labels[?settings.label].orValue('')

    // @require somebody owns it
    variables.owner != ''
    // @message
    'Deployment ' + object.metadata.?name.orValue('') + ' has no label ' + settings.label
    "#);
    let tests = folder.path().join("policies/owned-workloads.test.yaml");
    insta::assert_snapshot!(fs::read_to_string(tests).unwrap(), @r#"
    # Each case is the object `base` with something changed, and what becomes of it.
    base:
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: example
        labels: {owner: team-a}
    cases:
      - name: what somebody owns is admitted
        expect: admit
      - name: what nobody owns is denied
        remove: [metadata.labels]
        expect: {deny: Deployment example has no label owner}
      - name: the label is a setting
        settings: {label: team}
        expect: {deny: Deployment example has no label team}
      - name: what is being deleted is left alone
        remove: [metadata.labels]
        set: {metadata.deletionTimestamp: '2026-01-01T00:00:00Z'}
        expect: skip
    "#);
}

#[test]
fn what_is_made_passes_its_tests_is_covered_and_free_of_findings() {
    let folder = Folder::with(&[]);
    let kinds = [
        "apps/v1/deployments",
        "Pod",
        "node",
        "v1/ConfigMap",
        "networkpolicies",
        "horizontalpodautoscalers",
        "batch/*/cronjobs",
        "CustomResourceDefinition",
        "nsm.nginx.com/v1alpha2/MeshConfig",
        "example.com/v1beta1/policies",
    ];
    for (at, kind) in kinds.iter().enumerate() {
        for (form, flag) in [("decides", ""), ("mends", "--mutate")] {
            let line = format!("new {form}-{at} --kind {kind} --dir a/b {flag}");
            let output = folder.run(&line);
            assert_eq!(output.code, Some(0), "{line}: {output:?}");
            assert_eq!(
                output.err.contains("is guessed"),
                kind.contains(".com/"),
                "{line}: {output:?}"
            );
        }
    }
    let output = folder.run("test a --coverage");
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.err, "110 cases in 20 files: 110 passed, 0 failed\n");
    let output = folder.run("lint a");
    assert_eq!(
        (output.code, output.out.as_str()),
        (Some(0), ""),
        "{output:?}"
    );
    let output = folder.run("export a/b/mends-0.cel");
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn nothing_is_overwritten_and_nothing_half_made() {
    let folder = Folder::with(&[
        ("p/a.cel", "mine"),
        ("p/b.test.yaml", "mine"),
        ("file", "mine"),
    ]);
    std::os::unix::fs::symlink("gone", folder.path().join("p/c.cel")).unwrap();
    for (line, problem) in [
        (
            "new a --dir p",
            "error: `p/a.cel` is there already, and nothing is overwritten\n",
        ),
        (
            "new b --dir p",
            "error: `p/b.test.yaml` is there already, and nothing is overwritten\n",
        ),
        (
            "new c --dir p",
            "error: `p/c.cel` is there already, and nothing is overwritten\n",
        ),
        (
            "new d --dir file",
            "error: cannot make the folder `file`: File exists (os error 17)\n",
        ),
        (
            "new My_Policy",
            "error: `My_Policy` cannot be the name of a policy: it must be lower case letters, digits, \
             `-` or `.`, beginning and ending with a letter or digit; did you mean `my-policy`?\n",
        ),
        (
            "new ../a",
            "error: `../a` cannot be the name of a policy: it must be lower case letters, digits, \
             `-` or `.`, beginning and ending with a letter or digit; did you mean `a`?\n",
        ),
        (
            "new d --kind widgets",
            "error: `--kind widgets`: Kubernetes has no such kind; write `group/version/resource`, such \
             as `apps/v1/deployments` or `v1/pods`, or the kind in place of the resource\n",
        ),
    ] {
        let output = folder.run(line);
        assert_eq!(
            (output.code, output.err.as_str()),
            (Some(2), problem),
            "{line}"
        );
        assert_eq!(output.out, "", "{line}");
    }
    for (name, text) in [("p/a.cel", "mine"), ("p/b.test.yaml", "mine")] {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
    }
    let names = fs::read_dir(folder.path().join("p")).unwrap();
    assert_eq!(names.count(), 3, "nothing is made beside what is there");
    assert!(!folder.path().join("policies").exists());
}
