//! `check --fix`, `--diff` and `--in-place`: what mutations make of manifests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::Folder;

/// Wants three replicas, and gives them, if it is switched on.
const REPLICAS: &str = "\
// ---
// name: replicas
// match: {resources: [apps/v1/deployments], operations: [CREATE, UPDATE]}
// failurePolicy: Fail
// ---

// @require there are three replicas
object.spec.replicas >= 3

// @patch
object.spec.replicas < 3 ? [JSONPatch{op: 'add', path: '/spec/replicas', value: 3}] : []
";

/// Gives every container a security context, and wants an owner, which nobody can invent.
const CONTEXT: &str = "\
// ---
// name: context
// match: {resources: [apps/v1/deployments], operations: [CREATE, UPDATE]}
// failurePolicy: Fail
// mutate: true
// ---

// @require there is an owner
has(object.metadata.labels) && 'owner' in object.metadata.labels

// @apply
Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
  containers: object.spec.template.spec.containers.map(it,
    Object.spec.template.spec.containers{
      name: it.name,
      securityContext: Object.spec.template.spec.containers.securityContext{
        runAsNonRoot: true
      }
    })
}}}}
";

const DEPLOYMENT: &str = "\
# The web.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {owner: me}}   # mine
spec:
  # Enough for a test.
  replicas: 1  # one
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: 'web'
        image: web:1

      # Beside it.
      - image: proxy
        name: proxy
";

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}  # c\n";

fn folder(text: &str) -> Folder {
    Folder::with(&[
        ("d.yaml", text),
        ("p/replicas.cel", REPLICAS),
        ("p/context.cel", CONTEXT),
    ])
}

#[test]
fn what_is_printed_is_the_text_with_what_is_changed_and_nothing_else() {
    let folder = folder(&format!("{DEPLOYMENT}---\n{CONFIG_MAP}"));
    let output = folder.run("check d.yaml --policies p --fix --mutate replicas");
    assert_eq!(output.code, Some(0), "{output:?}");
    let context =
        |after: &str| format!("{after}        securityContext:\n          runAsNonRoot: true\n");
    let wanted = DEPLOYMENT
        .replace("replicas: 1  #", "replicas: 3  #")
        .replace("        image: web:1\n", &context("        image: web:1\n"))
        .replace("        name: proxy\n", &context("        name: proxy\n"));
    assert_eq!(output.out, format!("{wanted}---\n{CONFIG_MAP}"));
    assert_eq!(
        output.err.lines().next(),
        Some("1 object changed in 1 file"),
        "{output:?}"
    );
    // What was changed is not changed again.
    folder.write("d.yaml", output.out.as_bytes());
    let again = folder.run("check d.yaml --policies p --fix --mutate all");
    assert_eq!(again.out, output.out);
}

#[test]
fn a_mutation_that_is_off_changes_nothing_and_is_named() {
    let folder = Folder::with(&[("d.yaml", DEPLOYMENT), ("p.cel", REPLICAS)]);
    let output = folder.run("check d.yaml --policies p.cel --fix");
    assert_eq!(output.out, DEPLOYMENT);
    assert_eq!(output.code, Some(1));
    assert!(output.err.contains("error[replicas]"), "{output:?}");
    let off = "note: these mutations are switched off (switch them on with --mutate): replicas\n";
    assert!(output.err.contains(off), "{output:?}");
    let on_trial = REPLICAS.replace(
        "// failurePolicy: Fail",
        "// action: audit\n// mutate: true",
    );
    folder.write("trial.cel", on_trial.as_bytes());
    let output = folder.run("check d.yaml --policies trial.cel --fix");
    assert_eq!(output.out, DEPLOYMENT);
    let tried = "note: these mutations are on trial, and only recorded (`portcullis explain replicas --object";
    assert!(output.err.contains(tried), "{output:?}");
    folder.write("c.yaml", b"overrides: {replicas: {mutate: true}}\n");
    folder.write("off.yaml", b"overrides: {replicas: {mutate: false}}\n");
    let fixed = DEPLOYMENT.replace("replicas: 1  #", "replicas: 3  #");
    for (more, text, code) in [
        ("--config c.yaml", fixed.as_str(), 0),
        ("--mutate all", &fixed, 0),
        ("--mutate all --config off.yaml", DEPLOYMENT, 1),
        ("--mutate replicas --config off.yaml", &fixed, 0),
    ] {
        let output = folder.run(&format!("check d.yaml --policies p.cel --fix {more}"));
        assert_eq!(
            (output.out.as_str(), output.code),
            (text, Some(code)),
            "{more}"
        );
    }
}

