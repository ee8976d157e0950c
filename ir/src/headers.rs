//! The headers of entities, by id, in pages that versions of a table share.
//!
//! A store of a million entities changes one header at a time, and whoever reads the store as it
//! was before must not notice. So headers are in pages of 64, pages in directories of 256, and a
//! table is a list of directories: a version of a table that differs in one header has one page and
//! one directory of its own and shares the others. Reading takes three loads that depend on one
//! another; the first two are of memory that stays in the cache.
//!
//! Compiled code reads the same pages: beside each reference to a page or directory is its address.

use crate::abi::{EntityHeader, HEADERS_IN_PAGE, MISSING_ENTITY, PAGES_IN_DIRECTORY};
use crate::arena::TableMemory;
use std::array;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

type Page = [EntityHeader; HEADERS_IN_PAGE];

/// The address of a page's first header.
type PageAddress = AtomicPtr<EntityHeader>;

/// The address of a directory's first page address.
type DirectoryAddress = AtomicPtr<PageAddress>;

struct Directory {
    pages: [Option<Arc<Page>>; PAGES_IN_DIRECTORY],
    /// For compiled code; null where there is no page.
    addresses: [PageAddress; PAGES_IN_DIRECTORY],
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            pages: [const { None }; PAGES_IN_DIRECTORY],
            addresses: [const { AtomicPtr::new(ptr::null_mut()) }; PAGES_IN_DIRECTORY],
        }
    }
}

impl Clone for Directory {
    fn clone(&self) -> Self {
        let address = |i: usize| AtomicPtr::new(self.addresses[i].load(Ordering::Relaxed));
        Self {
            pages: self.pages.clone(),
            addresses: array::from_fn(address),
        }
    }
}

/// The headers of all entities whose ids an interner, or a request, has given out.
///
/// A clone shares all pages; O(entities / 16,384). Changing a header copies at most one page and one
/// directory.
#[derive(Default)]
pub struct HeaderTable {
    directories: Vec<Arc<Directory>>,
    /// For compiled code: the address of each directory's addresses.
    addresses: Vec<DirectoryAddress>,
    len: usize,
}

/// A header's directory, the page in that, and the place in that.
#[inline]
fn split(index: usize) -> (usize, usize, usize) {
    let page = index / HEADERS_IN_PAGE;
    (
        page / PAGES_IN_DIRECTORY,
        page % PAGES_IN_DIRECTORY,
        index % HEADERS_IN_PAGE,
    )
}

impl HeaderTable {
    /// A table without headers.
    pub const fn new() -> Self {
        Self {
            directories: Vec::new(),
            addresses: Vec::new(),
            len: 0,
        }
    }

    /// How many headers there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The header at a position.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&EntityHeader> {
        if index >= self.len {
            return None;
        }
        let (directory, page, place) = split(index);
        let page = self.directories.get(directory)?.pages[page].as_ref()?;
        Some(&page[place])
    }

    /// All headers, by position.
    pub fn iter(&self) -> impl Iterator<Item = &EntityHeader> {
        let pages = self.directories.iter().flat_map(|d| d.pages.iter());
        pages.flatten().flat_map(|page| page.iter()).take(self.len)
    }

    /// Adds a header at the end.
    pub fn push(&mut self, header: EntityHeader) {
        self.len += 1;
        self.set(self.len - 1, header);
    }

    /// Adds headers at the end, page by page, up to the first error; of the page that it is in, none
    /// is added.
    ///
    /// # Errors
    /// The first error among the headers.
    pub fn try_extend<E>(
        &mut self,
        headers: impl Iterator<Item = Result<EntityHeader, E>>,
    ) -> Result<(), E> {
        let mut page: Page = [MISSING_ENTITY; HEADERS_IN_PAGE];
        let mut filled = 0;
        for header in headers {
            let header = header?;
            if filled == 0 && !self.len.is_multiple_of(HEADERS_IN_PAGE) {
                self.push(header);
                continue;
            }
            page[filled % HEADERS_IN_PAGE] = header;
            filled += 1;
            if filled == HEADERS_IN_PAGE {
                filled = 0;
                self.len += HEADERS_IN_PAGE;
                self.put_page(self.len - HEADERS_IN_PAGE, &page);
            }
        }
        for header in page.iter().take(filled) {
            self.push(*header);
        }
        Ok(())
    }

    /// Puts a page at the end, where it begins at `index`.
    fn put_page(&mut self, index: usize, page: &Page) {
        self.set_in_page(index, |shared| match shared {
            // Memory of headers that were forgotten.
            Some(shared) => *Arc::make_mut(shared) = *page,
            None => *shared = Some(Arc::new(*page)),
        });
    }

    /// Replaces the header at a position; does nothing if there is none.
    pub fn set(&mut self, index: usize, header: EntityHeader) {
        if index >= self.len {
            return;
        }
        let (_, _, place) = split(index);
        self.set_in_page(index, |page| {
            let page = page.get_or_insert_with(|| Arc::new([header; HEADERS_IN_PAGE]));
            Arc::make_mut(page)[place] = header;
        });
    }

    /// Changes the page in which a position is, which has one afterwards.
    fn set_in_page(&mut self, index: usize, change: impl FnOnce(&mut Option<Arc<Page>>)) {
        let (directory, number, _) = split(index);
        if directory == self.directories.len() {
            self.directories.push(Arc::default());
            self.addresses.push(AtomicPtr::default());
        }
        let Some(shared) = self.directories.get_mut(directory) else {
            return;
        };
        let own = Arc::make_mut(shared);
        change(&mut own.pages[number]);
        // Taken anew whenever something was written, so that they may be read until the next time.
        if let Some(page) = &own.pages[number] {
            let address = Arc::as_ptr(page).cast::<EntityHeader>().cast_mut();
            own.addresses[number] = AtomicPtr::new(address);
        }
        let address = shared.addresses.as_ptr().cast_mut();
        if let Some(place) = self.addresses.get_mut(directory) {
            *place = AtomicPtr::new(address);
        }
    }

    /// Forgets all headers, and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// What compiled code starts from: the address of the directories' addresses. Valid until the
    /// table changes or goes.
    #[inline]
    pub fn address(&self) -> *const *const *const EntityHeader {
        self.addresses.as_ptr().cast()
    }

    /// What the table takes, pages shared with other versions counted in full.
    pub fn memory(&self) -> TableMemory {
        let pages = self.directories.iter().flat_map(|d| d.pages.iter());
        // Each page and directory has two counters, and is at an address that suits a header.
        let page = size_of::<Page>() + align_of::<Page>();
        let directories = self.directories.len() * size_of::<Directory>();
        TableMemory {
            used: self.len * size_of::<EntityHeader>() + directories,
            reserved: pages.flatten().count() * page
                + directories
                + (self.directories.capacity() + self.addresses.capacity()) * size_of::<usize>(),
        }
    }
}

