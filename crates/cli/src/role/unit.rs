//! Units for systemd. `KillMode=process`: when the agent is stopped or replaced, containers and
//! their shims live on, and so does a server's etcd. `Delegate=yes`: the cgroups below the unit are
//! the agent's.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// This program's file.
pub(super) fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::io("find this program's file", &error))
}

/// The unit of an agent that has joined.
pub(super) fn agent(program: &Path, data: &Path) -> Result<String, Failure> {
    let more = "Delegate=yes\nTasksMax=infinity\nOOMScoreAdjust=-900\n";
    unit("agent", program, data, more)
}

/// The unit of a server that has begun. Its etcd, which lives on when it is stopped, is spared like
/// itself when memory is short.
pub(super) fn server(program: &Path, data: &Path) -> Result<String, Failure> {
    unit("server", program, data, "OOMScoreAdjust=-900\n")
}

fn unit(role: &str, program: &Path, data: &Path, more: &str) -> Result<String, Failure> {
    let data = std::path::absolute(data)
        .map_err(|error| Failure::io(format!("find where {} is", data.display()), &error))?;
    let (program, data) = (word(program)?, word(&data)?);
    Ok(format!(
        "[Unit]\n\
         Description=Freehold {role}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         ExecStart={program} {role} --data {data}\n\
         Restart=always\n\
         RestartSec=1\n\
         KillMode=process\n\
         LimitNOFILE=1048576\n\
         {more}\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

/// A path as a word of a command line (systemd.service(5), "COMMAND LINES").
fn word(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| {
        Failure::invalid(format!("write {} into a unit: it is not plain text", path.display()))
    })?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("\"{}\"", escaped.replace('%', "%%").replace('$', "$$")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn systemd_accepts_the_units() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a b%c");
        let agent = agent(Path::new("/bin/true"), &data).unwrap();
        assert!(agent.contains("Delegate=yes\n"));
        for (role, text) in
            [("agent", agent), ("server", server("/bin/true".as_ref(), &data).unwrap())]
        {
            assert!(text.contains("KillMode=process\n"), "{text}");
            assert!(text.contains(&format!("{role} --data ")), "{text}");
            assert!(text.contains("a b%%c\""), "{text}");
            let name = format!("freehold-{role}.service");
            let path = dir.path().join(&name);
            std::fs::write(&path, &text).unwrap();
            let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output()
            else {
                eprintln!("skipped: needs systemd-analyze");
                return;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert!(!said.contains(&format!("{name}:")), "{said}");
        }
    }
}
