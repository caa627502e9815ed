//! What well-known programs usually need of a container whose root is read-only and that has no
//! capabilities. Advice for `freehold check`, gathered from their default configurations; nothing
//! is enforced by it.

/// A program and its needs.
pub(super) struct Known {
    /// How the name of its executable begins.
    pub program: &'static str,
    /// Where it writes.
    pub writes: &'static [&'static str],
    /// What it needs to become another user, when it is started as root.
    pub capabilities: &'static [&'static str],
}

/// Programs whose defaults are known.
pub(super) const KNOWN: &[Known] = &[
    Known {
        program: "nginx",
        writes: &["/run", "/tmp", "/var/cache/nginx", "/var/lib/nginx", "/var/log/nginx"],
        capabilities: &["CHOWN", "SETGID", "SETUID"],
    },
    Known {
        program: "redis-server",
        writes: &["/run", "/var/lib/redis", "/var/log/redis"],
        capabilities: &[],
    },
    Known { program: "caddy", writes: &["/config", "/data"], capabilities: &[] },
    Known { program: "java", writes: &["/tmp"], capabilities: &[] },
    Known { program: "gunicorn", writes: &["/tmp"], capabilities: &[] },
    Known { program: "python", writes: &["/tmp"], capabilities: &[] },
    Known {
        program: "httpd",
        writes: &["/tmp", "/usr/local/apache2/logs"],
        capabilities: &["SETGID", "SETUID"],
    },
    Known {
        program: "apache2",
        writes: &["/run", "/tmp", "/var/log/apache2"],
        capabilities: &["SETGID", "SETUID"],
    },
    Known {
        program: "postgres",
        writes: &["/run/postgresql", "/tmp", "/var/lib/postgresql"],
        capabilities: &[],
    },
    Known { program: "memcached", writes: &[], capabilities: &["SETGID", "SETUID"] },
];
