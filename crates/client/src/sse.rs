//! Server-sent events out of lines (WHATWG HTML §9.2.6). Pure: who reads the lines is elsewhere.

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    /// Its type; `message` when none is given.
    pub(crate) kind: String,
    /// Its data, lines joined.
    pub(crate) data: String,
}

/// Collects lines until an event is whole.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    kind: String,
    data: String,
    has_data: bool,
    pending_id: Option<String>,
    id: Option<String>,
}

impl SseParser {
    /// Takes a line; gives the event that it ends.
    pub(crate) fn line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.pending_id = Some(value.to_owned()),
            // Comments (an empty name), `retry` and what is unknown mean nothing to us.
            _ => {}
        }
        None
    }

    /// The id to resume after: of the last event that was whole.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        if let Some(id) = self.pending_id.take() {
            self.id = Some(id);
        }
        let kind = std::mem::take(&mut self.kind);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(SseEvent { kind, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> (Vec<SseEvent>, Option<String>) {
        let mut parser = SseParser::default();
        let events = text.lines().filter_map(|line| parser.line(line.as_bytes())).collect();
        (events, parser.last_id().map(str::to_owned))
    }

    #[test]
    fn events_have_types_data_and_ids() {
        let (events, id) =
            parse(": hello\nevent: put\ndata: {\"a\":1}\n\ndata:x\ndata: y\nid: 7\n\n");
        let put = SseEvent { kind: "put".into(), data: "{\"a\":1}".into() };
        let message = SseEvent { kind: "message".into(), data: "x\ny".into() };
        assert_eq!((events, id.as_deref()), (vec![put, message], Some("7")));
    }

    #[test]
    fn an_id_counts_only_when_its_event_is_whole() {
        assert_eq!(parse("id: 4\n\nid: 5\ndata: x\n").1.as_deref(), Some("4"));
        assert_eq!(parse(": keep-alive\nid: 9\n\n"), (vec![], Some("9".into())));
    }

    proptest! {
        #[test]
        fn no_lines_make_it_panic(lines in prop::collection::vec(".{0,20}", 0..20)) {
            let mut parser = SseParser::default();
            for line in lines {
                parser.line(line.as_bytes());
            }
        }
    }
}
