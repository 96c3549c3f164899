//! Input that is no good: each gets a clear answer, and none a hang or a crash.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{Folder, REPLICAS, deployment};

/// A folder with a good policy, a good manifest, and one of everything that is bad.
fn folder() -> Folder {
    let folder = Folder::with(&[
        ("good.cel", REPLICAS),
        ("good.yaml", &deployment("web", 3)),
        ("empty/readme.txt", ""),
        (
            "broken.cel",
            "// ---\n// match: {resources: [v1/pods]}\n// ---\n// @require it\nobject.\n",
        ),
        ("values.yaml", "replicas: 3\n"),
        ("nothing.yaml", "# nothing\n---\n"),
        ("control.cel", "// @require\u{1} x\ntrue\n"),
    ]);
    folder.write("latin.yaml", b"a: \xe9\n");
    folder.write("latin.cel", b"// \xe9\n");
    folder.write("large.cel", &vec![b' '; (16 << 20) + 1]);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    folder.write("deep.yaml", deep.as_bytes());
    folder.write("twice.yaml", b"apiVersion: v1\nkind: Pod\nkind: Pod\n");
    let terms = vec!["1"; 100_000].join("+");
    let policy = format!(
        "// ---\n// match: {{resources: [v1/pods]}}\n// ---\n// @require it\n{terms} > 0\n"
    );
    folder.write("terms.cel", policy.as_bytes());
    let policy = format!("{REPLICAS}\n// {}\n", "x".repeat(1 << 20));
    folder.write("megabyte.cel", policy.as_bytes());
    let made = Command::new("mkfifo")
        .arg(folder.path().join("pipe.cel"))
        .status();
    assert!(made.unwrap().success());
    folder
}

#[test]
fn a_policy_that_cannot_be_used_ends_the_check_with_2() {
    let folder = folder();
    for (path, problem) in [
        (
            "gone.cel",
            "error[file/unreadable]: `gone.cel` cannot be read: there is no such file or folder",
        ),
        (
            "pipe.cel",
            "error[file/not-a-file]: `pipe.cel` is a named pipe, not a file",
        ),
        (
            "empty",
            "error[file/empty]: there are no policies in `empty`",
        ),
        (
            "latin.cel",
            "error[file/not-text]: `latin.cel` is not a UTF-8 text: byte 3, in line 1",
        ),
        (
            "large.cel",
            "error[file/too-large]: `large.cel` is larger than 16 MiB",
        ),
        (
            "good.yaml",
            "error[file/empty]: there are no policies in `good.yaml`",
        ),
        ("broken.cel", "error[cel/compile]"),
        ("control.cel", "error[policy/not-text]"),
        ("terms.cel", "error["),
        (
            "/dev/zero",
            "error[file/not-a-file]: `/dev/zero` is a device, not a file",
        ),
    ] {
        let output = folder.run(&format!("check good.yaml --policies {path}"));
        assert_eq!(output.code, Some(2), "{path}: {output:?}");
        assert!(output.out.contains(problem), "{path}: {output:?}");
        assert_eq!(
            output.err, "no object was checked, because not all policies can be used\n",
            "{path}"
        );
    }
}

#[test]
fn a_large_policy_is_read_like_any_other() {
    let output = folder().run("check good.yaml --policies megabyte.cel");
    assert_eq!(
        output.code,
        Some(0),
        "{}",
        output.out.get(..1000).unwrap_or(&output.out)
    );
}

#[test]
fn a_manifest_that_cannot_be_read_does_not_hide_the_others() {
    let folder = folder();
    for (path, problem) in [
        (
            "gone.yaml",
            "error[file/unreadable]: `gone.yaml` cannot be read",
        ),
        (
            "pipe.cel",
            "error[file/not-a-file]: `pipe.cel` is a named pipe, not a file",
        ),
        (
            "latin.yaml",
            "error[file/not-text]: `latin.yaml` is not a UTF-8 text: byte 3, in line 1",
        ),
        ("deep.yaml", "error[manifest/yaml]"),
        ("twice.yaml", "error[manifest/yaml]"),
        (
            "values.yaml",
            "error[manifest/required]: `apiVersion` is missing or empty",
        ),
    ] {
        let output = folder.run(&format!("check {path} good.yaml --policies good.cel"));
        assert_eq!(output.code, Some(2), "{path}: {output:?}");
        assert!(output.out.contains(problem), "{path}: {output:?}");
        assert_eq!(output.summary(), "1 object checked, 0 violations", "{path}");
    }
}

#[test]
fn what_may_not_be_read_is_said() {
    let folder = folder();
    let locked = folder.path().join("locked.yaml");
    fs::write(&locked, "").unwrap();
    fs::set_permissions(&locked, Permissions::from_mode(0o000)).unwrap();
    if fs::read(&locked).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let output = folder.run("check locked.yaml --policies good.cel");
    assert!(
        output
            .out
            .contains("`locked.yaml` cannot be read: permission denied"),
        "{output:?}"
    );
    assert_eq!(output.code, Some(2));
}

