//! Asks whether API servers can call the webhook, before anything is registered that denies if they cannot.
//!
//! Between an API server and the pods may be a firewall that only a call shows. So where no webhook of this
//! installation is in force yet, one is registered first that is in nobody's way
//! ([`crate::serve::registration::probe`]), and a dry run of the Lease, which the holder may update in any
//! case, makes an API server call it. What is registered already stays as it is meanwhile: a replica that
//! starts opens nothing.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Error;
use kube::api::{Api, PostParams};
use tokio::sync::watch;

use super::write::{would_lock_out, write};
use super::{Steward, Work};
use crate::admission::status::StatusReason;
use crate::cluster::connect::described;
use crate::cluster::lease::{REQUEST, Standing};
use crate::serve::registered;
use crate::serve::registration::{Target, drift, guards, probe};
use crate::webhook::probe::REASON;

/// How long it may be that nothing is known: then the webhook is registered as if it were reached.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is not told that the webhook cannot be called: a Service leads nowhere before the kubelet has
/// seen that a pod is ready, and API servers, which watch configurations, follow within a moment.
const GRACE: Duration = Duration::from_secs(10);
/// How long the same is told of why it cannot, so that words that change with each call are not logged anew.
const SAME: Duration = Duration::from_secs(60);
/// How soon it is asked again, at first and in the end.
const SOON: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(2);

/// What the holder of the Lease knows of the way from API servers to the webhook.
#[derive(Debug, Default)]
pub(super) enum Way {
    /// Nothing so far.
    #[default]
    Unasked,
    /// It is being asked.
    Asked(Asked),
    /// Nothing is asked any more: what policies need is registered.
    Open,
}

/// What was found out by asking.
#[derive(Debug)]
pub(super) struct Asked {
    since: Instant,
    /// Since when the answers say neither that the webhook is reached nor that it is not.
    unclear: Instant,
    /// Why it is not reached, as it is told, and since when.
    told: Option<(String, Instant)>,
}

/// What one attempt says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A webhook of the installation is in force already.
    InForce,
    /// An API server has called the webhook.
    Reached,
    /// An API server cannot call it, and why.
    Unreachable(String),
    /// Neither is known, and why.
    Unclear(String),
    /// What is registered could not be read, and why.
    Unread(String),
}

impl Way {
    /// Returns how long nothing is to be asked, while something is.
    pub(super) fn rest(&self) -> Option<Duration> {
        match self {
            Way::Asked(asked) => Some((asked.since.elapsed() / 10).clamp(SOON, LATE)),
            Way::Unasked | Way::Open => None,
        }
    }

    /// Takes an answer in; says whether the webhook may be registered.
    ///
    /// # Errors
    /// API servers cannot call it, or what is registered is not known; the text says why.
    fn learn(&mut self, answer: Answer, now: Instant) -> Result<bool, String> {
        let mut asked = match std::mem::take(self) {
            Way::Asked(asked) => asked,
            Way::Unasked => Asked {
                since: now,
                unclear: now,
                told: None,
            },
            Way::Open => {
                *self = Way::Open;
                return Ok(true);
            }
        };
        let outcome = match answer {
            Answer::InForce => Ok(true),
            Answer::Reached => {
                tracing::info!("API servers call the webhook");
                Ok(true)
            }
            Answer::Unclear(problem) | Answer::Unread(problem)
                if now.duration_since(asked.unclear) >= PATIENCE =>
            {
                tracing::warn!(
                    problem,
                    "whether API servers can call the webhook is not known; it is registered all the same"
                );
                Ok(true)
            }
            // What was known last is told meanwhile.
            Answer::Unclear(_) => asked.told.clone().map_or(Ok(false), |(told, _)| Err(told)),
            Answer::Unread(problem) => Err(problem),
            Answer::Unreachable(problem) => {
                asked.unclear = now;
                match asked.told.take() {
                    _ if now.duration_since(asked.since) < GRACE => Ok(false),
                    Some((told, since)) if now.duration_since(since) < SAME => {
                        asked.told = Some((told.clone(), since));
                        Err(told)
                    }
                    _ => {
                        asked.told = Some((problem.clone(), now));
                        Err(problem)
                    }
                }
            }
        };
        *self = match outcome {
            Ok(true) => Way::Open,
            Ok(false) | Err(_) => Way::Asked(asked),
        };
        outcome
    }
}

