//! Frames of the frontend/backend protocol over one socket.
//!
//! In: what the server sends. Out: [`Frame`]s, whose payloads are slices of one large read buffer.
//!
//! Always: reading never waits for writing. What is to be sent is queued, and goes out when the socket takes it, so that
//! two sides that both write cannot stop each other.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{ErrorFields, Message};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::socket::Socket;
use crate::{ServerError, SourceError};

const READ_BYTES: usize = 256 * 1024;
/// Far more than the status messages of a healthy connection ever add up to.
const QUEUED_BYTES_MAX: usize = 1024 * 1024;

/// One message from the server.
pub(crate) enum Frame {
    /// `d`: copy data.
    Data(Bytes),
    /// `W`: the copy in both directions has begun.
    CopyBoth,
    /// Anything else.
    Message(Message),
}

/// A socket and its buffers.
pub(crate) struct Wire {
    socket: Socket,
    input: BytesMut,
    output: BytesMut,
    during: &'static str,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Wire {
        Wire {
            socket,
            input: BytesMut::with_capacity(READ_BYTES),
            output: BytesMut::new(),
            during: "the session started",
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What errors from here on say was going on.
    pub(crate) fn set_during(&mut self, during: &'static str) {
        self.during = during;
    }

    pub(crate) fn protocol(&self, what: impl Into<String>) -> SourceError {
        SourceError::Protocol {
            during: self.during,
            what: what.into(),
        }
    }

    fn closed(&self, source: io::Error) -> SourceError {
        SourceError::Closed {
            during: self.during,
            source,
        }
    }

    /// Queues a message; it goes out with the next read or flush.
    pub(crate) fn queue(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), SourceError> {
        if self.output.len() > QUEUED_BYTES_MAX {
            return Err(self.closed(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server does not read",
            )));
        }
        let start = self.output.len();
        write(&mut self.output).map_err(|error| {
            self.output.truncate(start);
            self.protocol(error.to_string())
        })
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Sends as much as the socket takes now.
    pub(crate) async fn push(&mut self) -> Result<(), SourceError> {
        let sent = poll_fn(|cx| match self.poll_output(cx) {
            Poll::Ready(sent) => Poll::Ready(sent),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await;
        sent.map_err(|error| self.closed(error))
    }

    /// The next frame if it has already arrived.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, SourceError> {
        let Some((&tag, rest)) = self.input.split_first() else {
            return Ok(None);
        };
        let Some(length) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        let total = match usize::try_from(length) {
            Ok(length) if length >= 4 => length + 1,
            _ => return Err(self.protocol(format!("a message of length {length}"))),
        };
        if self.input.len() < total {
            // Room for the whole message at once; it may be a row of a gigabyte.
            let missing = total - self.input.len();
            if missing > READ_BYTES {
                self.input.reserve(missing);
            }
            return Ok(None);
        }
        match tag {
            b'd' => {
                let mut frame = self.input.split_to(total);
                frame.advance(5);
                Ok(Some(Frame::Data(frame.freeze())))
            }
            b'W' => {
                self.input.advance(total);
                Ok(Some(Frame::CopyBoth))
            }
            _ => match Message::parse(&mut self.input) {
                Ok(message) => Ok(message.map(Frame::Message)),
                Err(error) => Err(self.protocol(error.to_string())),
            },
        }
    }

    /// The next frame. Cancel safe: nothing read is lost.
    pub(crate) async fn next(&mut self) -> Result<Frame, SourceError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            let read = poll_fn(|cx| {
                if let Poll::Ready(Err(error)) = self.poll_output(cx) {
                    return Poll::Ready(Err(error));
                }
                self.poll_input(cx)
            })
            .await;
            match read {
                Ok(0) => return Err(self.closed(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(self.closed(error)),
            }
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < READ_BYTES / 8 {
            self.input.reserve(READ_BYTES);
        }
        let read = pin!(self.socket.read_buf(&mut self.input));
        read.poll(cx)
    }

    /// The next message that is neither data nor a notice nor a parameter.
    pub(crate) async fn message(&mut self) -> Result<Message, SourceError> {
        loop {
            match self.next().await? {
                Frame::Message(
                    Message::NoticeResponse(_)
                    | Message::ParameterStatus(_)
                    | Message::NotificationResponse(_),
                ) => {}
                Frame::Message(message) => return Ok(message),
                Frame::Data(_) | Frame::CopyBoth => {
                    return Err(self.protocol("copy data that was not asked for"));
                }
            }
        }
    }
}

/// What an `E` message says.
pub(crate) fn server_error(mut fields: ErrorFields<'_>) -> ServerError {
    let mut error = ServerError {
        code: String::new(),
        message: String::new(),
        detail: None,
        hint: None,
    };
    while let Ok(Some(field)) = fields.next() {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => error.code = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            _ => {}
        }
    }
    error
}
