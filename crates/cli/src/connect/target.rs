//! Which cluster is meant: a decision over environment and configuration. Reads no file.

use std::path::PathBuf;

use super::config::{Config, Context};
use crate::exit::Exit;
use crate::failure::Failure;

/// A text, or the file it is in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// The text itself.
    Text(String),
    /// The file.
    File(PathBuf),
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A cluster and how to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its servers.
    pub addresses: Vec<String>,
    /// The token.
    pub token: Option<Given>,
    /// The authorities; none are the machine's own.
    pub ca: Option<Given>,
}

impl Target {
    /// Decides. A context that is asked for goes first; then `FREEHOLD_API`; then the current
    /// context. `FREEHOLD_TOKEN`, `FREEHOLD_TOKEN_FILE` and `FREEHOLD_CA` go before what a context
    /// that was not asked for says.
    pub(crate) fn choose(
        asked: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
        config: &Config,
    ) -> Result<Self, Failure> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(name) = asked {
            return Ok(Self::of(context(config, name)?));
        }
        let token = variable("FREEHOLD_TOKEN").map(|token| Given::Text(token.trim().to_owned()));
        let file = || variable("FREEHOLD_TOKEN_FILE").map(|path| Given::File(path.into()));
        let token = token.or_else(file);
        let ca = variable("FREEHOLD_CA").map(|path| Given::File(path.into()));
        if let Some(text) = variable("FREEHOLD_API") {
            let addresses = text.split(',').map(str::trim).filter(|text| !text.is_empty());
            return Ok(Self { addresses: addresses.map(str::to_owned).collect(), token, ca });
        }
        let Some(name) = &config.current else {
            return Err(Failure::invalid("find the cluster: none is known").hint(
                "export FREEHOLD_API, FREEHOLD_TOKEN_FILE and FREEHOLD_CA, or run: freehold login",
            ));
        };
        let target = Self::of(context(config, name)?);
        Ok(Self { token: token.or(target.token), ca: ca.or(target.ca), ..target })
    }

    fn of(context: &Context) -> Self {
        let file = |path: &PathBuf| Given::File(path.clone());
        let text = |text: &String| Given::Text(text.clone());
        Self {
            addresses: context.api.clone(),
            token: context.token.as_ref().map(text).or(context.token_file.as_ref().map(file)),
            ca: context.ca_pem.as_ref().map(text).or(context.ca.as_ref().map(file)),
        }
    }

    /// Reads the files and gives what a client needs.
    pub(crate) fn read(&self) -> Result<client::Config, Failure> {
        let read = |what: &str, given: &Option<Given>| match given {
            None => Ok(None),
            Some(Given::Text(text)) => Ok(Some(text.clone())),
            Some(Given::File(path)) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(text)),
                Err(error) => {
                    let doing = format!("read the {what} from {}", path.display());
                    let failure = Failure::io(doing, &error);
                    Err(match error.kind() {
                        std::io::ErrorKind::PermissionDenied => {
                            failure.hint("only its owner may read it: use sudo, or another token")
                        }
                        _ => failure.hint("has the cluster been started? see: freehold up --help"),
                    })
                }
            },
        };
        let token = read("token", &self.token)?.map(|token| token.trim().to_owned());
        Ok(client::Config {
            addresses: self.addresses.clone(),
            token: token.map(api::protocol::SecretValue),
            ca_pem: read("authorities", &self.ca)?,
        })
    }
}

fn context<'a>(config: &'a Config, name: &str) -> Result<&'a Context, Failure> {
    config.contexts.get(name).ok_or_else(|| {
        let failure = Failure::new(Exit::NotFound, format!("use context {name:?}: there is none"));
        let known = config.contexts.keys().map(String::as_str);
        let near = api::id::near_names(name, known.clone());
        match (near.first(), config.contexts.is_empty()) {
            (Some(near), _) => failure.hint(format!("did you mean {near:?}?")),
            (None, true) => failure.hint("make one with: freehold login"),
            (None, false) => {
                failure.hint(format!("known: {}", known.collect::<Vec<_>>().join(", ")))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config() -> Config {
        let context = |api: &str, token: &str| Context {
            api: vec![api.into()],
            token: Some(token.into()),
            token_file: Some("/not/used".into()),
            ca_pem: None,
            ca: Some("/ca/of/context".into()),
        };
        Config {
            current: Some("home".into()),
            contexts: BTreeMap::from([
                ("home".into(), context("home:1", "fh_home")),
                ("work".into(), context("work:1", "fh_work")),
            ]),
        }
    }

    fn check(asked: Option<&str>, variables: &[(&str, &str)], expected: &str) {
        let find = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        let target = Target::choose(asked, find, &config()).unwrap();
        let show = |given: &Option<Given>| match given {
            None => "-".to_owned(),
            Some(Given::Text(text)) => text.clone(),
            Some(Given::File(path)) => path.display().to_string(),
        };
        let text =
            format!("{} {} {}", target.addresses.join(","), show(&target.token), show(&target.ca));
        assert_eq!(text, expected, "{asked:?} {variables:?}");
    }

    #[test]
    fn precedence_is_as_documented() {
        let api = ("FREEHOLD_API", "a:1, b:2,");
        let token = ("FREEHOLD_TOKEN", "fh_env\n");
        let file = ("FREEHOLD_TOKEN_FILE", "/token");
        let ca = ("FREEHOLD_CA", "/ca");
        check(None, &[], "home:1 fh_home /ca/of/context");
        check(Some("work"), &[], "work:1 fh_work /ca/of/context");
        check(Some("work"), &[api, token, ca], "work:1 fh_work /ca/of/context");
        check(None, &[api], "a:1,b:2 - -");
        check(None, &[api, file, ca], "a:1,b:2 /token /ca");
        check(None, &[api, token, file], "a:1,b:2 fh_env -");
        check(None, &[token], "home:1 fh_env /ca/of/context");
        check(None, &[file, ca], "home:1 /token /ca");
        check(None, &[("FREEHOLD_API", "")], "home:1 fh_home /ca/of/context");
    }

    #[test]
    fn what_is_not_known_is_told_with_a_way_out() {
        let none = Target::choose(None, |_| None, &Config::default()).unwrap_err();
        assert!(none.hint.unwrap().contains("freehold login"));
        let wrong = Target::choose(Some("hme"), |_| None, &config()).unwrap_err();
        assert_eq!(
            (wrong.exit, wrong.hint.as_deref()),
            (Exit::NotFound, Some("did you mean \"home\"?"))
        );
        let wrong = Target::choose(Some("x"), |_| None, &config()).unwrap_err();
        assert_eq!(wrong.hint.as_deref(), Some("known: home, work"));
        assert!(!format!("{:?}", Given::Text("fh_secret".into())).contains("fh_"));
    }
}
