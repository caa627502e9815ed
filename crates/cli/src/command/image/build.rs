//! `freehold image build`: files on a base, without a daemon, the same bytes each time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use image::manifest::Platform;
use image::pack::{Builder, Settings, Source, source_date_epoch};
use image::{Digest, Reference};
use serde::Serialize;

use crate::connect::{Session, run_async};
use crate::failure::Failure;
use crate::images::{LocalImages, ensure};
use crate::output::{Look, Progress, fields, size};

/// Build an image from files, the same bytes from the same files each time
///
/// Each --add makes its files part of one layer on the base. Times are 1970, or SOURCE_DATE_EPOCH;
/// owners are root. Nothing is run and no daemon is needed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// `scratch`, an image of this machine or of the cluster, or the path of a layout (./DIR,
    /// ./FILE)
    #[arg(long, value_name = "REF")]
    pub base: String,
    /// A file or directory and where it goes; may be repeated
    #[arg(long = "add", value_name = "SRC:DEST")]
    pub adds: Vec<Source>,
    /// The program and its first arguments [default: the base's]
    #[arg(long, value_name = "WORD", num_args = 1..)]
    pub command: Option<Vec<String>>,
    /// A further argument, which may begin with a dash; may be repeated
    #[arg(long = "arg", value_name = "WORD", allow_hyphen_values = true)]
    pub args: Option<Vec<String>>,
    /// A variable; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    pub env: Vec<(String, String)>,
    /// Who it runs as: user[:group]
    #[arg(long)]
    pub user: Option<String>,
    /// Where it starts
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// A label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// A port it listens on; may be repeated
    #[arg(long = "port", value_name = "PORT")]
    pub ports: Vec<String>,
    /// What to call it
    #[arg(long, value_name = "REF")]
    pub tag: Reference,
    /// The architecture, such as amd64 or arm64 [default: this machine's]
    #[arg(long, value_name = "NAME")]
    pub architecture: Option<String>,
}

/// What was built.
#[derive(Debug, Serialize)]
struct Answer {
    reference: Reference,
    digest: Digest,
    size: u64,
    layers: usize,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    let images = LocalImages::open()?;
    let base = base(session, &images, &arguments.base)?;
    let tag = arguments.tag.clone();
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let built = builder(arguments, base, epoch.as_deref())?.build(&images.content)?;
    images.name(&tag, built.digest, false)?;
    let answer = Answer {
        reference: tag,
        digest: built.digest,
        size: images.size(&built.digest)?,
        layers: built.image.layers.len(),
    };
    session.show(&answer, table)
}

/// The digest of the base in the local store, pulled or imported where needed.
fn base(session: &Session, images: &LocalImages, text: &str) -> Result<Option<Digest>, Failure> {
    if text == "scratch" {
        return Ok(None);
    }
    let path = Path::new(text);
    if text.starts_with(['.', '/']) {
        let imported = image::layout::import(path, &images.content)?;
        return match imported.as_slice() {
            [only] => Ok(Some(only.digest)),
            several => {
                let names: Vec<&str> =
                    several.iter().filter_map(|image| image.name.as_deref()).collect();
                let message = format!("build on {text}: it holds {} images", several.len());
                Err(Failure::invalid(message)
                    .because(format!("they are called: {}", names.join(", ")))
                    .hint("freehold image import it, then name the one that is meant"))
            }
        };
    }
    let reference: Reference = text.parse()?;
    let progress = Progress::new(session.terminal.lively);
    let digest = run_async(ensure(|| session.client(), images, &reference, &progress))?;
    Ok(Some(digest))
}

fn builder(
    arguments: Arguments,
    base: Option<Digest>,
    epoch: Option<&str>,
) -> Result<Builder, Failure> {
    let platform = match &arguments.architecture {
        Some(architecture) => Platform::linux(architecture),
        None => Platform::host(),
    };
    let settings = Settings {
        entrypoint: arguments.command,
        cmd: arguments.args,
        env: BTreeMap::from_iter(arguments.env),
        user: arguments.user,
        working_dir: arguments.workdir,
        labels: BTreeMap::from_iter(arguments.labels),
        exposed_ports: arguments.ports,
        stop_signal: None,
    };
    let builder = Builder::new(base, platform).settings(settings).epoch(source_date_epoch(epoch)?);
    Ok(if arguments.adds.is_empty() { builder } else { builder.layer(arguments.adds) })
}

fn table(answer: &Answer, _: &Look) -> String {
    fields(&[
        ("image", answer.reference.to_string()),
        ("digest", answer.digest.to_string()),
        ("layers", answer.layers.to_string()),
        ("size", size(answer.size)),
    ])
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        build: Arguments,
    }

    fn parse(line: &[&str]) -> Arguments {
        Line::try_parse_from([&["build"], line].concat()).unwrap().build
    }

    #[test]
    fn the_line_of_the_example_is_understood() {
        let line =
            ["--base", "scratch", "--add", "/x/hello:/hello", "--command", "/hello", "--tag"];
        let arguments = parse(&[&line[..], &["hello:1"]].concat());
        assert_eq!(arguments.command, Some(vec!["/hello".to_owned()]));
        assert_eq!(arguments.tag.to_string(), "hello:1");
        let line =
            ["--base", "b:1", "--command", "/bin/a", "serve", "--arg", "--port", "--arg", "1"];
        let arguments = parse(&[&line[..], &["--env", "A=b=c", "--tag", "x:1"]].concat());
        assert_eq!(arguments.command.unwrap(), ["/bin/a", "serve"]);
        assert_eq!(arguments.args.unwrap(), ["--port", "1"]);
        assert_eq!(arguments.env, [("A".to_owned(), "b=c".to_owned())]);
    }

    #[test]
    fn wrong_words_are_refused() {
        let tag = ["--base", "scratch", "--tag", "x:1"];
        for bad in [["--add", "nothing"], ["--env", "A"], ["--tag", "X"]] {
            assert!(
                Line::try_parse_from([&["build"], &tag[..], &bad].concat()).is_err(),
                "{bad:?}"
            );
        }
    }
}
