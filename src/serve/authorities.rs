//! The authorities that API servers are told to trust, and how one follows another.
//!
//! Where somebody else mounts the certificate, the kubelet brings a changed Secret to each replica at a time
//! of its own, a minute and more apart; and while pods are replaced, old and new ones may have certificates of
//! different origins. So API servers are told of another authority before anything is served that they need
//! it for, and trust the last one until no replica serves what it has signed. What the replica that registers
//! cannot see itself the others ask for.

use std::time::{Duration, Instant, SystemTime};

use crate::certs::rotation::{only_certificates, unexpired};

/// How long after another authority is seen a certificate that comes with it waits at most: the kubelet
/// looks once a minute, with up to half of that added at random (kubernetes `pkg/kubelet/pod_workers.go`,
/// `workerResyncIntervalJitterFactor`), and the replica that registers may be the last to see it.
const LONGEST_SETTLE: Duration = Duration::from_secs(120);
/// How many of those times the last authority is trusted: until every replica has seen the next one,
/// waited and looked again.
const LINGERS: u32 = 5;
/// How many authorities one replica may ask for.
pub(super) const MOST_ASKED: usize = 8;
/// How many may be trusted because others have asked for them.
const MOST_TRUSTED: usize = 16;

/// Certificates, each with the time since which it is only kept.
type Kept = Vec<(String, Instant)>;

/// What one replica has seen of them.
#[derive(Debug)]
pub(super) struct Authorities {
    /// How long another certificate waits.
    settle: Duration,
    current: String,
    /// Since when, unless it is the first.
    since: Option<Instant>,
    /// What was current before, or what another replica had registered.
    former: Kept,
    /// What other replicas have asked for.
    asked: Kept,
}