impl Steward {
    /// Says whether the webhook may be registered: API servers call it, or one is in force already.
    ///
    /// # Errors
    /// API servers cannot call it, or cannot be asked.
    pub(super) async fn is_reached(
        &self,
        work: &mut Work,
        bundle: &str,
        known: &watch::Receiver<Standing>,
    ) -> Result<bool, String> {
        if matches!(work.way, Way::Open) {
            return Ok(true);
        }
        let answer = self.ask(bundle, known).await?;
        work.way.learn(answer, Instant::now())
    }

    /// Asks once.
    async fn ask(&self, bundle: &str, known: &watch::Receiver<Standing>) -> Result<Answer, String> {
        let (client, place) = (&self.management.client, &self.management.place);
        let found = match registered::read(client, &place.name).await {
            Ok(found) => found,
            Err(problem) => return Ok(Answer::Unread(problem)),
        };
        if registered::webhooks(&found).any(|it| it["name"] != probe::NAME) {
            return Ok(Answer::InForce);
        }
        let meant = probe::configuration(place, &self.management.namespace, bundle);
        let [validating, _] = &found;
        if !drift::differences(&meant, validating).is_empty() {
            guards::prove(&meant, place).map_err(would_lock_out)?;
            if !known.borrow().is_holder() {
                let word = "the lease is held no longer";
                return Ok(Answer::Unclear(word.to_owned()));
            }
            write(client, place, &meant, None).await?;
        }
        let leases: Api<Lease> = Api::namespaced(client.clone(), &self.management.namespace);
        match tokio::time::timeout(REQUEST, dry_run(&leases, &place.name)).await {
            Ok(outcome) => Ok(match answer(outcome) {
                Answer::Unreachable(problem) => Answer::Unreachable(self.unreachable(&problem)),
                other => other,
            }),
            Err(_) => Ok(Answer::Unclear("the API server does not answer".to_owned())),
        }
    }

    /// Says what is to be done about it.
    fn unreachable(&self, problem: &str) -> String {
        let way = match &self.management.place.target {
            Target::Service(service) => {
                let port = self.address.port();
                format!("port {port} of the pods of the Service `{service}` (`listen`)")
            }
            Target::Url(url) => format!("`{url}`"),
        };
        format!(
            "API servers cannot call the webhook, so it is not registered and nothing is denied: {problem}; \
             let the control plane reach {way}"
        )
    }
}

/// Has an API server go through all of an update but for its end.
async fn dry_run(leases: &Api<Lease>, name: &str) -> Result<(), Error> {
    let lease = leases.get(name).await?;
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    leases.replace(name, &parameters, &lease).await.map(drop)
}

