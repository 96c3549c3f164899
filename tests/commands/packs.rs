//! What a configuration says of whole packs, on the built-in ones.

use super::Folder;

/// A mesh of Kuma: encrypted as of version 2, where version 3 wants a MeshIdentity and MeshTLS.
const MESH: &str = "apiVersion: kuma.io/v1alpha1
kind: Mesh
metadata: {name: default}
spec:
  mtls:
    enabledBackend: ca-1
    backends: [{name: ca-1, type: provided, mode: STRICT, dpCert: {rotation: {expiration: 1d}}}]
";

/// The same without any encryption.
const PLAIN: &str =
    "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {}\n";

#[test]
fn the_version_of_kuma_is_said_once() {
    let folder = Folder::with(&[
        ("mesh.yaml", MESH),
        ("plain.yaml", PLAIN),
        ("three.yaml", "packs: {kuma: {settings: {kuma: 3}}}\n"),
    ]);
    let two = folder.run("check mesh.yaml");
    assert_eq!((two.code, two.out.as_str()), (Some(0), ""), "{}", two.err);
    let three = folder.run("check mesh.yaml --config three.yaml");
    assert_ne!(three.out, "", "version 3 passes over `spec.mtls`");
    for policy in [
        "kuma-identity",
        "kuma-mesh-certificates",
        "kuma-mesh-identity",
        "kuma-mesh-mtls",
    ] {
        let explained = folder.run(&format!("explain {policy} --config three.yaml"));
        assert!(
            explained.out.contains("kuma: 3 (by default 2)\n"),
            "{}",
            explained.out
        );
    }
    let plain = folder.run("check plain.yaml");
    assert_eq!(plain.code, Some(1), "{}", plain.out);
    folder.write("off.yaml", b"packs: {kuma: {enabled: false}}\n");
    let off = folder.run("check plain.yaml --config off.yaml");
    assert_eq!((off.code, off.out.as_str()), (Some(0), ""));
    folder.write("warn.yaml", b"packs: {kuma: {action: warn}}\n");
    let warned = folder.run("check plain.yaml --config warn.yaml");
    assert_eq!(warned.code, Some(0), "{}", warned.out);
    assert!(warned.out.starts_with("warning[kuma-"), "{}", warned.out);
}

#[test]
fn a_pack_or_setting_that_does_not_exist_is_shown_with_its_place() {
    let folder = Folder::with(&[("mesh.yaml", MESH)]);
    for (config, problem) in [
        (
            "packs:\n  kumma: {settings: {kuma: 3}}\n",
            "error[policy/unknown-pack]: there is no pack `kumma`\n --> c.yaml:2:3\n",
        ),
        (
            "packs:\n  kuma: {settings: {kuna: 3}}\n",
            "error[policy/unknown-setting]: the pack `kuma` has no setting `kuna`\n --> c.yaml:2:3\n",
        ),
        (
            "packs:\n  kuma: {profile: lax}\n",
            "error[policy/unknown-profile]: unknown profile `lax`\n --> c.yaml:2:19\n",
        ),
    ] {
        folder.write("c.yaml", config.as_bytes());
        let output = folder.run("check mesh.yaml --config c.yaml");
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.out.contains(problem), "{config}{}", output.out);
    }
}
