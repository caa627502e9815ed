//! One client's connection: bytes in, requests, answers, bytes out, without ever blocking.
//! Answers one request at a time; what is pipelined waits in the buffer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::http::{self, Body, MAX_HEAD_BYTES, Malformed};
use crate::reply::Reply;
use crate::settings::Settings;

/// How much is read at once: a whole head always fits.
const INPUT_BYTES: usize = MAX_HEAD_BYTES;

/// How long a client may take to close after the last answer.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What `/bytes` sends, over and over.
static FILLING: [u8; 16 * 1024] = [b'.'; 16 * 1024];

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The socket, either way.
    Socket,
    /// The socket, or a moment: to answer a slow request, or to close.
    Until(Instant),
    /// Nothing: it is over.
    Closed,
}

enum State {
    /// Between requests, or within a head.
    Head,
    /// Within a request's body; the answer is decided.
    Body { body: Body, received: u64, reply: Reply, keep_alive: bool },
    /// Holding an answer back.
    Delayed { until: Instant, received: u64, reply: Reply, keep_alive: bool },
    /// Sending an answer.
    Sending { keep_alive: bool },
    /// Everything is sent; reading on until the client has closed too. Closing at once could reset
    /// the connection and take the answer with it (RFC 9112 §9.6).
    Closing { until: Instant },
}

/// A connection and its buffers: at most 16 KiB in, and an answer's head and text out.
pub(crate) struct Connection {
    stream: TcpStream,
    input: Box<[u8; INPUT_BYTES]>,
    /// The part of `input` that holds unread bytes.
    from: usize,
    to: usize,
    output: Vec<u8>,
    sent: usize,
    filling: u64,
    state: State,
    /// The socket may have more to read.
    readable: bool,
    /// The client sends nothing more.
    ended: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Box::new([0; INPUT_BYTES]),
            from: 0,
            to: 0,
            output: Vec::with_capacity(512),
            sent: 0,
            filling: 0,
            state: State::Head,
            readable: true,
            ended: false,
        }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The poll said that there is something to read.
    pub(crate) fn set_readable(&mut self) {
        self.readable = true;
    }

    /// Whether no request has begun: it may be closed without anybody losing anything.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && self.from == self.to
    }

    /// Goes on as far as possible. While `stopping`, answers say that the connection ends.
    pub(crate) fn advance(&mut self, settings: &Settings, stopping: bool, now: Instant) -> Wait {
        loop {
            let went_on = match &self.state {
                State::Head => self.read_head(settings, now),
                State::Body { .. } => self.read_body(now),
                State::Delayed { until, .. } if *until > now => return Wait::Until(*until),
                State::Delayed { .. } => self.begin_sending(stopping),
                State::Sending { .. } => self.send(now),
                State::Closing { until } if *until <= now => return Wait::Closed,
                State::Closing { until } => {
                    let until = *until;
                    (self.from, self.to) = (0, 0);
                    match self.fill() {
                        Ok(false) => return Wait::Until(until),
                        other => other,
                    }
                }
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => return Wait::Socket,
                Err(_) => return Wait::Closed,
            }
        }
    }

    fn read_head(&mut self, settings: &Settings, now: Instant) -> io::Result<bool> {
        match http::parse_head(&self.input[self.from..self.to]) {
            Ok(None) => self.fill(),
            Err(Malformed(status)) => {
                let reply = Reply::text(status, "malformed request\n");
                self.answer(reply, 0, false, now);
                Ok(true)
            }
            Ok(Some((head, used))) => {
                let reply = Reply::to(&head, settings);
                let (body, waits) = (head.body, head.expects_continue);
                let keep_alive = head.keep_alive;
                self.from += used;
                if waits && !body.is_done() {
                    self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    self.write_output()?;
                }
                self.state = State::Body { body, received: 0, reply, keep_alive };
                Ok(true)
            }
        }
    }

    fn read_body(&mut self, now: Instant) -> io::Result<bool> {
        let State::Body { body, received, .. } = &mut self.state else { return Ok(true) };
        let step = http::advance_body(*body, &self.input[self.from..self.to]);
        match step {
            Err(Malformed(status)) => {
                let reply = Reply::text(status, "malformed body\n");
                self.answer(reply, 0, false, now);
                return Ok(true);
            }
            Ok((next, used, content)) => {
                let stuck = used == 0 && next == *body && !next.is_done();
                (*body, *received) = (next, *received + content);
                self.from += used;
                if stuck {
                    return self.fill();
                }
            }
        }
        if let State::Body { body, .. } = &self.state
            && body.is_done()
            && let State::Body { received, reply, keep_alive, .. } =
                std::mem::replace(&mut self.state, State::Head)
        {
            self.answer(reply, received, keep_alive, now);
        }
        Ok(true)
    }

    fn answer(&mut self, reply: Reply, received: u64, keep_alive: bool, now: Instant) {
        let until = reply.delay.map_or(now, |delay| now + delay);
        self.state = State::Delayed { until, received, reply, keep_alive };
    }

    fn begin_sending(&mut self, stopping: bool) -> io::Result<bool> {
        if let State::Delayed { received, reply, keep_alive, .. } = &self.state {
            let keep_alive = *keep_alive && !stopping;
            self.filling = reply.write(&mut self.output, *received, keep_alive);
            self.state = State::Sending { keep_alive };
        }
        Ok(true)
    }

    /// Sends on; false when the socket is full.
    fn send(&mut self, now: Instant) -> io::Result<bool> {
        // A short filling goes out with the head, in one call.
        let room = FILLING.len().saturating_sub(self.output.len()) as u64;
        if self.sent == 0 && self.filling <= room {
            let short = usize::try_from(self.filling).expect("less than the room");
            self.output.extend_from_slice(&FILLING[..short]);
            self.filling = 0;
        }
        if !self.write_output()? {
            return Ok(false);
        }
        while self.filling > 0 {
            let most =
                usize::try_from(self.filling).map_or(FILLING.len(), |left| left.min(FILLING.len()));
            match write(&mut self.stream, &FILLING[..most])? {
                Some(sent) => self.filling -= sent as u64,
                None => return Ok(false),
            }
        }
        if let State::Sending { keep_alive: true } = self.state {
            self.state = State::Head;
            return Ok(true);
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.state = State::Closing { until: now + CLOSE_LIMIT };
        Ok(true)
    }

    fn write_output(&mut self) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match write(&mut self.stream, &self.output[self.sent..])? {
                Some(sent) => self.sent += sent,
                None => return Ok(false),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Reads more; false when there is nothing now, an error when nothing will come.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !self.readable {
            return Ok(false);
        }
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.input.len() {
            self.input.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let room = self.input.len() - self.to;
        match self.stream.read(&mut self.input[self.to..]) {
            Ok(0) => {
                self.ended = true;
                Ok(true)
            }
            Ok(read) => {
                self.to += read;
                // A short read has emptied the socket; the next bytes are a new event.
                self.readable = read == room;
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(false)
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(true),
            Err(e) => Err(e),
        }
    }
}

/// Writes some bytes; `None` when the socket is full.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(sent) => return Ok(Some(sent)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