impl Clone for HeaderTable {
    fn clone(&self) -> Self {
        let addresses = self.addresses.iter();
        Self {
            directories: self.directories.clone(),
            addresses: addresses
                .map(|a| AtomicPtr::new(a.load(Ordering::Relaxed)))
                .collect(),
            len: self.len,
        }
    }
}

impl Extend<EntityHeader> for HeaderTable {
    fn extend<I: IntoIterator<Item = EntityHeader>>(&mut self, headers: I) {
        for header in headers {
            self.push(header);
        }
    }
}

impl FromIterator<EntityHeader> for HeaderTable {
    fn from_iter<I: IntoIterator<Item = EntityHeader>>(headers: I) -> Self {
        let mut table = Self::new();
        table.extend(headers);
        table
    }
}

impl fmt::Debug for HeaderTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::missing_entity;

    fn typed(types: impl Iterator<Item = u32>) -> HeaderTable {
        types.map(missing_entity).collect()
    }

    fn types(table: &HeaderTable) -> Vec<u32> {
        table.iter().map(|header| header.ty).collect()
    }

    #[test]
    fn headers_are_found_across_pages_and_directories() {
        let table = typed(0..40_000);
        assert_eq!(table.len(), 40_000);
        for i in [0, 63, 64, 16_383, 16_384, 39_999] {
            assert_eq!(table.get(i).map(|h| h.ty), Some(i as u32));
        }
        assert_eq!(table.get(40_000), None);
        assert_eq!(types(&table), Vec::from_iter(0..40_000));
    }

    #[test]
    fn a_change_is_seen_in_one_version_only() {
        let old = typed(0..20_000);
        let mut new = old.clone();
        new.set(17_000, missing_entity(9));
        new.push(missing_entity(8));
        assert_eq!(old.get(17_000).map(|h| h.ty), Some(17_000));
        assert_eq!(new.get(17_000).map(|h| h.ty), Some(9));
        assert_eq!((old.len(), new.len()), (20_000, 20_001));
        let shared = |i: usize| ptr::eq(old.get(i).unwrap(), new.get(i).unwrap());
        assert!(shared(0) && shared(16_999 - HEADERS_IN_PAGE));
        assert!(!shared(16_999));
        drop(old);
        assert_eq!(new.get(0).map(|h| h.ty), Some(0));
    }

    #[test]
    fn addresses_lead_where_the_table_does() {
        let old = typed(0..20_000);
        let mut new = old.clone();
        new.set(100, MISSING_ENTITY);
        new.set(17_000, MISSING_ENTITY);
        for table in [&old, &new] {
            for i in [0, 100, 101, 16_384, 17_000, 19_999] {
                let (directory, page, place) = split(i);
                let own = &table.directories[directory];
                assert_eq!(
                    table.addresses[directory]
                        .load(Ordering::Relaxed)
                        .cast_const(),
                    own.addresses.as_ptr()
                );
                let start = own.addresses[page].load(Ordering::Relaxed).cast_const();
                assert_eq!(
                    start.wrapping_add(place),
                    ptr::from_ref(table.get(i).unwrap())
                );
            }
        }
    }

    #[test]
    fn an_error_ends_what_is_added() {
        let mut table = typed(0..3);
        let more = |n: u32| (3..n).map(|ty| Ok(missing_entity(ty)));
        assert_eq!(table.try_extend(more(40).chain([Err("bad")])), Err("bad"));
        assert_eq!(types(&table), Vec::from_iter(0..32));
        table.clear();
        table.push(missing_entity(0));
        let shared = table.clone();
        assert_eq!(table.try_extend(more(40)), Ok(()));
        assert_eq!(types(&table), Vec::from_iter([0].into_iter().chain(3..40)));
        assert_eq!(types(&shared), [0]);
    }

    #[test]
    fn a_cleared_table_is_filled_again() {
        let mut table = typed(0..100);
        table.clear();
        assert!(table.is_empty() && table.get(0).is_none());
        table.push(missing_entity(7));
        assert_eq!(types(&table), [7]);
    }
}
