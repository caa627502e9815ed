//! Who a container runs as: `user[:group]` against the image's own passwd and group. Pure.

/// A user with numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id inside.
    pub uid: u32,
    /// Main group inside.
    pub gid: u32,
    /// Further groups that list the user, by number.
    pub groups: Vec<u32>,
    /// Home directory; `/` when the image does not say.
    pub home: String,
}

/// Why a user cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UserError {
    /// No such name in the image.
    #[error("the image's /etc/passwd has no user {0:?}")]
    NoUser(String),
    /// No such group in the image.
    #[error("the image's /etc/group has no group {0:?}")]
    NoGroup(String),
    /// A number that the container's id range does not hold.
    #[error("id {id} is outside of the container's {len} ids")]
    OutOfRange {
        /// The id.
        id: u32,
        /// How many the container has.
        len: u32,
    },
}

/// Most further groups taken; the kernel takes 65,536 (NGROUPS_MAX), images have a dozen.
const MAX_GROUPS: usize = 256;

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Resolves `wanted` in the texts of `/etc/passwd` and `/etc/group`; lines that are no entries are
/// passed over, as the C library does. Empty is user 0.
///
/// # Errors
/// A name that is not there, or an id outside of `0..ids`.
pub fn resolve(
    wanted: &str,
    passwd: &str,
    group: &str,
    ids: u32,
) -> Result<ResolvedUser, UserError> {
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let entry = passwd
        .lines()
        .filter_map(passwd_line)
        .find(|line| line.name == user || number == Some(line.uid));
    let uid = match (&entry, number) {
        (_, Some(number)) => number,
        (Some(entry), None) => entry.uid,
        (None, None) => return Err(UserError::NoUser(user.to_owned())),
    };
    let gid = match wanted_group.filter(|name| !name.is_empty()) {
        Some(name) => group_id(name, group)?,
        None => entry.as_ref().map_or(0, |entry| entry.gid),
    };
    let groups = match (&entry, wanted_group) {
        // As with `docker run --user u:g`: naming a group means that one only.
        (Some(entry), None) => member_of(entry.name, group, ids, gid),
        _ => Vec::new(),
    };
    for id in [uid, gid] {
        if id >= ids {
            return Err(UserError::OutOfRange { id, len: ids });
        }
    }
    let home = entry.map(|entry| entry.home).filter(|home| home.starts_with('/'));
    Ok(ResolvedUser { uid, gid, groups, home: home.unwrap_or("/").to_owned() })
}

fn passwd_line(line: &str) -> Option<PasswdLine<'_>> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).unwrap_or("");
    Some(PasswdLine { name, uid, gid, home })
}

fn group_line(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let gid = fields.nth(1)?.parse().ok()?;
    Some((name, gid, fields.next().unwrap_or("")))
}

fn group_id(name: &str, group: &str) -> Result<u32, UserError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let found = group.lines().filter_map(group_line).find(|(known, ..)| *known == name);
    found.map(|(_, gid, _)| gid).ok_or_else(|| UserError::NoGroup(name.to_owned()))
}

fn member_of(user: &str, group: &str, ids: u32, main: u32) -> Vec<u32> {
    let listed = group.lines().filter_map(group_line).filter(|(_, gid, members)| {
        *gid < ids && *gid != main && members.split(',').any(|one| one.trim() == user)
    });
    let mut groups: Vec<u32> = listed.map(|(_, gid, _)| gid).take(MAX_GROUPS).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{UserError, resolve};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\n\
        web:x:101:102:www:/srv/web:/bin/false\nbig:x:70000:1::/:\nnohome:x:5:5\n";
    const GROUP: &str =
        "root:x:0:\nweb:x:102:web\nlogs:x:200:other, web\nadm:x:4:web\nfar:x:99999:web\n";

    fn check(user: &str) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        resolve(user, PASSWD, GROUP, 65_536).map(|u| (u.uid, u.gid, u.groups, u.home))
    }

    #[test]
    fn names_numbers_and_groups() {
        let is =
            |uid, gid, groups: &[u32], home: &str| Ok((uid, gid, groups.to_vec(), home.into()));
        assert_eq!(check(""), is(0, 0, &[], "/root"));
        assert_eq!(check("web"), is(101, 102, &[4, 200], "/srv/web"));
        assert_eq!(check("101"), is(101, 102, &[4, 200], "/srv/web"));
        assert_eq!(check("web:logs"), is(101, 200, &[], "/srv/web"));
        assert_eq!(check("web:7"), is(101, 7, &[], "/srv/web"));
        assert_eq!(check("1234"), is(1234, 0, &[], "/"));
        assert_eq!(check("1234:5678"), is(1234, 5678, &[], "/"));
        assert_eq!(check("nohome"), is(5, 5, &[], "/"));
        assert_eq!(check(":web"), is(0, 102, &[], "/root"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(check("nobody"), Err(UserError::NoUser("nobody".into())));
        assert_eq!(check("web:nogroup"), Err(UserError::NoGroup("nogroup".into())));
        assert_eq!(check("big"), Err(UserError::OutOfRange { id: 70_000, len: 65_536 }));
        assert_eq!(check("0:65536"), Err(UserError::OutOfRange { id: 65_536, len: 65_536 }));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_leaves_the_range(
            user in ".{0,20}", passwd in "[a-z0-9:\\n,x]{0,80}", group in "[a-z0-9:\\n,x]{0,80}",
        ) {
            if let Ok(found) = resolve(&user, &passwd, &group, 1000) {
                prop_assert!(found.uid < 1000 && found.gid < 1000);
                prop_assert!(found.groups.iter().all(|gid| *gid < 1000));
                prop_assert!(found.home.starts_with('/'));
            }
        }
    }
}
