//! The files of a store: the database, its log, and beside them a folder with two small files for each node.
//!
//! `<db>.nodes/<node>.lock` is locked by the process of the node for as long as it lives, so that the kernel
//! tells its death; `<node>.beat` holds a counter that its engine moves, so that a frozen one is seen too.
//! Nothing here is created with more rights than the owner's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// The file beside the database with this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Opens or creates a file that only its owner can read.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    }
    options.open(path)
}

/// Creates the database file where there is none. One that is there is not opened: to close it again would
/// free the locks that SQLite holds on it elsewhere in this process.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// Makes sure of the database file before SQLite sees it: whose it is, where it is, what rights it has.
/// The answer is the path to open it by, and what it is known by in this process.
pub(super) fn claim(path: &Path) -> Result<(PathBuf, String), StoreError> {
    let failed = |what: &str, error: &io::Error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full(format!("{what}: {error}").into())
        }
        _ => StoreError::Unreachable(format!("{what}: {error}").into()),
    };
    let (folder, name) = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if folder.as_os_str().is_empty() => (Path::new("."), name),
        (Some(folder), Some(name)) => (folder, name),
        _ => return Err(StoreError::Failed(format!("{} cannot be a file", path.display()).into())),
    };
    // Links to the folder are the user's way of naming it; the file itself must be what it seems.
    let folder = fs::canonicalize(folder)
        .map_err(|error| failed(&format!("the folder of {} cannot be used", path.display()), &error))?;
    let path = folder.join(name);
    let told = path.display().to_string();
    if let Ok(found) = fs::symlink_metadata(&path)
        && !found.is_file()
    {
        let what = if found.is_dir() { "a folder" } else { "not a plain file" };
        return Err(StoreError::Failed(format!("{told} is {what}").into()));
    }
    refuse_network(&folder)?;
    create(&path).map_err(|error| failed(&format!("{told} cannot be created"), &error))?;
    let found = fs::symlink_metadata(&path).map_err(|error| failed(&told, &error))?;
    tighten(&path, &found);
    writable(&path).map_err(|error| failed(&format!("{told} cannot be written"), &error))?;
    Ok((path, identity(&found, &told)))
}

#[cfg(unix)]
fn identity(found: &fs::Metadata, _: &str) -> String {
    use std::os::unix::fs::MetadataExt;
    format!("{}:{}", found.dev(), found.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata, told: &str) -> String {
    told.to_lowercase()
}

/// What tells a file from another one in its place; `None`: there is none to be seen.
pub(super) fn inode(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }
    // An open file can be neither moved nor deleted there.
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// An open file is not the one at its path any more: what is written to it, nobody will find.
pub(super) fn is_elsewhere(path: &Path, opened: Option<(u64, u64)>) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    let is_gone = || {
        let found = fs::symlink_metadata(path);
        found.is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
    };
    match (opened, inode(path)) {
        (Some(opened), Some(found)) => opened != found,
        (Some(_), None) => is_gone(),
        (None, _) => false,
    }
}

/// SQLite would fall back to reading by itself, leave a log behind that nobody can write, and never look again.
fn writable(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)?;
    #[cfg(not(unix))]
    if fs::metadata(path)?.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// Others have no business in a file of tasks, whatever made it readable to them.
#[cfg(unix)]
fn tighten(path: &Path, found: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(target: "task::store", path = %path.display(), "others could read the file; they cannot any more");
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700));
    }
}

#[cfg(not(unix))]
fn tighten(_: &Path, _: &fs::Metadata) {}

/// Locks and shared memory do not work over a network: commits would be lost.
#[cfg(target_os = "linux")]
fn refuse_network(folder: &Path) -> Result<(), StoreError> {
    // From linux/magic.h: nfs, smb, cifs, smb2, 9p, afs, ceph.
    const NETWORK: [u32; 7] =
        [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x5346_414f, 0x00c3_6400];
    match rustix::fs::statfs(folder) {
        Ok(found) if NETWORK.contains(&(found.f_type as u32)) => {
            let text =
                format!("{} is on a network file system, on which SQLite loses data", folder.display());
            Err(StoreError::Failed(text.into()))
        }
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// The sign of life of a node of this process.
pub(super) struct Life {
    lock: File,
    beat: File,
    path: PathBuf,
    counter: u64,
}

/// What is known of the life of another node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Its process holds the lock; its counter shows this.
    Beats(u64),
    /// Its process has ended.
    Gone,
}

impl Life {
    /// Begins to hold the files of a node.
    pub fn begin(db: &Path, node: &str) -> io::Result<Self> {
        let folder = beside(db, ".nodes");
        create_private_folder(&folder)?;
        let path = folder.join(file_name(node));
        loop {
            let lock = private(&beside(&path, ".lock"))?;
            lock.lock()?;
            // Somebody who took it for left over may have removed it just before.
            if is_at(&lock, &beside(&path, ".lock")) {
                let beat = private(&beside(&path, ".beat"))?;
                let mut life = Self { lock, beat, path, counter: 0 };
                life.beat()?;
                return Ok(life);
            }
        }
    }

    pub fn beat(&mut self) -> io::Result<()> {
        use std::io::Seek;
        self.counter += 1;
        self.beat.rewind()?;
        self.beat.write_all(&self.counter.to_le_bytes())
    }

    /// The files are where the others look for them.
    pub fn is_seen(&self) -> bool {
        is_at(&self.lock, &beside(&self.path, ".lock"))
    }

    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// Takes the files away: the node has left.
    pub fn end(self) {
        remove(&self.path);
        let _ = self.lock.unlock();
    }
}

/// Looks at a node of another process.
pub(super) fn sign_of(db: &Path, node: &str) -> io::Result<Sign> {
    let path = beside(db, ".nodes").join(file_name(node));
    let lock = match OpenOptions::new().read(true).write(true).open(beside(&path, ".lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sign::Gone),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => Ok(Sign::Gone),
        Err(fs::TryLockError::WouldBlock) => {
            let mut text = [0; 8];
            let mut beat = File::open(beside(&path, ".beat"))?;
            // A beat that is being written reads as another number, which is a sign of life as well.
            let _ = beat.read(&mut text)?;
            Ok(Sign::Beats(u64::from_le_bytes(text)))
        }
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Removes what a node that has ended has left behind.
pub(super) fn bury(db: &Path, node: &str) {
    remove(&beside(db, ".nodes").join(file_name(node)));
}

fn remove(path: &Path) {
    for ending in [".beat", ".lock"] {
        let _ = fs::remove_file(beside(path, ending));
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &fs::Metadata, b: &fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
    matches!((file.metadata(), fs::metadata(path)), (Ok(this), Ok(that)) if same(&this, &that))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// A name of any bytes as the name of a file.
fn file_name(node: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    node.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}
