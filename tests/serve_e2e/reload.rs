//! Policies that are saved while reviews come in, in every way files are saved.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::Load;
use crate::support::client::Client;
use crate::support::process::{Launch, Process, respond};
use crate::support::{BOUND, eventually};
use crate::{ALONE, assert_plainly_allowed, creation, denial, review};

/// How soon a saved policy is in force.
const SOON: Duration = Duration::from_secs(1);

/// A policy that denies every Deployment and says which version of it does.
fn version(version: usize) -> String {
    format!(
        "// ---\n\
         // match: {{resources: [apps/v1/deployments], operations: ['*']}}\n\
         // ---\n\
         // @require version {version}\n\
         object == null && oldObject == null\n"
    )
}

/// Returns the versions that deny, in order of the policies' names.
fn versions(response: &Value) -> Vec<usize> {
    if response["allowed"] == true {
        return Vec::new();
    }
    let read = |line: &str| {
        let version = line.rsplit_once(": version ");
        let version = version.unwrap_or_else(|| panic!("a wrong answer: {line}"));
        version.1.parse().unwrap()
    };
    denial(response).lines().map(read).collect()
}

/// Accepts denials by one policy whose version never goes back.
fn forwards() -> impl FnMut(&Value) {
    let mut last = 0;
    move |response| {
        let versions = versions(response);
        assert_eq!(versions.len(), 1, "{response:#}");
        assert!(versions[0] >= last, "version {} after {last}", versions[0]);
        last = versions[0];
    }
}

/// Asks until exactly these versions decide; returns how long after `saved` that was.
async fn in_force(client: &mut Client, saved: Instant, expected: &[usize]) -> Duration {
    loop {
        let asked = Instant::now();
        let response = respond(client, "/validate", &review("create")).await;
        if versions(&response) == expected {
            return asked.duration_since(saved);
        }
        assert!(
            asked.duration_since(saved) < BOUND,
            "{expected:?} is late; in force is {:?}",
            versions(&response)
        );
    }
}

/// Saves versions 1 to 5 of a policy under load; asserts that each comes into force, and most of
/// them within a second. This machine may be busy with something else for longer than that, once.
async fn assert_followed(server: &Process, mut save: impl FnMut(usize, &str)) {
    let load = Load::start(server, &review("create"), forwards).await;
    let mut client = server.client().await;
    let mut delays = Vec::new();
    for round in 1..=5 {
        let saved = Instant::now();
        save(round, &version(round));
        delays.push(in_force(&mut client, saved, &[round]).await);
    }
    load.stop().await;
    delays.sort();
    assert!(delays[2] < SOON, "{delays:?}");
}

/// Writes a file as editors do: a new one that is renamed over the old one.
fn rename_over(path: &Path, text: &str) {
    let staged = path.with_extension("cel~");
    fs::write(&staged, text).unwrap();
    fs::rename(staged, path).unwrap();
}

/// Puts what `make` makes in the place of a file, at once.
fn replace(path: &Path, make: impl FnOnce(&Path)) {
    let staged = path.with_extension("cel~");
    make(&staged);
    fs::rename(staged, path).unwrap();
}

