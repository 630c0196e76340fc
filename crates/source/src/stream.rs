//! The running stream: frames in, positions out.
//!
//! Always: nothing is confirmed that this server did not send on this connection, or had confirmed before it; reading never
//! waits for writing.

use bytes::{Buf, BufMut, Bytes};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use readside_model::{Lsn, Timestamp};

use crate::wire::{Frame, Wire, server_error};
use crate::{ServerError, SourceError};

/// One frame of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `w`: one pgoutput message.
    XLogData {
        /// The LSN of what the message is about; of a Commit, its end LSN.
        wal_start: Lsn,
        /// The server's position when it was sent.
        wal_end: Lsn,
        /// The server's clock.
        server_time: Timestamp,
        /// The message; a slice of the read buffer.
        data: Bytes,
    },
    /// `k`: where the server is. Between transactions, everything before it has been sent.
    Keepalive {
        /// The server's end of WAL as far as this stream is concerned.
        wal_end: Lsn,
        /// The server's clock.
        server_time: Timestamp,
        /// An answer is wanted at once; without one the server hangs up, or cannot stop.
        reply_requested: bool,
    },
}

/// A running stream. Closing it is dropping it: nothing is lost, the slot keeps what was not confirmed.
pub struct ReplicationStream {
    wire: Wire,
    publication: String,
    slot: String,
    /// The end of what may be confirmed.
    received: Lsn,
    confirmed: Lsn,
}

impl std::fmt::Debug for ReplicationStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicationStream")
            .field("slot", &self.slot)
            .field("received", &self.received)
            .field("confirmed", &self.confirmed)
            .finish_non_exhaustive()
    }
}

/// Ends a stream from any thread, at once, whatever its reader is doing.
///
/// A client that stops reading can freeze the server's checkpoints. So a watchdog thread holds one of these, and uses it when
/// the reader has been stuck for too long (on a disk, say). Nothing is lost by it.
#[derive(Debug)]
pub struct Hangup {
    socket: socket2::Socket,
}

impl Hangup {
    /// Ends the connection; the reader, when it comes back, finds it closed.
    ///
    /// # Errors
    /// When it is closed already.
    pub fn hang_up(&self) -> std::io::Result<()> {
        self.socket.shutdown(std::net::Shutdown::Both)
    }
}

impl ReplicationStream {
    /// What a watchdog needs.
    ///
    /// # Errors
    /// When the process has no file descriptors left.
    pub fn hangup(&self) -> std::io::Result<Hangup> {
        Ok(Hangup {
            socket: self.wire.socket().second_handle()?,
        })
    }

    pub(crate) fn new(
        mut wire: Wire,
        publication: &str,
        slot: &str,
        start: Lsn,
    ) -> ReplicationStream {
        wire.set_during("the stream ran");
        ReplicationStream {
            wire,
            publication: publication.to_owned(),
            slot: slot.to_owned(),
            received: start,
            confirmed: start,
        }
    }

    /// Where the stream began: the later of what was asked for and what the slot had confirmed. A value above the durable
    /// end of the changelog is a gap.
    #[must_use]
    pub fn received(&self) -> Lsn {
        self.received
    }

    /// The next frame, waiting for it. Cancel safe.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] when the server shuts down, [`SourceError::PublicationMissing`],
    /// [`SourceError::SlotLost`], [`SourceError::Closed`], …
    pub async fn next(&mut self) -> Result<Event, SourceError> {
        loop {
            let frame = self.wire.next().await?;
            if let Some(event) = self.event(frame)? {
                return Ok(event);
            }
        }
    }