#[test]
fn what_is_left_is_said_of_the_text_that_is_printed() {
    let folder = folder(&DEPLOYMENT.replace(", labels: {owner: me}", ""));
    let output = folder.run("check d.yaml --policies p --fix --mutate all --format json");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.out.contains("runAsNonRoot"));
    assert!(output.err.contains("\"code\": \"context\""), "{output:?}");
    assert!(!output.err.contains("\"code\": \"replicas\""), "{output:?}");
}

#[test]
fn a_difference_is_one_that_patch_applies() {
    let folder = folder(DEPLOYMENT);
    let output = folder.run("check d.yaml --policies p --diff --mutate all");
    let wanted = [
        "--- a/d.yaml",
        "+++ b/d.yaml",
        "@@ -4,7 +4,7 @@",
        " metadata: {name: web, labels: {owner: me}}   # mine",
        " spec:",
        "   # Enough for a test.",
        "-  replicas: 1  # one",
        "+  replicas: 3  # one",
        "   selector: {matchLabels: {app: web}}",
        "   template:",
        "     metadata: {labels: {app: web}}",
        "@@ -12,7 +12,11 @@",
        "       containers:",
        "       - name: 'web'",
        "         image: web:1",
        "+        securityContext:",
        "+          runAsNonRoot: true",
        " ",
        "       # Beside it.",
        "       - image: proxy",
        "         name: proxy",
        "+        securityContext:",
        "+          runAsNonRoot: true",
        "",
    ];
    assert_eq!(output.out, wanted.join("\n"));
    let coloured = folder.run("check d.yaml --policies p --diff --mutate replicas --color always");
    assert!(
        coloured
            .out
            .contains("\u{1b}[31m-  replicas: 1  # one\u{1b}[0m\n\u{1b}[32m+  replicas: 3"),
        "{coloured:?}"
    );
    let none = folder.run("check d.yaml --policies p/replicas.cel --diff");
    assert_eq!((none.out.as_str(), none.code), ("", Some(1)));
}