/// Returns what became of the dry run.
///
/// Which webhook a failure is about an API server says in its text alone: `admission webhook "…" denied the
/// request` (apiserver `pkg/admission/plugin/webhook/errors/statuserror.go`, `ToStatusErr`) or `failed calling
/// webhook "…"` (`pkg/util/webhook/error.go`, `ErrCallingWebhook`). What happened to it is the reason.
fn answer(outcome: Result<(), Error>) -> Answer {
    let problem = match outcome {
        Ok(()) => {
            let word = "API servers do not ask about a dry run of the Lease";
            return Answer::Unclear(word.to_owned());
        }
        Err(problem) => problem,
    };
    let Error::Api(status) = &problem else {
        return Answer::Unclear(described(&problem));
    };
    let webhook = format!("webhook \"{}\"", probe::NAME);
    let Some((_, said)) = status.message.split_once(&webhook) else {
        return Answer::Unclear(described(&problem));
    };
    match StatusReason::from_wire(&status.reason) {
        Some(REASON) => Answer::Reached,
        Some(StatusReason::InternalError) => {
            let said = said.trim_start_matches([':', ' ']);
            Answer::Unreachable(said.to_owned())
        }
        _ => Answer::Unclear(described(&problem)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(message: &str, reason: &str) -> Result<(), Error> {
        Err(Error::Api(Status::failure(message, reason).boxed()))
    }

    fn unreachable(why: &str) -> Answer {
        Answer::Unreachable(why.to_owned())
    }

    #[test]
    fn what_a_dry_run_says_is_one_of_three() {
        let denied = "admission webhook \"probe.portcullis.dev\" denied the request: a dry run";
        assert_eq!(answer(refused(denied, "NotAcceptable")), Answer::Reached);
        let failed = "Internal error occurred: failed calling webhook \"probe.portcullis.dev\": failed to call \
                      webhook: Post \"https://a.b.svc:443/probe?timeout=3s\": context deadline exceeded";
        let why = "failed to call webhook: Post \"https://a.b.svc:443/probe?timeout=3s\": context deadline exceeded";
        assert_eq!(answer(refused(failed, "InternalError")), unreachable(why));
        let rows = [
            // Not its answer, though its name.
            refused(denied, "Forbidden"),
            refused(failed, "Timeout"),
            // Somebody else's webhook, in the way of any dry run.
            refused(
                "admission webhook \"a.b.c\" does not support dry run",
                "BadRequest",
            ),
            refused(
                "admission webhook \"a.b.c\" denied the request: no",
                "NotAcceptable",
            ),
            refused(
                "Internal error occurred: failed calling webhook \"a.b.c\": EOF",
                "InternalError",
            ),
            refused("the object has been modified", "Conflict"),
            Err(Error::ReadEvents(std::io::Error::other("broken"))),
            Ok(()),
        ];
        for outcome in rows {
            let said = answer(outcome);
            assert!(matches!(said, Answer::Unclear(_)), "{said:?}");
        }
    }

    #[test]
    fn the_webhook_is_registered_once_it_is_reached_or_in_force() {
        for answer in [Answer::Reached, Answer::InForce] {
            let mut way = Way::default();
            assert_eq!(way.learn(answer, Instant::now()), Ok(true));
            assert_eq!(way.rest(), None);
            let later = way.learn(unreachable("EOF"), Instant::now());
            assert_eq!(later, Ok(true), "what is registered stays");
        }
    }

    #[test]
    fn what_is_in_the_way_is_told_after_a_moment_and_for_a_while_in_the_same_words() {
        let (mut way, begun) = (Way::default(), Instant::now());
        let mut learn = |answer, after| way.learn(answer, begun + Duration::from_secs(after));
        let told = |why: &str| Err(why.to_owned());
        assert_eq!(learn(unreachable("no endpoints"), 0), Ok(false));
        assert_eq!(learn(unreachable("no endpoints"), 9), Ok(false));
        assert_eq!(learn(unreachable("EOF"), 10), told("EOF"));
        assert_eq!(learn(unreachable("timeout"), 30), told("EOF"));
        let unclear = || Answer::Unclear("?".to_owned());
        assert_eq!(learn(unclear(), 40), told("EOF"));
        assert_eq!(learn(unclear(), 59), told("EOF"));
        assert_eq!(learn(unreachable("timeout"), 70), told("timeout"));
        assert_eq!(learn(Answer::Reached, 71), Ok(true));
    }

    #[test]
    fn what_cannot_be_known_is_waited_for_half_a_minute() {
        let (mut way, begun) = (Way::default(), Instant::now());
        let mut learn = |answer, after| way.learn(answer, begun + Duration::from_secs(after));
        let unclear = || Answer::Unclear("?".to_owned());
        assert_eq!(learn(unclear(), 0), Ok(false));
        assert_eq!(learn(unclear(), 29), Ok(false));
        assert_eq!(learn(unreachable("EOF"), 29), Err("EOF".to_owned()));
        assert_eq!(learn(unclear(), 58), Err("EOF".to_owned()));
        assert_eq!(learn(unclear(), 59), Ok(true));
        // The server may do what it is to do, and not read.
        let (mut way, begun) = (Way::default(), Instant::now());
        let mut learn = |after| {
            let forbidden = Answer::Unread("forbidden".to_owned());
            way.learn(forbidden, begun + Duration::from_secs(after))
        };
        assert_eq!(learn(0), Err("forbidden".to_owned()));
        assert_eq!(learn(30), Ok(true));
    }
}