    /// The next frame if it is here already: what to call in a loop between two awaits of [`ReplicationStream::next`].
    ///
    /// # Errors
    /// As [`ReplicationStream::next`].
    pub fn try_next_buffered(&mut self) -> Result<Option<Event>, SourceError> {
        while let Some(frame) = self.wire.buffered()? {
            if let Some(event) = self.event(frame)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Tells the server how far we are. Goes out now or with the next read, and never waits.
    ///
    /// `flushed` is what lets the server forget: it must be durable here.
    ///
    /// # Errors
    /// [`SourceError::ConfirmBeyondReceived`] when a position was never received: a mistake that would lose data silently.
    pub async fn send_status(
        &mut self,
        written: Lsn,
        flushed: Lsn,
        applied: Lsn,
        reply_requested: bool,
    ) -> Result<(), SourceError> {
        let highest = written.max(flushed).max(applied);
        if highest > self.received {
            return Err(SourceError::ConfirmBeyondReceived {
                asked: highest,
                received: self.received,
            });
        }
        let mut status = [0_u8; 34];
        let mut out = status.as_mut_slice();
        out.put_u8(b'r');
        out.put_u64(written.0);
        out.put_u64(flushed.0);
        out.put_u64(applied.0);
        out.put_i64(now());
        out.put_u8(u8::from(reply_requested));
        self.wire.queue(|out| {
            frontend::CopyData::new(status.as_slice())?.write(out);
            Ok(())
        })?;
        self.confirmed = self.confirmed.max(flushed);
        self.wire.push().await
    }

    fn event(&mut self, frame: Frame) -> Result<Option<Event>, SourceError> {
        match frame {
            Frame::Data(mut data) => match data.first() {
                Some(b'w') if data.len() >= 25 => {
                    data.advance(1);
                    let event = Event::XLogData {
                        wal_start: Lsn(data.get_u64()),
                        wal_end: Lsn(data.get_u64()),
                        server_time: Timestamp(data.get_i64()),
                        data,
                    };
                    if let Event::XLogData {
                        wal_start, wal_end, ..
                    } = &event
                    {
                        self.received = self.received.max(*wal_start).max(*wal_end);
                    }
                    Ok(Some(event))
                }
                Some(b'k') if data.len() >= 18 => {
                    data.advance(1);
                    let wal_end = Lsn(data.get_u64());
                    self.received = self.received.max(wal_end);
                    Ok(Some(Event::Keepalive {
                        wal_end,
                        server_time: Timestamp(data.get_i64()),
                        reply_requested: data.get_u8() != 0,
                    }))
                }
                Some(other) => Err(self.wire.protocol(format!(
                    "a replication frame 0x{other:02x} of {} bytes",
                    data.len()
                ))),
                None => Err(self.wire.protocol("an empty replication frame")),
            },
            Frame::Message(Message::ErrorResponse(body)) => {
                Err(self.explain(server_error(body.fields())))
            }
            // What a server says that has sent everything and stops.
            Frame::Message(Message::CopyDone | Message::CommandComplete(_)) => {
                Err(SourceError::Unavailable(ServerError {
                    code: "57P01".to_owned(),
                    message: "the server ended the stream, as it does when it shuts down"
                        .to_owned(),
                    detail: None,
                    hint: None,
                }))
            }
            Frame::Message(
                Message::NoticeResponse(_)
                | Message::ParameterStatus(_)
                | Message::NotificationResponse(_),
            ) => Ok(None),
            Frame::Message(_) | Frame::CopyBoth => Err(self.wire.protocol("an unexpected message")),
        }
    }

    fn explain(&self, error: ServerError) -> SourceError {
        match error.code.as_str() {
            // The only object that decoding looks up by name is the publication.
            "42704" => SourceError::PublicationMissing {
                publication: self.publication.clone(),
            },
            // The slot was invalidated, or a WAL segment that it needs is gone.
            "55000" | "58P01" => SourceError::SlotLost {
                slot: self.slot.clone(),
                reason: error.message,
            },
            _ => SourceError::of_server(error),
        }
    }
}

/// Microseconds since 2000-01-01, as the server counts; 0 for a clock before that.
fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .map_or(0, |micros| micros - Timestamp::UNIX_OFFSET_MICROS)
}
