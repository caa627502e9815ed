//! The service as a process: what clients see, how it stops, how it misbehaves when asked to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

struct Service {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Service {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hello"))
            .env_clear()
            .env("PORT", "0")
            .env("HELLO_ADDRESS", "127.0.0.1")
            .env("HELLO_THREADS", "2")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        while !line.starts_with("listening") {
            line.clear();
            assert!(output.read_line(&mut line).expect("its output is text") > 0, "no address");
        }
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        Self { child, output, port: port.expect("the line ends with a port") }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out is set");
        stream
    }

    /// Sends `request` and reads until the other end closes.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
        answer
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(killed.success());
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads one answer with a content length from a connection that stays open.
fn read_answer(stream: &mut impl BufRead) -> (String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).expect("the head is text") > 0, "cut after {head:?}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|text| text.parse().ok()).expect("the answer has a length");
    let mut content = vec![0; length];
    stream.read_exact(&mut content).expect("the content is whole");
    (head, content)
}

const CLOSE: &str = "HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[test]
fn it_says_who_answers() {
    let service = Service::start(&[("FREEHOLD_INSTANCE", "hello-7"), ("FREEHOLD_RELEASE", "3")]);
    let answer = service.ask(&format!("GET / {CLOSE}"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#""instance":"hello-7","release":"3""#), "{answer}");
    assert!(service.ask(&format!("GET /healthz {CLOSE}")).ends_with("\r\n\r\nok\n"));
    assert!(service.ask(&format!("GET /none {CLOSE}")).starts_with("HTTP/1.1 404 "));
    assert!(service.ask(&format!("GET /headers {CLOSE}")).contains("\r\nhost: x\r\n"));
    assert!(service.ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let service = Service::start(&[]);
    let mut stream = service.connect();
    let slow = "GET /slow?ms=20 HTTP/1.1\r\n\r\n";
    let requests: Vec<_> = (0..50).map(|n| format!("GET /bytes?n={n} HTTP/1.1\r\n\r\n")).collect();
    stream.write_all(format!("{slow}{}", requests.concat()).as_bytes()).expect("it reads");
    let mut stream = BufReader::new(stream);
    assert!(read_answer(&mut stream).0.contains("application/json"));
    for n in 0..50 {
        assert_eq!(read_answer(&mut stream).1.len(), n);
    }
}

#[test]
fn large_answers_are_whole() {
    let service = Service::start(&[]);
    for n in [16_000, 16_384, 16_385, 5_000_000] {
        let answer = service.ask(&format!("GET /bytes?n={n} {CLOSE}"));
        let content = answer.split_once("\r\n\r\n").expect("there is a head").1;
        assert_eq!(content.len(), n);
        assert!(content.bytes().all(|b| b == b'.'));
    }
}

#[test]
fn uploads_are_counted_however_they_are_framed() {
    let service = Service::start(&[]);
    let mut stream = service.connect();
    let body = "x".repeat(100_000);
    let known = format!("PUT /upload HTTP/1.1\r\ncontent-length: 100000\r\n\r\n{body}");
    let chunk = format!("186a0\r\n{body}\r\n");
    let chunked = format!(
        "POST /upload HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    stream.write_all((known + &chunked).as_bytes()).expect("it reads");
    let mut stream = BufReader::new(stream);
    assert_eq!(read_answer(&mut stream).1, b"100000\n");
    assert_eq!(read_answer(&mut stream).1, b"200000\n");
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let service = Service::start(&[]);
    let mut stream = BufReader::new(service.connect());
    let head = "PUT /upload HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    stream.get_mut().write_all(head.as_bytes()).expect("it reads");
    let mut line = String::new();
    stream.read_line(&mut line).expect("it answers");
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
    stream.read_line(&mut line).expect("the head ends");
    stream.get_mut().write_all(b"abc").expect("it reads");
    assert_eq!(read_answer(&mut stream).1, b"3\n");
}

#[test]
fn a_stop_finishes_what_has_begun() {
    let mut service = Service::start(&[]);
    let mut slow: Vec<_> = (0..8).map(|_| BufReader::new(service.connect())).collect();
    let _idle = service.connect();
    for stream in &mut slow {
        let request = b"GET /slow?ms=500 HTTP/1.1\r\n\r\n";
        stream.get_mut().write_all(request).expect("it reads");
    }
    service.terminate();
    for stream in &mut slow {
        let (head, content) = read_answer(stream);
        assert!(head.starts_with("HTTP/1.1 200 ") && content.starts_with(b"{"));
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(stream.read(&mut [0]).expect("it closes in order"), 0);
    }
    drop(slow);
    assert_eq!(service.wait().code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", service.port)).is_err(), "it listens no more");
    let mut rest = String::new();
    service.output.read_to_string(&mut rest).expect("its output is text");
    assert!(rest.ends_with("stopped\n"), "{rest}");
}

#[test]
fn the_first_answer_after_the_order_to_stop_is_the_last() {
    let mut service = Service::start(&[]);
    let mut stream = BufReader::new(service.connect());
    let requests = "GET /slow?ms=300 HTTP/1.1\r\n\r\nGET /plain HTTP/1.1\r\n\r\n";
    stream.get_mut().write_all(requests.as_bytes()).expect("it reads");
    service.terminate();
    assert!(read_answer(&mut stream).0.contains("connection: close"));
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("it closes in order");
    assert!(rest.is_empty(), "the first answer was the last: {rest}");
    drop(stream);
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn trouble_is_made_on_demand_only() {
    let sick = Service::start(&[("HELLO_UNHEALTHY", "1")]);
    assert!(sick.ask(&format!("GET /healthz {CLOSE}")).starts_with("HTTP/1.1 503 "));
    assert!(sick.ask(&format!("GET / {CLOSE}")).starts_with("HTTP/1.1 200 "));

    let mut dying = Service::start(&[("HELLO_EXIT_AFTER_MS", "1"), ("HELLO_EXIT_CODE", "42")]);
    assert_eq!(dying.wait().code(), Some(42));

    let mut loud = Service::start(&[("HELLO_LOG_LINES_PER_S", "100000")]);
    let mut numbers = Vec::new();
    while numbers.len() < 1000 {
        let mut line = String::new();
        loud.output.read_line(&mut line).expect("its output is text");
        numbers.extend(line.strip_prefix("line ").and_then(|n| n.trim().parse::<u64>().ok()));
    }
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));

    let mut eating = Service::start(&[("HELLO_EAT_MEMORY", "20")]);
    let mut line = String::new();
    while !line.contains("done") {
        assert!(eating.output.read_line(&mut line).expect("its output is text") > 0);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", eating.child.id()));
    let status = status.expect("it is alive");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kilobytes >= 20 * 1024, "{kilobytes}");
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let output = Command::new(env!("CARGO_BIN_EXE_hello")).env("PORT", "many").output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("PORT"));
}
