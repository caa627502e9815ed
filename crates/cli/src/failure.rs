//! What is told when a command fails: what failed, why, and what to type. Rendering is pure;
//! nothing here prints or exits.

use std::error::Error;

use api::error::ApiError;
use api::manifest::{ManifestErrors, Problem};
use client::ClientError;

use crate::exit::Exit;

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The process ends with it.
    pub exit: Exit,
    /// What failed: a lower-case fragment with its subject.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<Box<str>>,
    /// More that belongs to it, such as log lines; printed before.
    pub detail: Vec<String>,
    /// What is wrong in a manifest, where it is about one. Then there is nothing else to say.
    pub manifest: Option<Box<ManifestErrors>>,
    /// What a server found wrong in a manifest, before it is located in a file.
    pub problems: Box<[Problem]>,
}

impl Failure {
    /// A failure without causes.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            detail: Vec::new(),
            manifest: None,
            problems: Box::default(),
        }
    }

    /// Input that is not valid.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Exit::Invalid, message)
    }

    /// An error with all its causes.
    pub(crate) fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(exit, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            let last = failure.causes.last().unwrap_or(&failure.message);
            // Transparent errors repeat what they wrap.
            if *last != text {
                failure.causes.push(text);
            }
            cause = error.source();
        }
        failure
    }

    /// An error of the system while doing something.
    pub(crate) fn io(doing: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(Exit::Failure, doing).because(error.to_string())
    }

    /// Adds a cause.
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Sets what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// Gives a server's problems their places in the manifest that was sent.
    pub(crate) fn locate(mut self, file: &str, source: &str) -> Self {
        if !self.problems.is_empty() {
            let problems = std::mem::take(&mut self.problems).into_vec();
            self.manifest = Some(Box::new(ManifestErrors::locate(file, source, problems)));
        }
        self
    }

    /// The text for people, without the manifest's part.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.detail {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&format!("error: {}\n", indent(&self.message)));
        for cause in &self.causes {
            text.push_str(&format!("  because: {}\n", indent(cause)));
        }
        for problem in self.problems.iter() {
            text.push_str(&format!("  {problem}\n"));
            if let Some(hint) = &problem.hint {
                text.push_str(&format!("    hint: {hint}\n"));
            }
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {}\n", indent(hint)));
        }
        text
    }
}

/// Further lines of a text stand below its first.
fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let mut failure = Self::new(error.code.into(), error.message);
        failure.hint = error.hint.map(String::into_boxed_str);
        failure.problems = error.problems.into_boxed_slice();
        failure
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = error.hint();
        match error {
            ClientError::Api(error) => error.into(),
            other => {
                let mut failure = Self::of(other.code().into(), &other);
                failure.hint = hint.map(String::into_boxed_str);
                failure
            }
        }
    }
}

impl From<ManifestErrors> for Failure {
    fn from(errors: ManifestErrors) -> Self {
        let mut failure = Self::invalid(format!("read {}", errors.file));
        failure.manifest = Some(Box::new(errors));
        failure
    }
}

/// Errors whose exit code is the same wherever they come from.
macro_rules! failures {
    ($($error:ty => $exit:ident,)*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::of(Exit::$exit, &error)
            }
        }
    )*};
}

failures! {
    image::ReferenceError => Invalid,
    image::ContentError => Failure,
    image::ManifestError => Invalid,
    image::layout::LayoutError => Invalid,
    image::pack::PackError => Invalid,
    image::DigestError => Invalid,
    api::id::InvalidName => Invalid,
    pki::FileError => Failure,
    pki::CaError => Failure,
    pki::BundleError => Invalid,
    pki::IdentityError => Failure,
}

#[cfg(test)]
mod tests {
    use api::error::ErrorCode;

    use super::*;

    #[test]
    fn failures_say_what_why_and_what_to_type() {
        let failure = Failure::new(Exit::Unfit, "listen on 127.0.0.1:80")
            .because("address already in use")
            .hint("freehold up --api 127.0.0.1:7444");
        assert_eq!(
            failure.render(),
            "error: listen on 127.0.0.1:80\n  because: address already in use\n\
             hint: freehold up --api 127.0.0.1:7444\n"
        );
    }

    #[test]
    fn chains_of_causes_are_kept_without_repetition() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let failure = Failure::of(Exit::Failure, &Outer(std::io::Error::other("inner")));
        assert_eq!(failure.message, "outer");
        assert_eq!(failure.causes, ["inner"]);
        let api = ApiError::new(ErrorCode::NotFound, "there is no app x").hint("freehold app list");
        let failure = Failure::from(ClientError::from(api));
        assert_eq!((failure.exit, failure.causes.len()), (Exit::NotFound, 0));
        assert_eq!(failure.hint.as_deref(), Some("freehold app list"));
    }

    #[test]
    fn a_servers_problems_get_their_places() {
        let problem = Problem {
            path: "process.port".into(),
            message: "is taken".into(),
            hint: None,
            span: None,
        };
        let mut error = ApiError::new(ErrorCode::Invalid, "the manifest is not valid");
        error.problems = vec![problem];
        let failure = Failure::from(error).locate("f.toml", "app = \"a\"\n[process]\nport = 1\n");
        let manifest = failure.manifest.unwrap();
        assert_eq!(manifest.position(&manifest.problems[0]).map(|(line, _)| line), Some(3));
    }
}
