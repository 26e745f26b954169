//! The in-memory twin of the segment directory, for tests and for ledgers that need not last.
//!
//! It keeps apart what was written and what was synced, so a test can make it lose power; it can
//! be given a capacity, and be told to fail the next sync or to flip a byte.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, File};

#[derive(Debug, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    synced_names: Vec<String>,
    aside: Vec<(String, Vec<u8>)>,
    capacity: Option<u64>,
    /// The capacity shows only when a write hits it, as with quotas.
    hide_capacity: bool,
    fail_sync: bool,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<Inner>>);

/// Nothing here panics while holding a lock, so a poisoned lock only follows from a failed test.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn used(&self) -> u64 {
        self.files.values().map(|file| lock(file).written.len() as u64).sum()
    }

    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    content: Arc<Mutex<Content>>,
}

impl File for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(lock(&self.content).written.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.content);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.written.len());
        let count = buffer.len().min(content.written.len() - start);
        buffer[..count].copy_from_slice(&content.written[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let room = lock(&self.disk.0).room();
        let mut content = lock(&self.content);
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // As a real disk does, it takes what fits and then fails.
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let end = start + fits;
        if content.written.len() < end {
            content.written.resize(end, 0);
        }
        content.written[start..end].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        if lock(&self.disk.0).fail_sync {
            return Err(io::Error::other("the disk was told to fail"));
        }
        let mut content = lock(&self.content);
        let Content { written, synced } = &mut *content;
        if synced.len() <= written.len() {
            // The log only grows, so copying the growth keeps long tests linear.
            let from = synced.len();
            synced.extend_from_slice(&written[from..]);
        } else {
            synced.clone_from(written);
        }
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut content = lock(&self.content);
        let end = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        content.written.truncate(end);
        content.synced.truncate(end);
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inner = lock(&self.0);
        let content = inner.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), content: content.clone() }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut inner = lock(&self.0);
        if inner.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Arc::new(Mutex::new(Content::default()));
        inner.files.insert(name.to_owned(), content.clone());
        Ok(Arc::new(MemoryFile { disk: self.clone(), content }))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = lock(&self.0);
        inner.synced_names = inner.files.keys().cloned().collect();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.0).files.remove(name).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn keep_aside(&self, name: &str, bytes: &[u8]) -> io::Result<String> {
        lock(&self.0).aside.push((name.to_owned(), bytes.to_vec()));
        Ok(format!("aside/{name}"))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let inner = lock(&self.0);
        Ok(if inner.hide_capacity { u64::MAX } else { inner.room() })
    }

    fn describe(&self, name: &str) -> String {
        format!("memory:{name}")
    }
}

#[cfg(test)]
impl MemoryDisk {
    /// From now on there is room for `bytes` in all; when `hidden`, only writes find out.
    pub(super) fn set_capacity(&self, bytes: Option<u64>, hidden: bool) {
        let mut inner = lock(&self.0);
        (inner.capacity, inner.hide_capacity) = (bytes, hidden);
    }

    /// How many bytes are written.
    pub(super) fn used(&self) -> u64 {
        lock(&self.0).used()
    }

    /// Every sync fails from now on.
    pub(super) fn fail_syncs(&self) {
        lock(&self.0).fail_sync = true;
    }

    /// What was kept aside.
    pub(super) fn aside(&self) -> Vec<(String, Vec<u8>)> {
        lock(&self.0).aside.clone()
    }

    /// What is left after power loss: the synced part of each file whose name was synced, and of
    /// what came after it the first `torn` bytes, with holes where `holes` says so.
    pub(super) fn after_power_loss(&self, torn: usize, hole: Option<usize>) -> Self {
        let inner = lock(&self.0);
        let mut left = Inner::default();
        for name in &inner.synced_names {
            let Some(file) = inner.files.get(name) else { continue };
            let content = lock(file);
            let kept = content.synced.len().saturating_add(torn).min(content.written.len());
            let mut bytes = content.written[..kept.max(content.synced.len())].to_vec();
            if let Some(byte) = hole.and_then(|hole| bytes.get_mut(content.synced.len() + hole)) {
                *byte = 0;
            }
            let content = Content { written: bytes.clone(), synced: bytes };
            left.files.insert(name.clone(), Arc::new(Mutex::new(content)));
            left.synced_names.push(name.clone());
        }
        Self(Arc::new(Mutex::new(left)))
    }

    /// A copy that shares nothing with this disk.
    pub(super) fn fork(&self) -> Self {
        self.after_power_loss(usize::MAX, None)
    }

    /// Changes the bytes of a file.
    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let inner = lock(&self.0);
        let mut content = lock(inner.files.get(name).expect("the test names a file that exists"));
        edit(&mut content.written);
        content.synced = content.written.clone();
    }
}
