//! Every key of the configuration: how it is spelled in each layer, and what it sets.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::values::{address, amount, bytes, duration, duration_above_zero, one_of, url};
use super::{Certificates, ClusterChoice, ClusterPolicies, Config, Mode, VARIABLE_PREFIX};
use crate::audit::report::Api;
use crate::cel::version::KubernetesVersion;
use crate::cluster::{self, ObjectName};
use crate::policy::overrides::Profile;
use crate::serve::registration::LONGEST_TIMEOUT_SECONDS;
use crate::telemetry::decisions::Target;
use crate::telemetry::logs::{LogFormat, check_level};
use crate::telemetry::traces::export::endpoint;
use crate::webhook::limits::MAX_TIMEOUT;

/// A key of the configuration.
pub(super) struct Key {
    /// Its place in the file, with dots between mappings.
    pub(super) path: &'static str,
    /// Its flag without dashes, if it has one.
    pub(super) flag: Option<&'static str>,
    /// Whether it takes several values.
    pub(super) is_list: bool,
    /// Whether its values are paths.
    pub(super) is_path: bool,
    /// Reads the values and sets them, or says why they cannot be used. A key that is no list gets
    /// exactly one value.
    pub(super) set: fn(&mut Config, &[String]) -> Result<(), String>,
}

impl Key {
    /// Returns its environment variable: `limits.body` is `PORTCULLIS_LIMITS_BODY`.
    pub(super) fn variable(&self) -> String {
        let mut name = VARIABLE_PREFIX.to_owned();
        for c in self.path.chars() {
            match c {
                '.' => name.push('_'),
                c if c.is_ascii_uppercase() => name.extend(['_', c]),
                c => name.push(c.to_ascii_uppercase()),
            }
        }
        name
    }
}

type Set<T> = fn(&mut Config, T);

/// Makes a key of one value.
macro_rules! key {
    ($path:literal, $read:expr, $place:expr) => {
        key!($path, None, $read, $place)
    };
    ($path:literal, $flag:expr, $read:expr, $place:expr) => {
        Key {
            path: $path,
            flag: $flag,
            is_list: false,
            is_path: false,
            set: |config, values| {
                let text = values.last().map_or("", String::as_str);
                let set: Set<_> = $place;
                set(config, $read(text)?);
                Ok(())
            },
        }
    };
}

/// The key with what is said of single policies: a mapping, which only a file can hold.
pub(super) const OVERRIDES: &str = "overrides";
/// The key with what is said of whole packs: the same, by the names of folders.
pub(super) const PACKS: &str = "packs";

