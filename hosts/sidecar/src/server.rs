//! Listening, accepting, and ending gracefully.

use std::future::Future;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use tokio_rustls::TlsAcceptor;

use crate::config::Address;
use crate::state::State;

/// A socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct ListenError {
    address: Address,
    #[source]
    cause: io::Error,
}

/// A socket that is listened on.
#[derive(Debug)]
pub enum Listener {
    /// By TCP.
    Tcp(TcpListener),
    /// In the file system. The file goes when this does.
    Unix(UnixListener, SocketFile),
}

/// A socket's file.
#[derive(Debug)]
pub struct SocketFile(std::path::PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens.
    ///
    /// A socket file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// When the address is in use or not to be had.
    pub async fn bind(address: &Address) -> Result<Self, ListenError> {
        let bound = match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Address::Unix(path) => {
                remove_stale(path);
                let bound = UnixListener::bind(path);
                bound.map(|listener| Self::Unix(listener, SocketFile(path.clone())))
            }
        };
        bound.map_err(|cause| ListenError {
            address: address.clone(),
            cause,
        })
    }

    /// Where it listens; the port is the one that the system chose if 0 was asked for.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, file) => Ok(Address::Unix(file.0.clone())),
        }
    }
}

/// Removes the socket that a process left which did not end well.
fn remove_stale(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    let refused = |e: io::Error| e.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err_and(refused) {
        // If that fails, so does binding, and says why.
        let _ = std::fs::remove_file(path);
    }
}

/// Says to all servers that it is time to end.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Says it.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is said.
    pub async fn begun(&self) {
        // The sender is in `self`, so it does not go meanwhile.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

/// Serves connections of one listener.
#[derive(Clone)]
pub struct Server {
    state: Arc<State>,
    router: Router,
    http: auto::Builder<TokioExecutor>,
    connections: Arc<Semaphore>,
    header_time: Duration,
    drain_time: Duration,
}

/// How long to wait when the system has no more files to give.
const PAUSE: Duration = Duration::from_millis(50);

/// Requests that a client may have in work on one HTTP/2 connection.
const STREAMS: u32 = 256;

/// Bytes of an HTTP/1 request's head, and of an HTTP/2 request's headers.
const HEAD_BYTES: u32 = 64 << 10;

impl Server {
    /// A server of these endpoints.
    pub fn new(router: Router, state: &Arc<State>) -> Self {
        let limits = &state.config().limits;
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_buf_size(HEAD_BYTES as usize);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(limits.header_time)
            .keep_alive_timeout(limits.header_time);
        Self {
            state: Arc::clone(state),
            router,
            http,
            connections: Arc::new(Semaphore::new(limits.connections)),
            header_time: limits.header_time,
            drain_time: limits.drain_time,
        }
    }

    /// Serves until the shutdown has begun and what is in work is done, or takes too long.
    pub async fn serve(self, listener: Listener, shutdown: Shutdown) {
        let graceful = GracefulShutdown::new();
        let mut begun = pin!(shutdown.begun());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut begun => break,
                accepted = self.accept(&listener, &graceful) => accepted,
            };
            // Nothing is wrong with the listener: a client gave up, or there are too many files.
            if accepted.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        drop(listener);
        // What is still in work then is cut off.
        let _ = tokio::time::timeout(self.drain_time, graceful.shutdown()).await;
    }

    async fn accept(&self, listener: &Listener, graceful: &GracefulShutdown) -> io::Result<()> {
        let connections = Arc::clone(&self.connections);
        let permit = connections
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        match listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small, and are not to wait for one another.
                stream.set_nodelay(true)?;
                let watcher = graceful.watcher();
                match self.state.config().tls {
                    None => tokio::spawn(self.clone().connection(stream, watcher, permit)),
                    Some(_) => tokio::spawn(self.clone().secure(stream, watcher, permit)),
                };
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(self.clone().connection(stream, graceful.watcher(), permit));
            }
        }
        Ok(())
    }

    /// Serves one connection that begins with TLS.
    async fn secure(self, stream: TcpStream, watcher: Watcher, permit: OwnedSemaphorePermit) {
        let Some(tls) = self.state.credentials().tls.clone() else {
            return;
        };
        let shaken = TlsAcceptor::from(tls).accept(stream);
        // Who does not manage is gone.
        if let Ok(Ok(stream)) = tokio::time::timeout(self.header_time, shaken).await {
            self.connection(stream, watcher, permit).await;
        }
    }

    /// Serves one connection.
    async fn connection(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        watcher: Watcher,
        _permit: OwnedSemaphorePermit,
    ) {
        let used = AtomicBool::new(false);
        let service = service_fn(|request: Request<Incoming>| {
            used.store(true, Ordering::Relaxed);
            let mut router = self.router.clone();
            tower_service::Service::call(&mut router, request.map(Body::new))
        });
        let io = TokioIo::new(stream);
        let connection = self.http.serve_connection(io, service);
        let connection = watcher.watch(connection);
        // How a connection ends is the client's affair.
        let _ = until_idle(connection, &used, self.header_time).await;
    }
}

/// Drives a connection, and gives up if its first request does not come in time: hyper's own bound
/// begins when it knows which version of HTTP is spoken.
async fn until_idle<T>(
    connection: impl Future<Output = T>,
    used: &AtomicBool,
    time: Duration,
) -> Option<T> {
    let mut connection = pin!(connection);
    if let Ok(ended) = tokio::time::timeout(time, &mut connection).await {
        return Some(ended);
    }
    match used.load(Ordering::Relaxed) {
        true => Some(connection.await),
        false => None,
    }
}
