//! The authorities of certificates that somebody else mounts, and how one follows another.
//!
//! The kubelet brings a changed Secret to each replica at a time of its own, a minute and more apart. So
//! API servers are told of another authority before anything is served that they need it for, and trust
//! the last one until no replica serves what it has signed.

use std::time::{Duration, Instant};

use crate::certs::rotation::only_certificates;

/// How long after another authority is seen a certificate that comes with it waits at most: the kubelet
/// looks once a minute, with up to half of that added at random (kubernetes `pkg/kubelet/pod_workers.go`,
/// `workerResyncIntervalJitterFactor`), and the replica that registers may be the last to see it.
const LONGEST_SETTLE: Duration = Duration::from_secs(120);
/// How many of those times the last authority is trusted: until every replica has seen the next one,
/// waited and looked again.
const LINGERS: u32 = 5;
/// How many authorities are taken from another replica at once; more than follow each other so fast.
const MOST_ADOPTED: usize = 8;

/// What one replica has seen of them.
#[derive(Debug)]
pub(super) struct Authorities {
    /// How long another certificate waits.
    settle: Duration,
    current: String,
    /// Since when, unless it is the first.
    since: Option<Instant>,
    /// What was current before, and until when.
    former: Vec<(String, Instant)>,
}

impl Authorities {
    /// Waits as is meet for certificates that live so long.
    pub(super) fn new(lifetime: Duration) -> Self {
        Authorities {
            settle: (lifetime / 12).min(LONGEST_SETTLE),
            current: String::new(),
            since: None,
            former: Vec::new(),
        }
    }

    /// Takes what the folder holds at `now`.
    pub(super) fn see(&mut self, text: &str, now: Instant) {
        let read = only_certificates(text);
        let linger = self.settle * LINGERS;
        self.former
            .retain(|(_, until)| now.saturating_duration_since(*until) < linger);
        if read == self.current || read.is_empty() {
            return;
        }
        let last = std::mem::replace(&mut self.current, read);
        if last.is_empty() {
            return;
        }
        let adds = blocks(&self.current).any(|it| !last.contains(it));
        self.since = adds.then_some(now);
        self.former.push((last, now));
    }

    /// Takes what another replica had API servers trust until `now`; it is trusted as long as what this
    /// one has seen itself.
    pub(super) fn adopt(&mut self, registered: &str, now: Instant) {
        let known = self.bundle();
        let others = blocks(registered).filter(|block| !known.contains(block));
        let others: String = others.take(MOST_ADOPTED).collect();
        if !known.is_empty() && !others.is_empty() {
            self.former.push((others, now));
        }
    }

    /// Says whether what comes with the current authorities is still to wait at `now`.
    pub(super) fn is_settling(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.saturating_duration_since(since) < self.settle)
    }

    /// How often to look again.
    pub(super) fn settle(&self) -> Duration {
        self.settle
    }

    /// Returns all that API servers are to trust; empty if nothing was seen.
    pub(super) fn bundle(&self) -> String {
        let mut bundle = self.current.clone();
        for (former, _) in &self.former {
            for block in blocks(former) {
                if !bundle.contains(block) {
                    bundle.push_str(block);
                }
            }
        }
        bundle
    }
}

/// Returns each certificate with its newline.
fn blocks(pem: &str) -> impl Iterator<Item = &str> {
    pem.split_inclusive("-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::issue::issue;
    use std::time::SystemTime;

    const SETTLE: Duration = Duration::from_secs(120);

    fn authority() -> String {
        let names = ["a.b.svc".to_owned()];
        let hour = Duration::from_secs(3600);
        issue(&names, SystemTime::now(), hour).unwrap().authority
    }

    #[test]
    fn an_authority_is_trusted_before_it_is_needed_and_after() {
        let [one, two] = [authority(), authority()].map(|it| only_certificates(&it));
        let begun = Instant::now();
        let mut seen = Authorities::new(Duration::from_secs(90 * 24 * 3600));
        assert_eq!(seen.bundle(), "", "nothing was seen");
        seen.see(&one, begun);
        assert_eq!(seen.bundle(), one);
        assert!(!seen.is_settling(begun), "the first is served at once");
        seen.see("no certificate", begun);
        assert_eq!(seen.bundle(), one, "half of a file is none");

        let changed = begun + Duration::from_secs(1000);
        seen.see(&two, changed);
        assert_eq!(seen.bundle(), format!("{two}{one}"));
        assert!(seen.is_settling(changed) && !seen.is_settling(changed + SETTLE));
        // Back again, as if it had been a mistake.
        seen.see(&one, changed);
        assert_eq!(seen.bundle(), format!("{one}{two}"));
        seen.see(&two, changed);
        let later = changed + SETTLE * LINGERS;
        seen.see(&two, later);
        assert_eq!(seen.bundle(), two);
    }

    #[test]
    fn what_needs_no_other_authority_does_not_wait() {
        let [one, two] = [authority(), authority()].map(|it| only_certificates(&it));
        let now = Instant::now();
        let mut seen = Authorities::new(SETTLE * 12);
        seen.see(&format!("{one}{two}"), now);
        seen.see(&two, now);
        assert!(!seen.is_settling(now), "the owner has announced it");
        assert_eq!(seen.bundle(), format!("{two}{one}"));
    }

    #[test]
    fn what_another_replica_registered_is_trusted_for_a_while() {
        let [one, two, three] = [authority(), authority(), authority()];
        let [one, two, three] = [one, two, three].map(|it| only_certificates(&it));
        let begun = Instant::now();
        let mut seen = Authorities::new(SETTLE * 12);
        seen.adopt(&one, begun);
        assert_eq!(
            seen.bundle(),
            "",
            "without one of its own nothing is registered"
        );
        seen.see(&two, begun);
        let registered = format!("{one}{two}{three}");
        seen.adopt(&registered, begun);
        assert_eq!(seen.bundle(), format!("{two}{one}{three}"));
        assert!(
            !seen.is_settling(begun),
            "it serves already what needs its own"
        );
        // Taken once more, it stays no longer.
        seen.adopt(&registered, begun + SETTLE);
        seen.see(&two, begun + seen.settle() * LINGERS);
        assert_eq!(seen.bundle(), two);
    }

    #[test]
    fn only_certificates_are_shown_to_everybody() {
        let one = authority();
        let mut seen = Authorities::new(SETTLE);
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        seen.see(&format!("{key}{one}"), Instant::now());
        assert_eq!(seen.bundle(), only_certificates(&one));
    }
}
