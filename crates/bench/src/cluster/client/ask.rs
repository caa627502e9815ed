//! One request and its answer (HTTP/1.1, answers of a known length).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that is taken.
const LONGEST: usize = 16 * 1024;

/// Asks who answers on a connection that is open.
pub(super) async fn ask(stream: &mut TcpStream, host: &str, keep: bool) -> Result<String, String> {
    let connection = if keep { "keep-alive" } else { "close" };
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("send: {error}"))?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if let Some(who) = read(&answer) {
            return who;
        }
        if answer.len() > LONGEST {
            return Err("a long answer".to_owned());
        }
        match stream.read_buf(&mut answer).await {
            Ok(0) => return Err("closed".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("receive: {error}")),
        }
    }
}

/// The instance of a whole answer; none while there is more to come.
fn read(answer: &[u8]) -> Option<Result<String, String>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("no status");
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = &answer[end + 4..];
    if body.len() < length.unwrap_or(0) {
        return None;
    }
    if status != "200" {
        return Some(Err(format!("status {status}")));
    }
    let who = serde_json::from_slice::<serde_json::Value>(body).ok();
    let who = who.and_then(|who| Some(who["instance"].as_str()?.to_owned()));
    Some(who.ok_or_else(|| "an answer of nobody".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_when_they_are_whole() {
        let text = "HTTP/1.1 200 OK\r\ncontent-Length: 16\r\n\r\n{\"instance\":\"a\"}";
        for cut in 0..text.len() {
            assert_eq!(read(&text.as_bytes()[..cut]), None, "{cut}");
        }
        assert_eq!(read(text.as_bytes()), Some(Ok("a".to_owned())));
        let bad = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(bad.as_bytes()), Some(Err("status 502".to_owned())));
        let other = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        assert!(read(other.as_bytes()).unwrap().is_err());
    }
}