impl Authorities {
    /// Waits as is meet for certificates that live so long.
    pub(super) fn new(lifetime: Duration) -> Self {
        Authorities {
            settle: (lifetime / 12).min(LONGEST_SETTLE),
            current: String::new(),
            since: None,
            former: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Takes what the folder or the Secret holds at `now`.
    pub(super) fn see(&mut self, text: &str, now: Instant) {
        let read = only_certificates(text);
        let linger = self.linger();
        for kept in [&mut self.former, &mut self.asked] {
            kept.retain(|(_, since)| now.saturating_duration_since(*since) < linger);
        }
        if read == self.current || read.is_empty() {
            return;
        }
        let last = std::mem::replace(&mut self.current, read);
        if last.is_empty() {
            return;
        }
        let adds = blocks(&self.current).any(|it| !last.contains(it));
        self.since = adds.then_some(now);
        for block in blocks(&last) {
            keep(&mut self.former, block, now);
        }
    }

    /// Takes what another replica had API servers trust until `now`; it is trusted as long as what this
    /// one has seen itself.
    pub(super) fn adopt(&mut self, registered: &str, now: Instant) {
        // Without one of its own nothing is registered.
        if self.current.is_empty() {
            return;
        }
        for block in blocks(registered) {
            if !self.current.contains(block) && !self.former.iter().any(|(it, _)| it == block) {
                self.former.push((block.to_owned(), now));
            }
        }
    }

    /// Takes what another replica asks for at `now`; it is trusted as long, counted anew each time. Returns how
    /// many certificates were not before, and how many cannot be.
    pub(super) fn heed(&mut self, asked: &str, now: Instant) -> (usize, usize) {
        let (mut more, mut refused) = (0, 0);
        for (at, block) in blocks(asked).enumerate() {
            if self.current.contains(block) {
                continue;
            }
            let is_kept = self.asked.iter().any(|(it, _)| it == block);
            if is_kept || (at < MOST_ASKED && self.asked.len() < MOST_TRUSTED) {
                let is_former = self.former.iter().any(|(it, _)| it == block);
                more += usize::from(!is_kept && !is_former);
                keep(&mut self.asked, block, now);
            } else {
                refused += 1;
            }
        }
        (more, refused)
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

    /// How long an authority is trusted that is not current.
    pub(super) fn linger(&self) -> Duration {
        self.settle * LINGERS
    }

    /// Returns what the folder or the Secret holds.
    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// Returns all that API servers are to trust at `now`; empty if nothing was seen.
    pub(super) fn bundle(&self, now: SystemTime) -> String {
        let mut others = String::new();
        for (block, _) in self.former.iter().chain(&self.asked) {
            if !self.current.contains(&**block) && !others.contains(&**block) {
                others.push_str(block);
            }
        }
        self.current.clone() + &unexpired(&others, now)
    }
}

/// Keeps a certificate, from `now` on.
fn keep(kept: &mut Kept, block: &str, now: Instant) {
    match kept.iter_mut().find(|(it, _)| it == block) {
        Some((_, since)) => *since = now,
        None => kept.push((block.to_owned(), now)),
    }
}

/// Returns each certificate with its newline.
pub(super) fn blocks(pem: &str) -> impl Iterator<Item = &str> {
    pem.split_inclusive("-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::issue::issue;

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
        assert_eq!(seen.bundle(SystemTime::now()), "", "nothing was seen");
        seen.see(&one, begun);
        assert_eq!(seen.bundle(SystemTime::now()), one);
        assert!(!seen.is_settling(begun), "the first is served at once");
        seen.see("no certificate", begun);
        assert_eq!(
            seen.bundle(SystemTime::now()),
            one,
            "half of a file is none"
        );

        let changed = begun + Duration::from_secs(1000);
        seen.see(&two, changed);
        assert_eq!(seen.bundle(SystemTime::now()), format!("{two}{one}"));
        assert!(seen.is_settling(changed) && !seen.is_settling(changed + SETTLE));
        // Back again, as if it had been a mistake.
        seen.see(&one, changed);
        assert_eq!(seen.bundle(SystemTime::now()), format!("{one}{two}"));
        seen.see(&two, changed);
        let later = changed + SETTLE * LINGERS;
        seen.see(&two, later);
        assert_eq!(seen.bundle(SystemTime::now()), two);
    }

    #[test]
    fn what_needs_no_other_authority_does_not_wait() {
        let [one, two] = [authority(), authority()].map(|it| only_certificates(&it));
        let now = Instant::now();
        let mut seen = Authorities::new(SETTLE * 12);
        seen.see(&format!("{one}{two}"), now);
        seen.see(&two, now);
        assert!(!seen.is_settling(now), "the owner has announced it");
        assert_eq!(seen.bundle(SystemTime::now()), format!("{two}{one}"));
    }

    #[test]
    fn what_another_replica_registered_is_trusted_for_a_while() {
        let [one, two, three] = [authority(), authority(), authority()];
        let [one, two, three] = [one, two, three].map(|it| only_certificates(&it));
        let begun = Instant::now();
        let mut seen = Authorities::new(SETTLE * 12);
        seen.adopt(&one, begun);
        assert_eq!(
            seen.bundle(SystemTime::now()),
            "",
            "without one of its own nothing is registered"
        );
        seen.see(&two, begun);
        let registered = format!("{one}{two}{three}");
        seen.adopt(&registered, begun);
        assert_eq!(seen.bundle(SystemTime::now()), format!("{two}{one}{three}"));
        assert!(
            !seen.is_settling(begun),
            "it serves already what needs its own"
        );
        // Taken once more, it stays no longer.
        seen.adopt(&registered, begun + SETTLE);
        seen.see(&two, begun + seen.settle() * LINGERS);
        assert_eq!(seen.bundle(SystemTime::now()), two);
    }

    #[test]
    fn what_another_replica_asks_for_is_trusted_while_it_asks() {
        let [one, two, three] = [authority(), authority(), authority()];
        let [one, two, three] = [one, two, three].map(|it| only_certificates(&it));
        let (begun, now) = (Instant::now(), SystemTime::now());
        let mut seen = Authorities::new(SETTLE * 12);
        seen.see(&one, begun);
        assert_eq!(seen.heed(&one, begun), (0, 0), "it is its own");
        seen.adopt(&three, begun);
        let asked = format!("{two}{three}");
        assert_eq!(seen.heed(&asked, begun), (1, 0));
        assert_eq!(seen.bundle(now), format!("{one}{three}{two}"));
        let later = begun + seen.linger() - SETTLE;
        assert_eq!(seen.heed(&two, later), (0, 0));
        seen.see(&one, begun + seen.linger());
        assert_eq!(seen.bundle(now), format!("{one}{two}"), "one asks again");
        seen.see(&one, later + seen.linger());
        assert_eq!(seen.bundle(now), one, "nobody asks");
        let end = now + Duration::from_secs(3601);
        assert_eq!(seen.heed(&two, later), (1, 0));
        assert_eq!(seen.bundle(end), one, "it has expired");
    }

    #[test]
    fn nobody_asks_for_any_number_of_authorities() {
        let begun = Instant::now();
        let mut seen = Authorities::new(SETTLE * 12);
        seen.see(&only_certificates(&authority()), begun);
        let block = |at: usize| {
            // A certificate may end as a number does.
            format!("-----BEGIN CERTIFICATE-----\n{at}\n-----END CERTIFICATE-----\n")
        };
        let all: Vec<String> = (0..30).map(block).collect();
        assert_eq!(seen.heed(&all.concat(), begun), (MOST_ASKED, 22));
        for block in &all {
            seen.heed(block, begun);
        }
        assert_eq!(seen.asked.len(), MOST_TRUSTED);
        assert_eq!(seen.heed(&all[29], begun), (0, 1));
    }

    #[test]
    fn only_certificates_are_shown_to_everybody() {
        let one = authority();
        let mut seen = Authorities::new(SETTLE);
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        seen.see(&format!("{key}{one}"), Instant::now());
        assert_eq!(seen.bundle(SystemTime::now()), only_certificates(&one));
    }
}