/// All keys, in the order of the documentation.
pub(super) static KEYS: [Key; 41] = [
    key!("listen", Some("listen"), address, |c, v| c.listen = v),
    key!("adminListen", Some("admin-listen"), address, |c, v| {
        c.admin_listen = v;
    }),
    Key {
        is_path: true,
        ..key!("certs", Some("certs"), path, |c, v| c.certs =
            Certificates::Mounted(v))
    },
    key!(
        "certsSecret",
        Some("certs-secret"),
        ObjectName::from_str,
        |c, v| {
            c.certs_secret = Some(v);
        }
    ),
    key!("certsLifetime", lifetime, |c, v| c.certs_lifetime = v),
    key!("service", Some("service"), ObjectName::from_str, |c, v| {
        c.service = Some(v);
    }),
    key!("name", Some("name"), name, |c, v| c.name = v),
    key!("namespace", Some("namespace"), namespace, |c, v| {
        c.namespace = Some(v);
    }),
    key!("url", Some("url"), url, |c, v| c.url = Some(v)),
    key!("mode", Some("mode"), mode, |c, v| c.mode = v),
    key!("auditWarnings", Some("audit-warnings"), boolean, |c, v| c
        .audit_warnings =
        v),
    Key {
        path: "policies",
        flag: Some("policies"),
        is_list: true,
        is_path: true,
        set: |config, values| {
            let paths: Result<_, _> = values.iter().map(|value| path(value)).collect();
            config.policies = paths?;
            Ok(())
        },
    },
    Key {
        path: "exceptions",
        flag: Some("exceptions"),
        is_list: true,
        is_path: true,
        set: |config, values| {
            let paths: Result<_, _> = values.iter().map(|value| path(value)).collect();
            config.exceptions = paths?;
            Ok(())
        },
    },
    key!(
        "policyNamespace",
        Some("policy-namespace"),
        namespace,
        |c, v| {
            c.policy_namespace = Some(v);
        }
    ),
    Key {
        path: "exceptionNamespaces",
        flag: Some("exception-namespaces"),
        is_list: true,
        is_path: false,
        set: |config, values| {
            let names: Result<Vec<_>, _> = values.iter().map(|value| namespace(value)).collect();
            let names = names?;
            let mut seen = BTreeSet::new();
            if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
                return Err(format!("`{twice}` is named twice"));
            }
            config.exception_namespaces = names;
            Ok(())
        },
    },
    Key {
        path: "webhooks.excludedNamespaces",
        flag: Some("excluded-namespaces"),
        is_list: true,
        is_path: false,
        set: |config, values| {
            let names: Result<_, _> = values.iter().map(|value| namespace(value)).collect();
            config.excluded_namespaces = names?;
            Ok(())
        },
    },
    key!(
        "webhooks.timeoutSeconds",
        Some("timeout-seconds"),
        webhook_timeout,
        |c, v| c.webhook_timeout_seconds = v
    ),
    key!(
        "clusterPolicies",
        Some("cluster-policies"),
        cluster_policies,
        |c, v| {
            c.cluster_policies = v;
        }
    ),
    key!(
        "kubernetesVersion",
        Some("kubernetes-version"),
        version,
        |c, v| c.kubernetes_version = v
    ),
    key!("profile", Some("profile"), Profile::from_str, |c, v| {
        c.overrides.profile = v;
    }),
    key!("cluster", Some("cluster"), cluster, |c, v| c.cluster = v),
    Key {
        is_path: true,
        ..key!("kubeconfig", Some("kubeconfig"), path, |c, v| c
            .kubeconfig =
            Some(v))
    },
    key!("audit.interval", duration, |c, v| c.audit_interval = v),
    key!("audit.reports", reports, |c, v| c.audit_reports = v),
    key!("events", boolean, |c, v| c.events = v),
    key!("log.level", Some("log-level"), level, |c, v| c.log.level =
        v),
    key!("log.format", Some("log-format"), format, |c, v| {
        c.log.format = v;
    }),
    Key {
        is_path: true,
        ..key!("decisionLog", Some("decision-log"), target, |c, v| {
            c.decision_log = Some(v);
        })
    },
    key!(
        "traces.endpoint",
        Some("traces-endpoint"),
        endpoint,
        |c, v| c.traces_endpoint = Some(v)
    ),
    key!("limits.connections", amount, |c, v| {
        c.limits.connections.open = v;
    }),
    key!("limits.handshake", duration_above_zero, |c, v| {
        c.limits.connections.handshake = v;
    }),
    key!("limits.headers", duration_above_zero, |c, v| {
        c.limits.connections.headers = v;
    }),
    key!("limits.idle", duration_above_zero, |c, v| {
        c.limits.connections.idle = v;
    }),
    key!("limits.streams", streams, |c, v| {
        c.limits.connections.streams = v;
    }),
    key!("limits.body", bytes, |c, v| c.limits.reviews.body_bytes = v),
    key!("limits.bodies", bytes, |c, v| {
        c.limits.reviews.body_bytes_in_flight = v;
    }),
    key!("limits.concurrency", amount, |c, v| {
        c.limits.reviews.concurrency = v;
    }),
    key!("limits.timeout", timeout, |c, v| {
        c.limits.reviews.timeout = v;
    }),
    key!("limits.cache", bytes, |c, v| c.cache_bytes = v),
    key!("shutdown.grace", duration, |c, v| c.shutdown.grace = v),
    key!("shutdown.drain", duration, |c, v| c.shutdown.drain = v),
];

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| one_of(text, &["true", "false"]))
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("a path cannot be empty".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Standard output, as everywhere on the command line.
pub(super) const STDOUT: &str = "-";

fn target(text: &str) -> Result<Target, String> {
    match text {
        STDOUT => Ok(Target::Stdout),
        text => path(text).map(Target::File),
    }
}

pub(super) fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "audit" => Ok(Mode::Audit),
        _ => Err(one_of(text, &["enforce", "audit"])),
    }
}

