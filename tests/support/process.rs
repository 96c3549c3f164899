//! The program itself, as a child process in a folder of its own, on ports the system chooses.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::client::{Client, Http, Serves, ask};
use super::eventually;

/// What a stream of the process has said so far.
type Said = Arc<Mutex<String>>;

/// The program with its arguments, before it runs.
pub(crate) struct Launch {
    command: Command,
    folder: TempDir,
    certs: Option<PathBuf>,
    is_heard: bool,
}

impl Launch {
    /// Prepares `portcullis serve` in an empty folder.
    pub(crate) fn new() -> Self {
        Launch::in_folder(TempDir::new().unwrap())
    }

    /// Prepares `portcullis serve` in a folder.
    pub(crate) fn in_folder(folder: TempDir) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .arg("serve")
            .current_dir(folder.path())
            .env_clear()
            .env("PORTCULLIS_LISTEN", "127.0.0.1:0")
            .env("PORTCULLIS_ADMIN_LISTEN", "127.0.0.1:0")
            // No test waits for a cluster to notice.
            .env("PORTCULLIS_SHUTDOWN_GRACE", "0s")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Launch {
            command,
            folder,
            certs: None,
            is_heard: true,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Leaves unread what it says on standard error.
    pub(crate) fn unheard(mut self) -> Self {
        self.is_heard = false;
        self
    }

    /// Gives it the certificate in a folder, whose CA is there too.
    pub(crate) fn certs(mut self, folder: &Path) -> Self {
        self.command.arg("--certs").arg(folder);
        self.certs = Some(folder.to_owned());
        self
    }

    /// Writes these policies into the folder `policies`, and serves them.
    pub(crate) fn policies(self, policies: &[(&str, &str)]) -> Self {
        let folder = self.folder().join("policies");
        fs::create_dir(&folder).unwrap();
        for (name, text) in policies {
            fs::write(folder.join(name), text).unwrap();
        }
        self.args(["--policies", "policies"])
    }

    /// Runs it until it ends by itself; returns the exit code and what it said on standard error.
    pub(crate) async fn until_it_ends(mut self) -> (Option<i32>, String) {
        let mut child = self.command.spawn().unwrap();
        let readers = [
            follow(child.stdout.take().unwrap()),
            follow(child.stderr.take().unwrap()),
        ];
        let mut running = Running(child);
        let status = running.ended().await;
        let [_, (said, reader)] = readers;
        reader.join().unwrap();
        let said = said.lock().unwrap().clone();
        (status.code(), said)
    }

    /// Starts it; returns once it serves.
    pub(crate) async fn start(mut self) -> Process {
        let mut child = self.command.spawn().unwrap();
        let (out, _) = follow(child.stdout.take().unwrap());
        let err = child.stderr.take().unwrap();
        let (err, unheard) = match self.is_heard {
            true => (follow(err).0, None),
            false => (Said::default(), Some(err)),
        };
        let mut running = Running(child);
        let welcome = eventually("the server says what it serves", || {
            let ended = running.0.try_wait().unwrap();
            let said = out.lock().unwrap().clone();
            let log = err.lock().unwrap().clone();
            async move {
                assert_eq!(ended, None, "the server ended:\n{said}\n{log}");
                // The blank line is the last.
                let is_whole = said.contains("admin ") && said.ends_with("\n\n");
                // Where decisions are written to the standard output, it is elsewhere.
                is_whole.then_some(said).or_else(|| welcomed(&log))
            }
        })
        .await;
        let authority = match &self.certs {
            Some(folder) => folder.join("ca.crt"),
            None => self.folder.path().join("certs/dev/ca.crt"),
        };
        Process {
            address: socket(&welcome, "https://"),
            admin: socket(&welcome, "http://"),
            authority,
            welcome,
            log: err,
            _unheard: unheard,
            running,
            folder: self.folder,
        }
    }
}

/// Finds what a person is told among the lines of the log.
fn welcomed(log: &str) -> Option<String> {
    // A log of JSON has a line of its own.
    let line = log.lines().find(|it| it.contains(r#""portcullis serves""#));
    if let Some(line) = line.filter(|it| it.ends_with('}')) {
        return Some(line.to_owned());
    }
    let begin = log.find(" serves; ")?;
    let text = log.get(begin..)?;
    let end = text.find("admin ")?;
    text.get(end..)?.contains("\n\n").then(|| text.to_owned())
}

/// Reads a stream to its end, on a thread.
fn follow(stream: impl Read + Send + 'static) -> (Said, JoinHandle<()>) {
    let said = Said::default();
    let writer = Arc::clone(&said);
    let reader = std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            writer
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (said, reader)
}

fn socket(welcome: &str, scheme: &str) -> SocketAddr {
    let rest = welcome.split_once(scheme).expect("there is an address").1;
    rest.split('/').next().unwrap().parse().unwrap()
}

/// A child process that does not outlive the test.
struct Running(Child);

impl Running {
    async fn ended(&mut self) -> ExitStatus {
        eventually("the process ends", || {
            let ended = self.0.try_wait().unwrap();
            async move { ended }
        })
        .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The running program.
pub(crate) struct Process {
    address: SocketAddr,
    pub(crate) admin: SocketAddr,
    authority: PathBuf,
    /// What it said on standard output when it began to serve.
    pub(crate) welcome: String,
    log: Said,
    /// A full pipe is another thing than one without a reader.
    _unheard: Option<ChildStderr>,
    running: Running,
    folder: TempDir,
}

impl Serves for Process {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn authority(&self) -> &Path {
        &self.authority
    }
}

impl Process {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a file in the folder of policies.
    pub(crate) fn policy(&self, name: &str) -> PathBuf {
        self.folder().join("policies").join(name)
    }

    /// Returns what it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.0.id()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self, Http::Two).await
    }

    /// Posts one review over a fresh connection, and returns the response in the answer.
    pub(crate) async fn review(&self, body: &Value) -> Value {
        let mut client = self.client().await;
        respond(&mut client, "/validate", body).await
    }

    pub(crate) async fn readyz(&self) -> String {
        let answer = ask(self.admin, Method::GET, "/readyz?verbose").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().to_owned()
    }

    pub(crate) async fn policies(&self) -> Value {
        ask(self.admin, Method::GET, "/policies").await.json()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.id().to_string()])
            .status();
        assert!(status.unwrap().success(), "kill {signal}");
    }

    /// Waits until it has ended; returns its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        self.running.ended().await.code()
    }

    /// Ends it as a person at a terminal does, and expects that all went well.
    pub(crate) async fn stop(mut self) {
        self.signal("-INT");
        assert_eq!(self.ended().await, Some(0), "{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }
}

/// Posts a review; returns the response of the AdmissionReview that answers it, whose `uid` must be
/// the request's.
pub(crate) async fn respond(client: &mut Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["response"]["uid"], body["request"]["uid"]);
    answer["response"].clone()
}
