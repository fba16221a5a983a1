//! The scripts: each file of `lua` is a part. A script is the terms, and a function of its parts one after the other.
//! Making the functions of a script takes as long as what most calls do with them: those that few calls need are made
//! by the first use of `rare()`, which gives what the last of these parts returns. A function of Lua 5.1 may name at most
//! 60 locals of those around it, and both of these functions are near that.

use std::sync::LazyLock;

/// A script and the name that the server knows it by.
pub(super) struct Script {
    code: &'static str,
    digest: LazyLock<String>,
}

macro_rules! script {
    ($name:ident: $($part:literal),* $(; rare: $($rare:literal),*; then: $($then:literal),*)?) => {
        pub(super) static $name: Script = {
            const CODE: &str = concat!(
                include_str!("lua/terms.lua"),
                "return (function()\n",
                $(include_str!(concat!("lua/", $part, ".lua"))),*,
                $(
                    "local rarely\nlocal function rare()\nrarely = rarely or (function()\n",
                    $(include_str!(concat!("lua/", $rare, ".lua"))),*,
                    "\nend)()\nreturn rarely\nend\n",
                    $(include_str!(concat!("lua/", $then, ".lua"))),*,
                )?
                "\nend)()\n"
            );
            Script { code: CODE, digest: LazyLock::new(|| redis::Script::new(CODE).get_hash().to_owned()) }
        };
    };
}

script!(PUSH: "book", "release", "arguments", "lanes", "plain"; rare: "ends", "admit", "swap", "add"; then: "push");
script!(ADVANCE: "book", "release", "arguments", "lanes"; rare: "ends", "admit", "settle"; then: "nodes", "claim", "advance");
script!(AMEND: "book", "release", "ends", "amend");
script!(PRUNE: "book", "release", "ends", "prune");
script!(CELLS: "book", "swap", "cells");
script!(BEAT: "book", "nodes", "beat");
script!(READ: "book", "read");
script!(NOTES: "book", "notes");

impl Script {
    /// The digest of its text.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// A command that makes the server know it.
    pub fn load(&self) -> redis::Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.code);
        command
    }
}
