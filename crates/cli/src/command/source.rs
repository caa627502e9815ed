//! Input from files or standard input: text with a name for people, bounded.

use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

/// The largest text read, in bytes: four times the largest manifest.
const MAX_BYTES: u64 = 1 << 20;

/// A text and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file's name as typed.
    pub name: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// Reads a file; `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let (name, input): (String, Box<dyn Read>) = if path == Path::new("-") {
            ("standard input".to_owned(), Box::new(std::io::stdin().lock()))
        } else {
            let name = path.display().to_string();
            let file = std::fs::File::open(path);
            let file = file.map_err(|e| unreadable(format!("read {name}"), &e))?;
            (name, Box::new(file))
        };
        let mut bytes = Vec::new();
        let read = input.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|e| unreadable(format!("read {name}"), &e))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Failure::invalid(format!("read {name}: it is larger than 1 MiB")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::invalid(format!("read {name}: it is not UTF-8 text")))?;
        Ok(Self { name, text })
    }
}

/// A file that was named and can't be read is wrong input.
fn unreadable(doing: String, error: &std::io::Error) -> Failure {
    Failure::invalid(doing).because(error.to_string())
}