async fn first_version() -> Process {
    Launch::new()
        .policies(&[("p.cel", &version(0))])
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_renamed_over_is_in_force_within_a_second() {
    let _alone = ALONE.lock().await;
    let server = first_version().await;
    assert_followed(&server, |_, text| {
        rename_over(&server.policy("p.cel"), text)
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_written_in_place_is_in_force_within_a_second() {
    let _alone = ALONE.lock().await;
    let server = first_version().await;
    assert_followed(&server, |_, text| {
        fs::write(server.policy("p.cel"), text).unwrap()
    })
    .await;
    server.stop().await;
}

/// Puts files into a folder as the kubelet does: a fresh folder, a link to it that is renamed over
/// the last one, and the last folder removed.
fn mount(volume: &Path, generation: usize, files: &[(&str, &str)]) {
    let name = format!("..generation_{generation}");
    fs::create_dir_all(volume.join(&name)).unwrap();
    for (file, text) in files {
        fs::write(volume.join(&name).join(file), text).unwrap();
    }
    symlink(&name, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (file, _) in files {
        if !volume.join(file).is_symlink() {
            symlink(Path::new("..data").join(file), volume.join(file)).unwrap();
        }
    }
    if let Some(last) = generation.checked_sub(1) {
        fs::remove_dir_all(volume.join(format!("..generation_{last}"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_config_map_is_in_force_within_a_second_of_its_swap() {
    let _alone = ALONE.lock().await;
    let launch = Launch::new();
    let volume = launch.folder().join("volume");
    mount(&volume, 0, &[("p.cel", &version(0))]);
    let server = launch.args(["--policies", "volume"]).start().await;
    assert_followed(&server, |round, text| {
        mount(&volume, round, &[("p.cel", text)])
    })
    .await;
    let mut client = server.client().await;
    // A second key of the ConfigMap, and then the first one removed.
    let saved = Instant::now();
    mount(
        &volume,
        6,
        &[("p.cel", &version(6)), ("q.cel", &version(60))],
    );
    in_force(&mut client, saved, &[6, 60]).await;
    let saved = Instant::now();
    mount(&volume, 7, &[("q.cel", &version(70))]);
    fs::remove_file(volume.join("p.cel")).unwrap();
    in_force(&mut client, saved, &[70]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_file_is_followed_like_a_folder() {
    let launch = Launch::new();
    let path = launch.folder().join("single.cel");
    fs::write(&path, version(1)).unwrap();
    let server = launch.args(["--policies", "single.cel"]).start().await;
    let mut client = server.client().await;
    in_force(&mut client, Instant::now(), &[1]).await;
    let saved = Instant::now();
    rename_over(&path, &version(2));
    in_force(&mut client, saved, &[2]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_come_and_go_with_their_files() {
    let server = first_version().await;
    let mut client = server.client().await;
    let saved = Instant::now();
    fs::create_dir(server.policy("more")).unwrap();
    fs::write(server.policy("more/q.cel"), version(10)).unwrap();
    in_force(&mut client, saved, &[0, 10]).await;
    let saved = Instant::now();
    fs::remove_file(server.policy("p.cel")).unwrap();
    in_force(&mut client, saved, &[10]).await;
    let saved = Instant::now();
    fs::remove_dir_all(server.policy("more")).unwrap();
    in_force(&mut client, saved, &[]).await;
    let response = respond(&mut client, "/validate", &review("create")).await;
    assert_plainly_allowed(&response);
    server.stop().await;
}

/// Breaks the file of a policy.
type Break = fn(&Path);

/// Every way a save can go wrong, with what is then said about it.
const BROKEN: [(&str, Break); 9] = [
    ("undeclared reference", |path| {
        rename_over(path, &version(99).replace("oldObject", "oldObjct"));
    }),
    ("policies/p.cel:5:", |path| {
        rename_over(path, &version(99).replace("== null &&", "=="));
    }),
    ("policies/p.cel:2:", |path| {
        // The name is in the part that cannot be read.
        rename_over(path, &version(99).replace("// match: {", "// match: {{"));
    }),
    ("unknown section", |path| {
        rename_over(path, &version(99).replace("@require", "@requier"))
    }),
    ("is not a UTF-8 text", |path| {
        fs::write(path, b"\x7fELF\xff\xfe\x00\x01").unwrap()
    }),
    ("not a text", |path| {
        fs::write(path, "\u{0}\u{1}\u{2}").unwrap()
    }),
    ("is a named pipe", |path| {
        replace(path, |staged| {
            let made = std::process::Command::new("mkfifo").arg(staged).status();
            assert!(made.unwrap().success());
        });
    }),
    ("there is no such file", |path| {
        replace(path, |staged| symlink("gone", staged).unwrap());
    }),
    ("is larger than 16 MiB", |path| {
        rename_over(path, &"/".repeat((16 << 20) + 1))
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_save_keeps_the_last_good_version_and_the_others_change() {
    let named = |number| version(number).replace("// match:", "// name: named\n// match:");
    let server = Launch::new()
        .policies(&[("p.cel", &named(1)), ("q.cel", &version(1))])
        .start()
        .await;
    let path = server.policy("p.cel");
    let mut client = server.client().await;
    let mut good = 1;
    in_force(&mut client, Instant::now(), &[good, 1]).await;
    for (reason, spoil) in BROKEN {
        let load = Load::start(&server, &review("create"), || {
            |response: &Value| assert_eq!(versions(response).len(), 2, "{response:#}")
        })
        .await;
        let saved = Instant::now();
        spoil(&path);
        rename_over(&server.policy("q.cel"), &version(good + 1));
        in_force(&mut client, saved, &[good, good + 1]).await;
        eventually(reason, || async {
            let text = server.readyz().await;
            let reload = "[+]reload ok: what could not be taken over stays as it was: ";
            let kept = "2 policies in force, 1 kept at their last good version (`named`): ";
            let holds = text.contains(reason) && text.contains(reload) && text.contains(kept);
            holds.then_some(())
        })
        .await;
        let described = server.policies().await;
        assert_eq!(
            described["policies"][0]["state"], "last good version",
            "{reason}"
        );
        good += 1;
        // A link or a pipe would be written through.
        let saved = Instant::now();
        rename_over(&path, &named(good));
        in_force(&mut client, saved, &[good, good]).await;
        let text = eventually("nothing is wrong any more", || async {
            let text = server.readyz().await;
            text.contains("[+]reload ok\n").then_some(text)
        })
        .await;
        assert!(
            text.contains("[+]policies ok: 2 policies in force\n"),
            "{text}"
        );
        load.stop().await;
    }
    let saved = Instant::now();
    fs::remove_file(&path).unwrap();
    in_force(&mut client, saved, &[good]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_gone_for_a_moment_leaves_its_policies_in_force() {
    let server = first_version().await;
    let (folder, aside) = (
        server.folder().join("policies"),
        server.folder().join("aside"),
    );
    let mut client = server.client().await;
    fs::rename(&folder, &aside).unwrap();
    eventually("the loss is seen", || async {
        server
            .readyz()
            .await
            .contains("there is no such file or folder")
            .then_some(())
    })
    .await;
    in_force(&mut client, Instant::now(), &[0]).await;
    fs::write(aside.join("p.cel"), version(1)).unwrap();
    let saved = Instant::now();
    fs::rename(&aside, &folder).unwrap();
    in_force(&mut client, saved, &[1]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_that_was_never_good_is_an_error_until_it_is_mended() {
    let broken = version(1).replace("oldObject", "oldObjct");
    let server = Launch::new()
        .policies(&[("p.cel", &broken), ("q.cel", &version(2))])
        .start()
        .await;
    let mut client = server.client().await;
    let response = respond(&mut client, "/validate", &creation("web")).await;
    let mut lines = denial(&response).lines();
    assert!(
        lines.next().unwrap().contains("compilation error"),
        "{response}"
    );
    assert!(lines.next().unwrap().ends_with("version 2"), "{response}");
    rename_over(&server.policy("p.cel"), &version(1));
    eventually("the mended policy is in force", || async {
        let response = server.review(&creation("web")).await;
        (!denial(&response).contains("compilation error")).then_some(())
    })
    .await;
    in_force(&mut client, Instant::now(), &[1, 2]).await;
    server.stop().await;
}

/// A policy of Kubernetes with its binding, whose action is `action`.
fn yaml(version: usize, action: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\n\
         kind: ValidatingAdmissionPolicy\n\
         metadata: {{name: a.example.com}}\n\
         spec:\n\
         \x20 matchConstraints:\n\
         \x20   resourceRules:\n\
         \x20   - {{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}}\n\
         \x20 validations: [{{expression: 'false', message: 'version {version}'}}]\n\
         ---\n\
         apiVersion: admissionregistration.k8s.io/v1\n\
         kind: ValidatingAdmissionPolicyBinding\n\
         metadata: {{name: a}}\n\
         spec: {{policyName: a.example.com, validationActions: [{action}]}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_is_broken_does_not_switch_its_policy_off() {
    let server = Launch::new()
        .policies(&[("a.yaml", &yaml(1, "Dney"))])
        .start()
        .await;
    let mut client = server.client().await;
    let response = respond(&mut client, "/validate", &review("create")).await;
    assert_eq!(
        denial(&response),
        "ValidatingAdmissionPolicy 'a.example.com' with binding 'a' denied request: failed to \
         configure binding: the binding is not valid"
    );
    rename_over(&server.policy("a.yaml"), &yaml(2, "Deny"));
    eventually("the mended binding is in force", || async {
        let response = server.review(&review("create")).await;
        denial(&response).ends_with("version 2").then_some(())
    })
    .await;
    for (broken, reason) in [
        (yaml(3, "Deny, Dney"), "Dney"),
        (yaml(4, "Deny").replace("---", "--- ["), "policies/a.yaml:"),
    ] {
        rename_over(&server.policy("a.yaml"), &broken);
        eventually(reason, || async {
            server.readyz().await.contains(reason).then_some(())
        })
        .await;
        let response = respond(&mut client, "/validate", &review("create")).await;
        let message = denial(&response);
        assert!(
            message.contains("'a' denied request: version "),
            "{message}"
        );
    }
    server.stop().await;
}
