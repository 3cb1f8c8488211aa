//! Sockets: binding them, and accepting connections up to a limit; not what is answered on them, nor when they are left
//! unread (`reading.rs`).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::config::Limits;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::reading::{Readers, Reading};

/// Who may use the Unix socket: owner and group.
const SOCKET_MODE: u32 = 0o660;
/// Pause after an accept that failed, as when file descriptors have run out: trying at once would only burn
/// the core that could free one.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket that nobody is accepted on yet.
pub(crate) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes the socket's file when dropped.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Binds a TCP address.
pub(crate) fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Binds a Unix socket; a file left by a process that ended is replaced, a living one's is not.
pub(crate) fn bind_unix(path: &Path) -> io::Result<Bound> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "expected a free path, came a file that is no socket",
            ));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process answers on this socket",
            ));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok(Bound::Unix(listener, file))
}

impl Bound {
    /// Whether only this machine can reach it.
    pub(crate) fn local(&self) -> bool {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().is_ok_and(|address| address.ip().is_loopback())
            }
            Self::Unix(..) => true,
        }
    }
}

/// One connection; counts while it lives.
pub(crate) struct Connection {
    io: Io,
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
    outbox: Arc<Outbox>,
    reading: Reading,
    /// When to look whether the outbox is stuck.
    look: Interval,
}

impl Connection {
    fn new(
        io: Io,
        permit: OwnedSemaphorePermit,
        metrics: Arc<Metrics>,
        reading: Reading,
        send: Duration,
    ) -> Self {
        metrics.connections.inc();
        let outbox = Arc::new(Outbox::new(send));
        let mut look = tokio::time::interval(outbox.look_every());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { io, _permit: permit, metrics, outbox, reading, look }
    }

    /// Reads at most so many bytes.
    fn read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        if max >= buffer.remaining() {
            return self.io.read(context, buffer);
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(max));
        ready!(self.io.read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }

    /// What a read or write gives that must wait: an error, which closes the connection, if its client takes no
    /// answers. Asked whenever it must wait, and woken up to be asked.
    fn waits<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        while self.look.poll_tick(context).is_ready() {
            if self.outbox.stuck() {
                self.metrics.stuck.inc();
                let why = "the client took no answer for too long (limits.send_ms_max)";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
        }
        Poll::Pending
    }
}

enum Io {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Io {
    fn read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => Pin::new(io).poll_read(context, buffer),
            Self::Unix(io) => Pin::new(io).poll_read(context, buffer),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Outbox>;

    fn connect_info(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }
}

/// Accepts until `stop`, at most `limits.connections_max` at once: one more is closed at once. Must be called
/// within the runtime that shall accept.
pub(crate) fn accept(
    bound: Bound,
    limits: &Limits,
    metrics: Arc<Metrics>,
    readers: Readers,
    stop: CancellationToken,
) -> io::Result<ReceiverStream<io::Result<Connection>>> {
    let (listener, file) = match bound {
        Bound::Tcp(listener) => (Listener::Tcp(tokio::net::TcpListener::from_std(listener)?), None),
        Bound::Unix(listener, file) => {
            (Listener::Unix(tokio::net::UnixListener::from_std(listener)?), Some(file))
        }
    };
    let (connections, accepted) = channel(1);
    let connections_max = limits.connections_max;
    let send = Duration::from_millis(limits.send_ms_max);
    let permits = Arc::new(Semaphore::new(connections_max));
    tokio::spawn(async move {
        let _file = file;
        loop {
            let io = tokio::select! {
                () = stop.cancelled() => return,
                io = listener.accept() => io,
            };
            match io {
                Ok(io) => {
                    let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                        tracing::warn!(
                            connections_max,
                            "connection refused (limits.connections_max)"
                        );
                        continue;
                    };
                    let (metrics, reading) = (Arc::clone(&metrics), readers.reading());
                    let connection = Connection::new(io, permit, metrics, reading, send);
                    if connections.send(Ok(connection)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection couldn't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(ReceiverStream::new(accepted))
}

enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Io> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are single writes: waiting to fill a packet would only delay them.
                stream.set_nodelay(true)?;
                Ok(Io::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Io::Unix(listener.accept().await?.0)),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Poll::Ready(max) = this.reading.poll(context) else { return this.waits(context) };
        let read = this.read(context, buffer, max);
        this.reading.done();
        if read.is_pending() { this.waits(context) } else { read }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.io {
            Io::Tcp(io) => Pin::new(io).poll_write(context, bytes),
            Io::Unix(io) => Pin::new(io).poll_write(context, bytes),
        };
        if written.is_pending() { this.waits(context) } else { written }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.io {
            Io::Tcp(io) => Pin::new(io).poll_write_vectored(context, parts),
            Io::Unix(io) => Pin::new(io).poll_write_vectored(context, parts),
        };
        if written.is_pending() { this.waits(context) } else { written }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_flush(context),
            Io::Unix(io) => Pin::new(io).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(context),
            Io::Unix(io) => Pin::new(io).poll_shutdown(context),
        }
    }
}
