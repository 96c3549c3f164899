//! A real API server: etcd and kube-apiserver as child processes on loopback, in a folder of their own.
//!
//! The programs are in `$KUBEBUILDER_ASSETS`, or where `tests/kube-apiserver/build` puts them; of the
//! current version of Kubernetes, or, with `PORTCULLIS_TEST_KUBERNETES=1.32`, of that one.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use portcullis::certs::authority;
use portcullis::webhook::tls;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// What is built, by the variable that chooses: the current version, and the oldest that is tried.
const MODULES: [(&str, &str); 2] = [
    ("", include_str!("../kube-apiserver/go.mod")),
    ("1.32", include_str!("../kube-apiserver/1.32/go.mod")),
];
/// The variable.
const CHOICE: &str = "PORTCULLIS_TEST_KUBERNETES";
/// How long a start may take; generous, for machines that are busy.
const START: Duration = Duration::from_secs(120);

/// What service accounts do is written down, and nothing else.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata, userGroups: ['system:serviceaccounts']}, {level: None}]
";

/// How the API server reaches what is in the cluster, as in one whose nodes have a network of their own.
const EGRESS: &str = "apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection: {proxyProtocol: HTTPConnect, transport: {uds: {udsName: 'SOCKET'}}}
";
const EGRESS_FILE: &str = "egress";

/// A running API server. Dropping it ends it, and its data is gone.
pub(crate) struct ApiServer {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    etcd_port: u16,
    server: Option<Running>,
    _etcd: Running,
}

