//! `freehold release`.

use std::process::ExitCode;

use api::id::{AppName, ReleaseKey};
use api::release::{Image, Release};
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, fields};

/// Releases: an image and a manifest, numbered per app, never changed
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List the releases of an app
    List {
        /// The app
        app: AppName,
    },
    /// Show a release with its manifest
    Show {
        /// The release, such as shop@7
        release: ReleaseKey,
    },
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::List { app } => {
            let releases = session.ask(async |client| client.releases(&app).await)?;
            session.show(&releases, |releases, look| table(releases, look))
        }
        Arguments::Show { release } => {
            let (app, number) = (release.app, release.number);
            let release = session.ask(async |client| client.release(&app, number).await)?;
            session.show(&release, one)
        }
    }
}

/// An image as a reference: `repository:tag@sha256:…`.
fn reference(image: &Image) -> String {
    let registry = image.registry.iter().map(|host| format!("{host}/")).collect::<String>();
    let tag = image.tag.iter().map(|tag| format!(":{tag}")).collect::<String>();
    format!("{registry}{}{tag}@{}", image.repository, image.digest)
}

fn table(releases: &[Release], look: &Look) -> String {
    Table::of(&["RELEASE", "IMAGE", "DIGEST", "AGE", "BY"], releases, |release| {
        let image = reference(&release.image);
        let name = image.split('@').next().unwrap_or_default().to_owned();
        vec![
            release.key().to_string(),
            name,
            release.image.digest.short().to_owned(),
            age(look.now, release.created),
            release.created_by.clone(),
        ]
    })
    .render(look.width)
}

fn one(release: &Release, _: &Look) -> String {
    let manifest = toml::to_string(release.manifest.document()).unwrap_or_default();
    let about = fields(&[
        ("release", release.key().to_string()),
        ("image", reference(&release.image)),
        ("created", release.created.to_string()),
        ("by", release.created_by.clone()),
    ]);
    format!("{about}\n{manifest}")
}

#[cfg(test)]
mod tests {
    use api::id::ReleaseNumber;
    use api::manifest::Manifest;
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn releases_for_people() {
        let source = "app = \"shop\"\nteam = \"retail\"\n[process]\nport = 8080\n";
        let release = Release {
            app: AppName::new("shop").unwrap(),
            number: ReleaseNumber(7),
            image: Image {
                registry: Some("registry.example".into()),
                repository: "retail/shop".into(),
                tag: Some("1.4".into()),
                digest: format!("sha256:{}", "ab".repeat(32)).parse().unwrap(),
            },
            manifest: Manifest::parse("f", source).unwrap(),
            created: Timestamp(0),
            created_by: "ci".into(),
        };
        let look = Look { width: None, now: Timestamp(90_000) };
        insta::assert_snapshot!(table(std::slice::from_ref(&release), &look), @r"
        RELEASE  IMAGE                             DIGEST        AGE  BY
        shop@7   registry.example/retail/shop:1.4  abababababab  90s  ci
        ");
        insta::assert_snapshot!(one(&release, &look));
    }
}