#[test]
fn files_are_written_back_with_their_permissions_and_behind_their_links() {
    let folder = folder(CONFIG_MAP);
    folder.write("m/real.txt", DEPLOYMENT.as_bytes());
    folder.write("m/same.yaml", CONFIG_MAP.as_bytes());
    let path = |name: &str| folder.path().join(name);
    symlink(path("m/real.txt"), path("m/link.yaml")).unwrap();
    fs::set_permissions(path("m/real.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(path("m/same.yaml"))
        .unwrap()
        .modified()
        .unwrap();
    let output = folder.run("check m --policies p -i --mutate all");
    assert_eq!(
        (output.code, output.out.as_str()),
        (Some(0), ""),
        "{output:?}"
    );
    assert!(output.err.contains("m/link.yaml: changed\n"), "{output:?}");
    let text = fs::read_to_string(path("m/real.txt")).unwrap();
    assert!(text.contains("replicas: 3  # one") && text.contains("# Beside it."));
    assert!(path("m/link.yaml").is_symlink());
    let mode = fs::metadata(path("m/real.txt"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let after = fs::metadata(path("m/same.yaml"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
    let left: Vec<_> = fs::read_dir(path("m")).unwrap().collect();
    assert_eq!(left.len(), 3, "no temporary file is left: {left:?}");
}

#[test]
fn nothing_is_printed_or_written_unless_everything_can_be_used() {
    let folder = folder(DEPLOYMENT);
    folder.write("broken.yaml", b"kind: [\n");
    for line in ["--fix", "--diff", "--in-place"] {
        let output = folder.run(&format!("check . --policies p --mutate all {line}"));
        assert_eq!(
            (output.code, output.out.as_str()),
            (Some(2), ""),
            "{line}: {output:?}"
        );
    }
    let text = fs::read_to_string(folder.path().join("d.yaml")).unwrap();
    assert_eq!(text, DEPLOYMENT);
    for (line, problem) in [
        ("- --in-place", "standard input cannot be written back"),
        ("d.yaml --mutate all", "`--mutate` goes with"),
        ("d.yaml --fix --mutate replica", "did you mean `replicas`?"),
    ] {
        let output = folder.run_with(&format!("check --policies p {line}"), DEPLOYMENT);
        assert_eq!(output.code, Some(2), "{line}");
        assert!(output.err.contains(problem), "{line}: {output:?}");
    }
}

#[test]
fn json_stays_json_and_several_texts_are_one_stream() {
    let folder = folder(CONFIG_MAP);
    let json = "{\n  \"apiVersion\": \"apps/v1\",\n  \"kind\": \"Deployment\",\n  \"metadata\": \
                {\"name\": \"a\", \"labels\": {\"owner\": \"b\"}},\n  \"spec\": {\"selector\": {}}\n}";
    folder.write("j.json", json.as_bytes());
    let line = "check j.json d.yaml - --policies p/replicas.cel --fix --mutate all";
    let output = folder.run_with(line, &format!("---\n{CONFIG_MAP}"));
    assert_eq!(output.code, Some(0), "{output:?}");
    let fixed = json.replace("{\"selector\": {}}", "{\"selector\": {}, \"replicas\": 3}");
    assert_eq!(
        output.out,
        format!("{fixed}\n---\n{CONFIG_MAP}---\n{CONFIG_MAP}")
    );
}

#[test]
fn a_mutation_that_fails_is_a_finding_and_changes_nothing() {
    let folder = Folder::with(&[(
        "p.cel",
        &REPLICAS.replace("'/spec/replicas'", "'/spec/gone/replicas'"),
    )]);
    folder.write("d.yaml", DEPLOYMENT.as_bytes());
    let output = folder.run("check d.yaml --policies p.cel --fix --mutate all");
    assert_eq!((output.code, output.out.as_str()), (Some(1), DEPLOYMENT));
    assert!(
        output.err.contains("add operation does not apply"),
        "{output:?}"
    );
}

#[test]
fn a_mutation_is_explained_with_an_object() {
    let folder = folder(&format!("{DEPLOYMENT}---\n{CONFIG_MAP}"));
    let output = folder.run("explain replicas --policies p --object d.yaml");
    let wanted = "\
Deployment default/web

before:
  spec:
    replicas: 1

patch:
  {\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":3}

after:
  spec:
    replicas: 3

Deployment default/web: denied: there are three replicas

requires there are three replicas
  object.spec.replicas >= 3  false
  └─ object.spec.replicas    1

ConfigMap default/c: the policy is not about it
";
    assert_eq!(
        (output.out.as_str(), output.code),
        (wanted, Some(1)),
        "{output:?}"
    );
    assert!(
        output.err.contains("its mutation is switched off"),
        "{output:?}"
    );
    folder.write("on.yaml", b"overrides: {replicas: {mutate: true}}\n");
    let output = folder.run("explain replicas --policies p --config on.yaml --object d.yaml");
    assert_eq!(
        (output.code, output.err.as_str()),
        (Some(0), ""),
        "{output:?}"
    );
    let admitted = "Deployment default/web: admitted\n\nrequires there are three replicas\n  object.spec.replicas >= 3  true";
    assert!(output.out.contains(admitted), "{output:?}");
    for (line, problem) in [
        (
            "explain replica --policies p --object d.yaml",
            "did you mean `replicas`?",
        ),
        (
            "explain replicas --policies p --object gone.yaml",
            "there is no such file",
        ),
        (
            "explain --function size --object d.yaml",
            "cannot be used with",
        ),
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(2), "{line}");
        assert!(output.err.contains(problem), "{line}: {output:?}");
    }
}

#[test]
fn a_mutation_is_explained_by_the_file_it_is_in() {
    let folder = folder(DEPLOYMENT);
    let by_name = folder.run("explain replicas --policies p --object d.yaml");
    let by_file = folder.run("explain p/replicas.cel --object d.yaml");
    assert_eq!(
        (by_file.code, &by_file.out),
        (Some(1), &by_name.out),
        "{by_file:?}"
    );
    assert!(
        by_file.out.contains("Deployment default/web"),
        "{by_file:?}"
    );
    // On trial it is not made by a server, and explained all the same.
    let on_trial = REPLICAS.replace(
        "// failurePolicy: Fail",
        "// action: audit\n// mutate: true",
    );
    folder.write("p/replicas.cel", on_trial.as_bytes());
    let tried = folder.run("explain p/replicas.cel --object d.yaml");
    let recorded = by_name
        .out
        .replace(": denied: ", ": admitted and recorded: ");
    assert_eq!(tried.out, recorded, "{tried:?}");
    let none = folder.run("explain d.yaml --object d.yaml");
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(
        none.err.contains("there is no policy in `d.yaml`"),
        "{none:?}"
    );
}
