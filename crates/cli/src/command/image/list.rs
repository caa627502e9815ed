//! `freehold image list`.

use std::process::ExitCode;

use api::operation::ImageView;
use api::time::Timestamp;
use image::Digest;
use serde::Serialize;

use crate::connect::Session;
use crate::failure::Failure;
use crate::images::LocalImages;
use crate::output::{Look, Table, age, dash, opt, size};

/// List the images of the cluster's registry
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// List those of this machine instead
    #[arg(long)]
    pub local: bool,
}

/// An image of this machine.
#[derive(Debug, Serialize)]
struct Local {
    reference: String,
    digest: Digest,
    size: u64,
    created: Timestamp,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if !arguments.local {
        let list = session.ask(async |client| client.images().await)?;
        return session.show(&list, |list, look| cluster(list, look));
    }
    let images = LocalImages::open()?;
    let mut list = Vec::new();
    for (reference, entry) in images.names()? {
        let size = images.size(&entry.digest)?;
        list.push(Local { reference, digest: entry.digest, size, created: entry.created });
    }
    session.show(&list, |list, look| local(list, look))
}

fn cluster(list: &[ImageView], look: &Look) -> String {
    Table::of(
        &["REPOSITORY", "TAG", "DIGEST", "SIZE", "PUSHED", "USED BY", "HOSTS"],
        list,
        |image| {
            vec![
                image.repository.clone(),
                opt(image.tag.as_ref()),
                image.digest.short().to_owned(),
                size(image.size),
                age(look.now, image.pushed),
                dash(image.used_by.join(",")),
                image.hosts.len().to_string(),
            ]
        },
    )
    .render(look.width)
}

fn local(list: &[Local], look: &Look) -> String {
    Table::of(&["IMAGE", "DIGEST", "SIZE", "AGE"], list, |image| {
        let digest = image.digest.hex()[..12].to_owned();
        vec![image.reference.clone(), digest, size(image.size), age(look.now, image.created)]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_for_people() {
        let look = Look { width: None, now: Timestamp(600_000) };
        let image = ImageView {
            repository: "retail/shop".into(),
            tag: Some("1.4".into()),
            digest: format!("sha256:{}", "ab".repeat(32)).parse().unwrap(),
            size: 12_345_678,
            pushed: Timestamp(0),
            used_by: vec!["shop@3".into(), "shop@4".into()],
            hosts: vec!["a".parse().unwrap(), "b".parse().unwrap()],
        };
        insta::assert_snapshot!(cluster(&[image], &look), @r"
        REPOSITORY   TAG  DIGEST        SIZE      PUSHED  USED BY        HOSTS
        retail/shop  1.4  abababababab  11.7 MiB  10m     shop@3,shop@4  2
        ");
        let image = Local {
            reference: "hello:1".into(),
            digest: Digest::from_bytes([0xab; 32]),
            size: 0,
            created: Timestamp(0),
        };
        insta::assert_snapshot!(local(&[image], &look), @r"
        IMAGE    DIGEST        SIZE  AGE
        hello:1  abababababab  0 B   10m
        ");
    }
}
