//! How far a scan is, in a file, so that one that was interrupted goes on where it was.
//!
//! A line for each page that was looked at: where it lies, what was found, and where the next one begins.
//! A line that was not written to its end is as if it were not there. What is found is what the command
//! prints, and so nothing of a Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::finding::{Excused, Finding, Findings, KindName, Limits, Object, Result as Rating};
use super::position::fingerprint;
use super::scan::Part;
use crate::policy::compile::CompiledPolicy;
use crate::policy::exceptions::CompiledException;
use crate::policy::model::PolicyKind;
use crate::policy::set::PolicySet;

/// `apiVersion` and `kind` of the first line.
const API_VERSION: &str = "portcullis.dev/v1";
const KIND: &str = "AuditProgress";

/// Why a file cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("`{}`: {error}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// It is no such file.
    #[error("`{}` is no file of an audit", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is about something else.
    #[error("`{}` is of an audit of another cluster, with other policies or of other kinds", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
}

/// What a scan is about; only one about the same goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    api_version: String,
    kind: String,
    cluster: String,
    policies: String,
    only: Vec<String>,
}

impl About {
    /// Of a cluster by its address, and what of it is looked at.
    pub fn new(cluster: &str, set: &PolicySet, only: Vec<String>) -> Self {
        About {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            cluster: cluster.to_owned(),
            policies: fingerprint(set),
            only,
        }
    }
}

/// A page, as a line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// The path of the collection.
    list: String,
    /// Whether it is the first page: what was known of the list does not count.
    is_first: bool,
    /// Where the next page begins; none after the last.
    next: Option<String>,
    objects: u64,
    findings: Vec<Found>,
    /// What exceptions excuse, with their names.
    #[serde(default)]
    excused: Vec<(String, Found)>,
}

/// A finding, as part of a line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    policy: String,
    is_mutating: bool,
    rule: Option<usize>,
    result: Rating,
    message: String,
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
    uid: String,
}

/// What is known of a list.
pub struct Known {
    /// What its pages came to.
    pub part: Part,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<String>,
}

/// The file, while a scan goes on.
pub struct Journal {
    path: PathBuf,
    file: File,
    known: BTreeMap<String, Known>,
    /// Lists with objects that could not be read: next time they go on before those.
    unread: BTreeSet<String>,
    /// Why nothing more is written.
    failed: Option<io::Error>,
}

impl Journal {
    /// Opens a file, or makes it, and reads what was found before.
    ///
    /// # Errors
    /// It cannot be read or written, or is not about the same.
    pub fn open(path: &Path, about: &About, set: &PolicySet) -> Result<Self, JournalError> {
        let unusable = |error| JournalError::Unusable {
            path: path.to_owned(),
            error,
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut file = options.open(path).map_err(unusable)?;
        if !file.metadata().map_err(unusable)?.is_file() {
            // A device may have no end.
            let problem = "it is no regular file";
            return Err(unusable(io::Error::new(
                io::ErrorKind::InvalidInput,
                problem,
            )));
        }
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut whole = reader.read_until(b'\n', &mut line).map_err(unusable)?;
        let mut known = BTreeMap::new();
        if line.is_empty() {
            let begin = serde_json::to_string(about).map_err(|error| unusable(error.into()))?;
            writeln!(file, "{begin}").map_err(unusable)?;
        } else {
            let foreign = || JournalError::Foreign {
                path: path.to_owned(),
            };
            let other = || JournalError::Other {
                path: path.to_owned(),
            };
            let of: About = serde_json::from_slice(&line).map_err(|_| foreign())?;
            if of != *about {
                return Err(other());
            }
            let policies = by_name(set);
            let exceptions = set.exceptions().all().iter();
            let exceptions: Exceptions<'_> = exceptions
                .map(|it| (it.exception.full_name(), it))
                .collect();
            loop {
                line.clear();
                let read = reader.read_until(b'\n', &mut line).map_err(unusable)?;
                if read == 0 || line.last() != Some(&b'\n') {
                    break;
                }
                let page: Line = serde_json::from_slice(&line).map_err(|_| foreign())?;
                add(&mut known, page, (&policies, &exceptions)).ok_or_else(other)?;
                whole += read;
            }
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))
                .and_then(|()| file.seek(SeekFrom::End(0)))
                .map_err(unusable)?;
        }
        Ok(Journal {
            path: path.to_owned(),
            file,
            known,
            unread: BTreeSet::new(),
            failed: None,
        })
    }

    /// Returns how many objects were looked at before.
    pub fn objects(&self) -> u64 {
        self.known.values().map(|it| it.part.objects).sum()
    }

    /// Takes out what is known of a list.
    pub(super) fn take(&mut self, list: &str) -> Option<Known> {
        self.known.remove(list)
    }

    /// Writes down a page and where the next one begins.
    pub(super) fn add(&mut self, list: &str, is_first: bool, page: &Part, next: Option<&str>) {
        if page.unread > 0 {
            self.unread.insert(list.to_owned());
        }
        if self.failed.is_some() || self.unread.contains(list) {
            return;
        }
        let line = Line {
            list: list.to_owned(),
            is_first,
            next: next.map(str::to_owned),
            objects: page.objects,
            findings: page.findings.kept().map(Found::of).collect(),
            excused: page.findings.excused().map(Found::excused).collect(),
        };
        let written = serde_json::to_string(&line)
            .map_err(io::Error::from)
            .and_then(|line| self.file.write_all((line + "\n").as_bytes()));
        self.failed = written.err();
    }

    /// Removes the file if the scan is over; else says where it is.
    ///
    /// # Errors
    /// Not everything could be written, or it cannot be removed.
    pub fn close(self, is_over: bool) -> Result<(), JournalError> {
        let removed = || match is_over {
            true => std::fs::remove_file(&self.path),
            false => Ok(()),
        };
        let done = self.failed.map_or_else(removed, Err);
        done.map_err(|error| JournalError::Unusable {
            path: self.path.clone(),
            error,
        })
    }
}

