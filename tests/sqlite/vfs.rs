//! A file system for SQLite that notes what is written to one database and when it is synced, and that can be
//! full. It stands before the real one and is the default of its process: for parts only, never for a test.
//!
//! A file object is that of the real file system with another table of methods; what is known of it is kept
//! under its address, which SQLite does not change between open and close.

use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

/// Which file of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Database,
    Log,
}

#[derive(Clone, Debug)]
pub enum Event {
    Write(Place, usize, Vec<u8>),
    Truncate(Place, usize),
    Sync(Place),
}

#[derive(Default)]
struct Notes {
    database: PathBuf,
    log: PathBuf,
    events: Vec<Event>,
    is_full: bool,
    files: HashMap<usize, Open>,
    /// Patched tables by the address of the original one.
    tables: HashMap<usize, usize>,
}

#[derive(Clone, Copy)]
struct Open {
    place: Place,
    real: usize,
}

impl Open {
    fn real(self) -> &'static ffi::sqlite3_io_methods {
        // SAFETY: the address is that of a table of the real file system, which is never freed.
        unsafe { &*(self.real as *const ffi::sqlite3_io_methods) }
    }
}

static NOTES: Mutex<Option<Notes>> = Mutex::new(None);

fn notes() -> MutexGuard<'static, Option<Notes>> {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(work: impl FnOnce(&mut Notes) -> T) -> T {
    work(notes().as_mut().expect("the file system is installed"))
}

/// Notes from now on what happens to the database at `path`, which is not open yet.
pub fn install(path: &Path) {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    *notes() = Some(Notes { database: path.into(), log, ..Notes::default() });
    // SAFETY: the real file system outlives the process; the copy is leaked, so that it does too. Its methods
    // take the same objects, since it asks for the same size.
    unsafe {
        let real = ffi::sqlite3_vfs_find(std::ptr::null());
        let mut copy = std::ptr::read(real);
        copy.zName = c"noting".as_ptr();
        copy.pNext = std::ptr::null_mut();
        copy.xOpen = Some(open);
        assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(Box::new(copy)), 1), ffi::SQLITE_OK);
    }
}

/// How many events there have been.
pub fn mark() -> usize {
    with(|notes| notes.events.len())
}

pub fn events() -> Vec<Event> {
    with(|notes| notes.events.clone())
}

/// From now on there is no room for anything, or there is again.
pub fn fill(is_full: bool) {
    with(|notes| notes.is_full = is_full);
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    told: *mut c_int,
) -> c_int {
    // SAFETY: called by SQLite, whose arguments go on unchanged to the real file system; on success the
    // object has a table of methods, and its name ends with a zero.
    unsafe {
        let real = ffi::sqlite3_vfs_find(c"unix".as_ptr());
        let code = ((*real).xOpen.expect("it opens"))(real, name, file, flags, told);
        if code != ffi::SQLITE_OK || name.is_null() {
            return code;
        }
        let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
        with(|notes| {
            let place = match path {
                path if path == notes.database => Place::Database,
                path if path == notes.log => Place::Log,
                _ => return,
            };
            let real = (*file).pMethods as usize;
            notes.files.insert(file as usize, Open { place, real });
            let table = *notes.tables.entry(real).or_insert_with(|| {
                let mut table = std::ptr::read(real as *const ffi::sqlite3_io_methods);
                table.xClose = Some(close);
                table.xWrite = Some(write);
                table.xTruncate = Some(truncate);
                table.xSync = Some(sync);
                Box::into_raw(Box::new(table)) as usize
            });
            (*file).pMethods = table as *const ffi::sqlite3_io_methods;
        });
        code
    }
}

fn known(file: *mut ffi::sqlite3_file) -> Open {
    with(|notes| *notes.files.get(&(file as usize)).expect("it was opened here"))
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let open = known(file);
    with(|notes| notes.files.remove(&(file as usize)));
    // SAFETY: the real method on an object of the real file system.
    unsafe { (open.real().xClose.expect("a method"))(file) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let open = known(file);
    if with(|notes| notes.is_full) {
        return ffi::SQLITE_FULL;
    }
    // SAFETY: the real method on an object of the real file system; SQLite gives `length` readable bytes.
    unsafe {
        let code = (open.real().xWrite.expect("a method"))(file, bytes, length, at);
        if code == ffi::SQLITE_OK {
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize).to_vec();
            with(|notes| notes.events.push(Event::Write(open.place, at as usize, bytes)));
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    let open = known(file);
    with(|notes| notes.events.push(Event::Truncate(open.place, size as usize)));
    // SAFETY: the real method on an object of the real file system.
    unsafe { (open.real().xTruncate.expect("a method"))(file, size) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let open = known(file);
    // SAFETY: the real method on an object of the real file system.
    let code = unsafe { (open.real().xSync.expect("a method"))(file, flags) };
    with(|notes| notes.events.push(Event::Sync(open.place)));
    code
}
