//! What a test starts: the sidecar and gateways as processes, and the server behind them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a process may take to come up; machines that test are busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Names the configuration for a process that is to be the sidecar.
const SIDECAR: &str = "CEDARJIT_TEST_SIDECAR";

/// Runs the sidecar, in a process that was started for it.
pub(crate) fn be_the_sidecar() {
    if let Some(config) = std::env::var_os(SIDECAR) {
        let config = Some(PathBuf::from(config));
        let args = cedarjit_sidecar::ServeArgs {
            config,
            ..Default::default()
        };
        cedarjit_sidecar::run(&args).expect("a sidecar");
    }
}

/// The path of a program, `None` if it is not there.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CEDARJIT_GATEWAYS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = folder.into_iter().chain(std::env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()))
}

/// A folder that is removed when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A copy of the example, with these texts exchanged in all files.
    pub(crate) fn of_example(name: &str, exchange: &[(&str, String)]) -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("cedarjit-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gateways");
        for entry in fs::read_dir(example).expect("the example") {
            let file = entry.expect("a file").path();
            let mut text = fs::read_to_string(&file).expect("a text");
            for (from, to) in exchange {
                text = text.replace(from, to);
            }
            fs::write(path.join(file.file_name().expect("a name")), text).expect("a copy");
        }
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with its test, and what it says.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("a log");
        let both = file.try_clone().expect("a log");
        let command = command.stdin(Stdio::null()).stdout(file).stderr(both);
        let child = command.spawn().expect("a process");
        Self { child, log }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it accepts connections.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) {
        let since = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().expect("a state");
            let late = since.elapsed() > PATIENCE;
            assert!(ended.is_none() && !late, "{ended:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a state").is_none()
    }

    /// Sends it a signal, `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill").success(), "{name}");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits.
    pub(crate) fn end(&mut self) {
        self.signal("TERM");
        let since = Instant::now();
        while self.runs() && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The sidecar, with a configuration of the folder.
pub(crate) fn sidecar(folder: &Folder, config: &str, address: SocketAddr) -> Process {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command
        .args(["sidecar_process", "--exact", "--nocapture"])
        .env(SIDECAR, folder.path().join(config));
    let mut process = Process::start(&mut command, folder.path().join("sidecar.log"));
    process.wait_for(address);
    process
}

/// An address that nobody listens on at the moment.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// The server that the gateways protect. It says what it is asked, and counts.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || answer(stream, &counter));
            }
        });
        Self { address, asked }
    }

    /// How many requests came through.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(stream: TcpStream, counter: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    counter.fetch_add(1, Ordering::SeqCst);
    let user = head
        .iter()
        .filter(|line| line.to_ascii_lowercase().starts_with("x-user:"));
    let user: Vec<&str> = user
        .filter_map(|line| Some(line.split_once(':')?.1.trim()))
        .collect();
    let body = format!("upstream: {} for {}\n", head.first()?, user.join(","));
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    reader.get_mut().write_all(answer.as_bytes()).ok()
}