type ByName<'s> = BTreeMap<(bool, &'s str), &'s Arc<CompiledPolicy>>;

type Exceptions<'s> = BTreeMap<String, &'s Arc<CompiledException>>;

fn is_mutating(policy: &CompiledPolicy) -> bool {
    policy.policy.kind == PolicyKind::Mutating
}

fn by_name(set: &PolicySet) -> ByName<'_> {
    let policies = set.policies().iter();
    let named = policies.map(|it| ((is_mutating(it), it.policy.name.as_str()), it));
    named.collect()
}

/// Adds a page to what is known; `None` if a policy of it is not.
fn add(
    known: &mut BTreeMap<String, Known>,
    page: Line,
    (policies, exceptions): (&ByName<'_>, &Exceptions<'_>),
) -> Option<()> {
    if page.is_first {
        known.remove(&page.list);
    }
    let list = known.entry(page.list).or_insert_with(|| Known {
        part: Part::new(Limits::default()),
        next: None,
    });
    list.next = page.next;
    list.part.objects += page.objects;
    for found in page.findings {
        list.part.findings.add(found.finding(policies)?);
    }
    for (exception, found) in page.excused {
        list.part.findings.excuse(Excused {
            finding: found.finding(policies)?,
            exception: Arc::clone(exceptions.get(&exception)?),
        });
    }
    Some(())
}

impl Found {
    fn excused(excused: &Excused) -> (String, Self) {
        let name = excused.exception.exception.full_name();
        (name, Found::of(&excused.finding))
    }

    fn of(finding: &Finding) -> Self {
        let object = finding.object.as_ref();
        let text = |of: fn(&Object) -> &str| object.map_or(String::new(), |it| of(it).to_owned());
        Found {
            policy: finding.policy.policy.name.clone(),
            is_mutating: is_mutating(&finding.policy),
            rule: finding.rule,
            result: finding.result,
            message: finding.message.to_string(),
            api_version: text(|it| &it.kind.api_version),
            kind: text(|it| &it.kind.kind),
            namespace: text(|it| &it.namespace),
            name: text(|it| &it.name),
            uid: text(|it| &it.uid),
        }
    }

    fn finding(self, policies: &ByName<'_>) -> Option<Finding> {
        let policy = policies.get(&(self.is_mutating, self.policy.as_str()))?;
        Some(Finding {
            policy: Arc::clone(policy),
            rule: self.rule,
            result: self.result,
            message: self.message.into(),
            object: Some(Object {
                kind: Arc::new(KindName {
                    api_version: self.api_version,
                    kind: self.kind,
                }),
                namespace: self.namespace.into(),
                name: self.name.into(),
                uid: self.uid.into(),
            }),
        })
    }
}

/// What pages are kept in before they are written: nothing of them is left out.
pub(super) fn whole_page() -> Findings {
    Findings::new(Limits {
        of_namespace: usize::MAX,
        of_all: usize::MAX,
    })
}
