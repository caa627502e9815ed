//! A cluster of several servers on etcd is lost and begins again from its backup: the authority was
//! exchanged since, its host goes on with what it trusts, and the other server joins anew.

use rustix::process::{Signal, geteuid};

use api::authority::Phase;
use pki::CaBundle;

use crate::rotation::{Host, alone_on_the_network, authority, connected};
use crate::servers::{Cluster, addresses};
use crate::world::text;

fn two_servers() -> Option<Cluster> {
    let mut cluster = Cluster::new()?;
    cluster.begin("s1", &["--init", "--cluster", "north"]);
    let token = cluster.token(0);
    let join = cluster.nodes[0].api.clone();
    cluster.begin("s2", &["--join", &join, "--token-file", text(&token)]);
    cluster.see_each_other();
    Some(cluster)
}

fn does(cluster: &Cluster, arguments: &[&str]) -> String {
    let ended = cluster.asks(0, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// What begins a cluster with a backup.
fn begin<'a>(backup: &'a str, keys: &'a str) -> Vec<&'a str> {
    vec!["--init", "--restore", backup, "--keys", keys]
}

#[test]
fn a_lost_cluster_begins_again_and_locks_nobody_out() {
    let root = geteuid().is_root();
    if !root {
        eprintln!("partly skipped: needs root to run an agent");
    }
    let _alone = alone_on_the_network();
    let Some(mut old) = two_servers() else { return };
    let mut host = Host::join(&old, "rb1");
    if root {
        host.start(&old);
        old.wait("the host is connected", || connected(&old, 0) == 1);
    }
    does(&old, &["team", "create", "retail"]);
    let file = old.world.path("backup");
    let backup = text(&file);
    does(&old, &["backup", backup]);
    does(&old, &["team", "create", "late"]);
    let lived = CaBundle::load(&old.nodes[0].data.join("ca.pem")).unwrap();
    if root {
        does(&old, &["cert", "authority", "rotate", "--wait"]);
    } else {
        does(&old, &["cert", "authority", "rotate"]);
        old.wait("only the host is waited for", || {
            authority(&old, 0).is_some_and(|view| {
                view.phase == Phase::Issue
                    && view.waits_for.iter().all(|it| it.member == "host rb1")
            })
        });
        does(&old, &["cert", "authority", "rotate", "--force", "--wait"]);
    }
    let trusted = CaBundle::load(&old.nodes[0].data.join("ca.pem")).unwrap();
    assert_ne!(trusted, lived);

    refused_beside_who_runs(&old, backup);
    old.kill_all();
    let mut new = Cluster::new().unwrap();
    let [_, client, peer] = addresses();
    let (api, data) = (old.nodes[0].api.clone(), new.world.path("s1"));
    let keys = text(&old.nodes[0].data).to_owned();
    new.begin_at([api, client, peer], data, "s1", &begin(backup, &keys));
    let log = std::fs::read_to_string(new.world.path("s1.log")).unwrap();
    assert!(log.contains("warning: the authority was exchanged between the backup and"), "{log}");
    let teams = does(&new, &["team", "list"]);
    assert!(teams.contains("retail") && !teams.contains("late"), "{teams}");
    assert!(!new.nodes[0].data.join("server/restore.backup").exists());
    let view = authority(&new, 0).unwrap();
    assert_eq!((view.phase, view.signs), (Phase::Settled, trusted.fingerprint().to_string()));
    let servers: Vec<String> =
        new.servers(0).into_iter().map(|view| view.server.name.to_string()).collect();
    assert_eq!(servers, ["s1"], "servers of before are forgotten");
    if root {
        new.wait("the host found it by itself", || connected(&new, 0) == 1);
    }

    // The other one joins anew under its name; its etcd of before stays out.
    let token = new.token(0);
    let join = new.nodes[0].api.clone();
    new.begin("s2", &["--join", &join, "--token-file", text(&token)]);
    new.see_each_other();
    if root {
        // Its generation is above what the host has seen: it is not refused as an older one.
        does(&new, &["cert", "authority", "rotate", "--wait"]);
        new.wait("the host trusts the next one", || {
            let ca = CaBundle::load(&new.nodes[0].data.join("ca.pem")).unwrap();
            ca != trusted && host.trusted() == ca
        });
    }
    refused_on_who_has_begun(&mut new, backup, &keys);
}

/// Nothing is made beside servers that still run.
fn refused_beside_who_runs(old: &Cluster, backup: &str) {
    let keys = text(&old.nodes[0].data);
    let [api, client, peer] = addresses();
    let data = old.world.path("beside");
    let own = ["server", "--api", &api, "--etcd-client", &client, "--etcd-peer", &peer];
    let line = [own.as_slice(), &["--name", "s9", "--data", text(&data)], &begin(backup, keys)];
    let refused = old.world.run(&line.concat());
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("s1 at ") && refused.stderr.contains("s2 at "), "both");
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    assert!(!data.exists(), "nothing was made");
    // A look at the backup alone is allowed, with a warning.
    let look = old.world.path("look");
    let looked = old.world.good(&["restore", backup, "--data", text(&look), "--keys", keys]);
    assert!(looked.stderr.contains("still run: s1 at "), "{}", looked.stderr);
}

/// A server is never restored into, whether it runs or not.
fn refused_on_who_has_begun(cluster: &mut Cluster, backup: &str, keys: &str) {
    let data = cluster.nodes[1].data.clone();
    let line = [["server", "--data", text(&data)].as_slice(), &begin(backup, keys)].concat();
    for _ in 0..2 {
        let refused = cluster.world.run(&line);
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        assert!(refused.stderr.contains("there is a server already"), "{}", refused.stderr);
        let offline = cluster.world.run(&["restore", backup, "--data", text(&data)]);
        assert_eq!(offline.code, 5, "{}", offline.stderr);
        cluster.nodes[1].signal(Signal::TERM);
    }
}
