//! A certificate that is mounted as the kubelet mounts one, and rotated.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use portcullis::certs::authority;
use portcullis::webhook::tls;

/// A folder as the kubelet mounts a Secret, whose contents are swapped by a symlink.
pub(crate) struct MountedSecret {
    volume: PathBuf,
    issuer: PathBuf,
    generation: u32,
}

impl MountedSecret {
    /// Makes the volume with a first leaf, all of one CA, which is in `ca.crt` of the volume.
    pub(crate) fn new(folder: &Path) -> Self {
        let mut secret = MountedSecret {
            volume: folder.join("volume"),
            issuer: folder.join("issuer"),
            generation: 0,
        };
        fs::create_dir(&secret.volume).unwrap();
        secret.issue();
        secret.publish(|_| {});
        for name in ["ca.crt", "tls.crt", "tls.key"] {
            let target = Path::new("..data").join(name);
            std::os::unix::fs::symlink(target, secret.volume.join(name)).unwrap();
        }
        secret
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.volume
    }

    /// Publishes another leaf of the same CA; returns it as PEM.
    pub(crate) fn rotate(&mut self) -> String {
        self.issue();
        self.publish(|_| {})
    }

    /// Publishes a pair that `spoil` has changed.
    pub(crate) fn publish_spoilt(&mut self, spoil: impl FnOnce(&Path)) {
        self.issue();
        self.publish(spoil);
    }

    fn issue(&self) {
        let leaf = self.issuer.join("tls.crt");
        if leaf.exists() {
            fs::remove_file(leaf).unwrap();
        }
        authority::ensure(&self.issuer, SystemTime::now(), &tls::provider()).unwrap();
    }

    /// Does what the kubelet does: a fresh folder, a link to it renamed over the last one, and the
    /// last folder removed.
    fn publish(&mut self, spoil: impl FnOnce(&Path)) -> String {
        let last = format!("..generation_{}", self.generation);
        self.generation += 1;
        let name = format!("..generation_{}", self.generation);
        let data = self.volume.join(&name);
        fs::create_dir(&data).unwrap();
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            fs::copy(self.issuer.join(file), data.join(file)).unwrap();
        }
        spoil(&data);
        let staged = self.volume.join("..data_tmp");
        std::os::unix::fs::symlink(&name, &staged).unwrap();
        fs::rename(staged, self.volume.join("..data")).unwrap();
        if self.generation > 1 {
            fs::remove_dir_all(self.volume.join(last)).unwrap();
        }
        fs::read_to_string(data.join("tls.crt")).unwrap()
    }
}