/// Shorter, and a replica that looks away for a moment would serve an expired certificate.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(10);
/// Ten years; certificates that API servers trust should not outlive who remembers them.
const LONGEST_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration_above_zero(text)?;
    match (SHORTEST_LIFETIME..=LONGEST_LIFETIME).contains(&lifetime) {
        true => Ok(lifetime),
        false => Err(format!("`{text}` is not between 10s and ten years, 87600h")),
    }
}

pub(super) fn namespace(text: &str) -> Result<String, String> {
    match cluster::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no name of a namespace")),
    }
}

/// Longer, and what is named after it has no name (apimachinery `pkg/api/validate/content/dns.go`,
/// `dns1123SubdomainMaxLength`, less `-policies`).
const LONGEST_NAME: usize = 244;

pub(super) fn name(text: &str) -> Result<String, String> {
    match text.len() <= LONGEST_NAME && text.split('.').all(cluster::is_name) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no name of an object")),
    }
}

fn cluster(text: &str) -> Result<ClusterChoice, String> {
    match text {
        "auto" => Ok(ClusterChoice::Auto),
        "none" => Ok(ClusterChoice::None),
        _ => Err(one_of(text, &["auto", "none"])),
    }
}

pub(super) fn cluster_policies(text: &str) -> Result<ClusterPolicies, String> {
    match text {
        "labelled" => Ok(ClusterPolicies::Labelled),
        "none" => Ok(ClusterPolicies::None),
        _ => Err(one_of(text, &["labelled", "none"])),
    }
}

fn reports(text: &str) -> Result<Option<Api>, String> {
    match (Api::of_group(text), text) {
        (None, "none") => Ok(None),
        (Some(api), _) => Ok(Some(api)),
        (None, _) => Err(one_of(text, &["openreports.io", "wgpolicyk8s.io", "none"])),
    }
}

fn webhook_timeout(text: &str) -> Result<u8, String> {
    let seconds = text.parse().ok();
    let allowed = seconds.filter(|it| (1..=LONGEST_TIMEOUT_SECONDS).contains(it));
    allowed.ok_or_else(|| {
        format!("`{text}` is no number of seconds from 1 to {LONGEST_TIMEOUT_SECONDS}")
    })
}

fn version(text: &str) -> Result<KubernetesVersion, String> {
    KubernetesVersion::from_str(text).map_err(|unknown| unknown.to_string())
}

fn level(text: &str) -> Result<String, String> {
    check_level(text).map_err(|problem| format!("`{text}` cannot be used: {problem}"))?;
    Ok(text.to_owned())
}

fn format(text: &str) -> Result<LogFormat, String> {
    LogFormat::from_str(text).map_err(|_| one_of(text, &LogFormat::NAMES))
}

fn streams(text: &str) -> Result<u32, String> {
    u32::try_from(amount(text)?).map_err(|_| format!("`{text}` is too many"))
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration_above_zero(text)?;
    if timeout > MAX_TIMEOUT {
        return Err(format!(
            "`{text}` is longer than a webhook's timeout can be: 30s"
        ));
    }
    Ok(timeout)
}