#[test]
fn nothing_to_check_is_no_success() {
    let folder = folder();
    for (line, input) in [
        ("nothing.yaml", ""),
        ("empty", ""),
        ("-", ""),
        ("-", "---\n# no\n"),
    ] {
        let output = folder.run_with(&format!("check {line} --policies good.cel"), input);
        assert_eq!(output.code, Some(2), "{line}: {output:?}");
        assert!(
            output
                .out
                .contains("error[file/empty]: there are no objects to check"),
            "{output:?}"
        );
    }
}

#[test]
fn arguments_that_contradict_each_other_are_refused() {
    let folder = folder();
    for (line, problem) in [
        ("check", "<FILE>"),
        (
            "check - --policies -",
            "standard input can be read only once",
        ),
        (
            "check good.yaml --old good.yaml --operation DELETE",
            "cannot be used with",
        ),
        ("check good.yaml --format xml", "unknown format `xml`"),
        ("check good.yaml --format jsn", "did you mean `json`?"),
        ("check good.yaml --group a", "--user"),
        (
            "check good.yaml --operation CONNECT",
            "invalid value 'CONNECT'",
        ),
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output:?}");
        assert!(output.err.contains(problem), "{line}: {output:?}");
        assert_eq!(output.out, "", "{line}");
    }
}

#[test]
fn nothing_is_waited_for_or_read_without_end() {
    let folder = folder();
    folder.write("p/replicas.cel", REPLICAS.as_bytes());
    let huge = std::fs::File::create(folder.path().join("huge.yaml")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let pipe = "`pipe.cel` is a named pipe, not a file";
    let device = "`/dev/zero` is a device, not a file";
    for (line, problem) in [
        ("audit --decisions pipe.cel", pipe),
        ("audit --decisions /dev/zero", device),
        ("audit --policies p --kubeconfig pipe.cel", pipe),
        ("audit --policies p --kubeconfig /dev/zero", device),
        (
            "audit --policies p --kubeconfig huge.yaml",
            "the kubeconfig `huge.yaml` is larger than 16 MiB",
        ),
        (
            "audit --policies p --kubeconfig gone",
            "the kubeconfig `gone` cannot be read: there is no such file or folder\n",
        ),
        ("lint p --kubeconfig pipe.cel", pipe),
        (
            "check good.yaml --policies p --config huge.yaml",
            "`huge.yaml` is larger than 16 MiB",
        ),
        (
            "check good.yaml --policies p --config pipe.cel",
            "the configuration `pipe.cel` is not a regular file",
        ),
        ("manifests --service a/b --policies p --ca pipe.cel", pipe),
        (
            "manifests --service a/b --policies p --ca /dev/zero",
            device,
        ),
        (
            "serve --cluster none --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --decision-log pipe.cel",
            "the decision log `pipe.cel` cannot be opened: it is a named pipe, not a file",
        ),
        (
            "serve --cluster none --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-level loud",
            "`loud` is no level: one of error, warn, info, debug, trace, off",
        ),
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output:?}");
        assert!(output.err.contains(problem), "{line}: {output:?}");
    }
}

#[test]
fn what_is_given_twice_is_there_once() {
    let folder = folder();
    folder.write("p/replicas.cel", REPLICAS.as_bytes());
    for line in [
        "check good.yaml ./good.yaml --policies p --policies p/replicas.cel",
        "check good.yaml --policies p --policies p",
    ] {
        let output = folder.run(line);
        assert!(
            output.err.contains("1 object checked, "),
            "{line}: {output:?}"
        );
        assert!(!output.out.contains("duplicate-name"), "{line}: {output:?}");
    }
    let output = folder.run("explain replicas --object - --policies -");
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.err.contains("standard input can be read only once"),
        "{output:?}"
    );
    let output = folder.run("check good.yaml --policies p --namespace a/b");
    assert!(
        output.err.contains("`a/b` is no name of a namespace"),
        "{output:?}"
    );
    let output = folder.run("export good.yaml");
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.err.contains("there are no policies in `good.yaml`"),
        "{output:?}"
    );
}

#[test]
fn results_that_cannot_be_written_are_no_success() {
    let folder = folder();
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else {
        return;
    };
    let run = |line: &str, out: fs::File| {
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(line.split_whitespace())
            .current_dir(folder.path())
            .stdout(out)
            .output()
            .unwrap()
    };
    for line in [
        "check good.yaml --policies good.cel --format sarif",
        "lint good.cel --format json",
        "export good.cel",
    ] {
        let output = run(line, full.try_clone().unwrap());
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{line}: {err}");
        let said = "error: the results cannot be written: No space left on device";
        assert_eq!(err.matches(said).count(), 1, "{line}: {err}");
    }
}