/// A child process that does not outlive its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl ApiServer {
    /// Starts one; returns once it is ready.
    pub(crate) async fn start() -> Self {
        ApiServer::start_in(None).await
    }

    /// Starts one that asks for its connections to webhooks at a socket, by HTTP's CONNECT.
    pub(crate) async fn start_in(network: Option<&Path>) -> Self {
        let programs = programs();
        let folder = TempDir::new().unwrap();
        let [port, etcd_port, peer_port] = free_ports();
        let certs = folder.path().join("certs");
        authority::ensure(&certs, SystemTime::now(), &tls::provider()).unwrap();
        let tokens = "admin-token,admin,1,system:masters\njane-token,jane,2,developers\n\
                      portcullis-token,system:serviceaccount:policy:portcullis,3,\
                      \"system:serviceaccounts,system:serviceaccounts:policy\"\n\
                      first-token,system:serviceaccount:gate-a:first.gate-a,5,\
                      \"system:serviceaccounts,system:serviceaccounts:gate-a\"\n\
                      second-token,system:serviceaccount:gate-b:second.gate-b,6,\
                      \"system:serviceaccounts,system:serviceaccounts:gate-b\"\n\
                      release-token,system:serviceaccount:portcullis-system:portcullis,4,\
                      \"system:serviceaccounts,system:serviceaccounts:portcullis-system\"\n";
        fs::write(folder.path().join("tokens"), tokens).unwrap();
        fs::write(folder.path().join("audit"), AUDIT).unwrap();
        if let Some(socket) = network {
            let text = EGRESS.replace("SOCKET", socket.to_str().unwrap());
            fs::write(folder.path().join(EGRESS_FILE), text).unwrap();
        }
        let mut etcd = Command::new(programs.join("etcd"));
        let (client, peer) = (address(etcd_port), address(peer_port));
        etcd.arg("--data-dir")
            .arg(folder.path().join("etcd"))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(["--unsafe-no-fsync", "--log-level", "error"]);
        let etcd = run(etcd, folder.path(), "etcd");
        let mut server = ApiServer {
            folder,
            programs,
            port,
            etcd_port,
            server: None,
            _etcd: etcd,
        };
        server.resume().await;
        server
    }

    /// Ends the API server; its data stays.
    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    /// Lets the API server answer nothing; its connections stay.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.server.as_ref().unwrap().0.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.unwrap().success());
    }

    /// Starts the API server again where it was; returns once it is ready.
    pub(crate) async fn resume(&mut self) {
        let folder = self.folder.path();
        let mut server = Command::new(self.programs.join("kube-apiserver"));
        let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
        server
            // Nothing that it calls is elsewhere.
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .arg(format!("--etcd-servers={}", address(self.etcd_port)))
            .arg(format!("--secure-port={}", self.port))
            .arg(file("tls-cert-file", "certs/tls.crt"))
            .arg(file("tls-private-key-file", "certs/tls.key"))
            .arg(file("service-account-key-file", "certs/tls.crt"))
            .arg(file("service-account-signing-key-file", "certs/tls.key"))
            .arg(file("token-auth-file", "tokens"))
            .arg(file("cert-dir", "apiserver"))
            .arg(file("audit-policy-file", "audit"))
            .arg(file("audit-log-path", "audit.log"))
            .args([
                "--bind-address=127.0.0.1",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.0.0.0/24",
                // No controller makes the accounts that pods would need.
                "--disable-admission-plugins=ServiceAccount",
                // Nothing else has its lease here.
                "--endpoint-reconciler-type=none",
            ]);
        if folder.join(EGRESS_FILE).is_file() {
            server.arg(file("egress-selector-config-file", EGRESS_FILE));
        }
        self.server = Some(run(server, folder, "kube-apiserver"));
        let client = self.client("admin").await;
        let deadline = Instant::now() + START;
        loop {
            let request = http_get("/readyz");
            if client.request_text(request).await.is_ok() {
                return;
            }
            let running = self.server.as_mut().unwrap();
            let ended = running.0.try_wait().unwrap();
            let log = || fs::read_to_string(self.folder.path().join("kube-apiserver.log"));
            assert!(ended.is_none(), "it ended: {}", log().unwrap_or_default());
            let is_late = Instant::now() > deadline;
            assert!(!is_late, "never ready: {}", log().unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns the port of etcd.
    pub(crate) fn etcd_port(&self) -> u16 {
        self.etcd_port
    }

    /// Returns the audit events of a service account, by the name of its user.
    pub(crate) fn audit(&self, user: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit.log")).unwrap();
        // The last line may be on its way.
        let lines = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
        let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        events
            .filter(|event| event["user"]["username"] == user)
            .collect()
    }

    /// Writes the kubeconfig of a user and returns its path.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{user}.kubeconfig"));
        let authority = self.folder.path().join("certs/ca.crt");
        let text = format!(
            "apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority: '{}'}}}}]
users: [{{name: {user}, user: {{token: {user}-token}}}}]
contexts: [{{name: test, context: {{cluster: test, user: {user}}}}}]
",
            self.port,
            authority.display()
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// Returns a client for a user.
    pub(crate) async fn client(&self, user: &str) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig(user)).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Client::try_from(config.unwrap()).unwrap()
    }
}

fn http_get(path: &str) -> axum::http::Request<Vec<u8>> {
    axum::http::Request::get(path).body(Vec::new()).unwrap()
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn run(mut command: Command, folder: &Path, name: &str) -> Running {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("{name}.log")))
        .unwrap();
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running(command.spawn().unwrap())
}

/// Ports that nobody listens on; all are held until the last is found. They are below those that systems
/// give to connections, so that nobody has them between two lives of a server.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 500).unwrap() * 24;
    let held = [(); COUNT].map(|()| {
        let mut tried =
            (0..).map(|_| 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
        let listener = tried.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        listener.unwrap()
    });
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn programs() -> PathBuf {
    let choice = std::env::var(CHOICE).unwrap_or_default();
    let folder = match std::env::var_os("KUBEBUILDER_ASSETS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
            let cache = cache.unwrap_or_else(|| home().join(".cache"));
            cache.join("portcullis/kubernetes").join(version(&choice))
        }
    };
    for program in ["etcd", "kube-apiserver"] {
        assert!(
            folder.join(program).is_file(),
            "there is no {program} in {}: run `tests/kube-apiserver/build {choice}`, or name a folder that \
             has it in KUBEBUILDER_ASSETS",
            folder.display()
        );
    }
    folder
}

/// Returns the version of Kubernetes that is chosen.
fn version(choice: &str) -> &'static str {
    let chosen = MODULES.iter().find(|(name, _)| *name == choice);
    let (_, module) = chosen.unwrap_or_else(|| panic!("{CHOICE}={choice} is not built"));
    let mut lines = module.lines().map(str::split_whitespace);
    let version = lines
        .find_map(|mut words| (words.next() == Some("k8s.io/kubernetes")).then(|| words.next()));
    version.flatten().expect("go.mod names Kubernetes")
}
