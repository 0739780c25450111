//! A file system in memory (FUSE) that knows what was synced. When the power is cut it forgets the rest, as a disk may: of
//! bytes that were written and not synced any pages are there and any are not; of names that were made, moved or removed in
//! a folder and not synced, the first few. And it can be told to fail, or to take its time.

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::BufRead;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PAGE: usize = 4_096;
/// Nothing is remembered by the kernel.
const TTL: Duration = Duration::ZERO;

/// What goes wrong, for everybody, until it is changed.
#[derive(Clone, Copy, Default)]
struct Trouble {
    reads: bool,
    writes: bool,
    syncs: bool,
    sync_takes: Duration,
}

/// `forgetful FOLDER` mounts it there. Each line of stdin is an order, and each is answered by a line on stdout:
///
/// - `trouble WHAT…`: from now on `reads`, `writes`, `syncs` fail, `slow=MS` is how long each sync takes; nothing else is wrong
/// - `cut SEED`: the power is gone, and comes back; the answer says how many changes were not synced
///
/// At the end of stdin it is unmounted.
fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).expect("forgetful FOLDER");
    let disk = Disk::default();
    let mount = || fuser::spawn_mount(disk.clone(), Path::new(&folder), &Config::default());
    let mut session = mount()?;
    println!("mounted");
    for order in std::io::stdin().lock().lines() {
        let order = order?;
        let mut words = order.split(' ');
        match words.next() {
            Some("trouble") => {
                disk.lock().trouble = Trouble::of(words);
                println!("noted");
            }
            Some("cut") => {
                let seed = words.next().and_then(|seed| seed.parse().ok()).expect("cut SEED");
                session.umount_and_join()?;
                let unsynced = disk.lock().forget(&mut Random(seed));
                session = mount()?;
                println!("{unsynced}");
            }
            _ => panic!("there is no order {order}"),
        }
    }
    session.umount_and_join()
}

impl Trouble {
    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Trouble {
        let mut trouble = Trouble::default();
        for word in words {
            match word.split_once('=') {
                None if word == "reads" => trouble.reads = true,
                None if word == "writes" => trouble.writes = true,
                None if word == "syncs" => trouble.syncs = true,
                Some(("slow", ms)) => trouble.sync_takes = Duration::from_millis(ms.parse().expect("slow=MS")),
                _ => panic!("there is no trouble {word}"),
            }
        }
        trouble
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

#[derive(Clone, Default)]
struct Disk(Arc<Mutex<State>>);

struct State {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    trouble: Trouble,
}

/// A file, a folder or a socket, as everybody sees it and as it would be after a power cut.
struct Node {
    kind: FileType,
    mode: u16,
    modified: SystemTime,
    bytes: Vec<u8>,
    synced: Vec<u8>,
    writes: Vec<Write>,
    names: BTreeMap<OsString, u64>,
    synced_names: BTreeMap<OsString, u64>,
    moves: Vec<Vec<(OsString, Option<u64>)>>,
}

enum Write {
    Page(usize, Vec<u8>),
    Length(usize),
}

impl Default for State {
    fn default() -> State {
        let root = Node::new(FileType::Directory, 0o755);
        State { nodes: BTreeMap::from([(INodeNo::ROOT.0, root)]), next: 2, trouble: Trouble::default() }
    }
}

impl Node {
    fn new(kind: FileType, mode: u16) -> Node {
        Node {
            kind,
            mode,
            modified: SystemTime::now(),
            bytes: Vec::new(),
            synced: Vec::new(),
            writes: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            moves: Vec::new(),
        }
    }

    fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        put(&mut self.bytes, at, bytes);
        self.modified = SystemTime::now();
        while !bytes.is_empty() {
            let (page, rest) = bytes.split_at(bytes.len().min(PAGE - at % PAGE));
            self.writes.push(Write::Page(at, page.to_owned()));
            (at, bytes) = (at + page.len(), rest);
        }
    }

    fn set_length(&mut self, length: usize) {
        self.bytes.resize(length, 0);
        self.writes.push(Write::Length(length));
    }

    fn sync(&mut self) {
        for write in std::mem::take(&mut self.writes) {
            write.apply(&mut self.synced);
        }
        for change in self.moves.drain(..) {
            rename(&mut self.synced_names, change);
        }
    }

    fn rename(&mut self, change: Vec<(OsString, Option<u64>)>) {
        rename(&mut self.names, change.clone());
        self.moves.push(change);
    }
}

impl Write {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Write::Page(at, bytes) => put(to, *at, bytes),
            Write::Length(length) => to.resize(*length, 0),
        }
    }
}

fn put(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if to.len() < at + bytes.len() {
        to.resize(at + bytes.len(), 0);
    }
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

fn rename(names: &mut BTreeMap<OsString, u64>, change: Vec<(OsString, Option<u64>)>) {
    for (name, node) in change {
        match node {
            Some(node) => names.insert(name, node),
            None => names.remove(&name),
        };
    }
}

impl State {
    fn forget(&mut self, random: &mut Random) -> usize {
        let mut unsynced = 0;
        for node in self.nodes.values_mut() {
            unsynced += node.writes.len() + node.moves.len();
            for write in std::mem::take(&mut node.writes) {
                if random.below(2) == 0 {
                    write.apply(&mut node.synced);
                }
            }
            let kept = random.below(node.moves.len() + 1);
            for change in node.moves.drain(..).take(kept) {
                rename(&mut node.synced_names, change);
            }
            (node.bytes, node.names) = (node.synced.clone(), node.synced_names.clone());
        }
        unsynced
    }

    fn attributes(&self, number: u64) -> Option<FileAttr> {
        let node = self.nodes.get(&number)?;
        let size = node.bytes.len() as u64;
        Some(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: node.modified,
            ctime: node.modified,
            crtime: UNIX_EPOCH,
            kind: node.kind,
            perm: node.mode,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: PAGE as u32,
            flags: 0,
        })
    }

    fn find(&self, folder: INodeNo, name: &OsStr) -> Option<u64> {
        self.nodes.get(&folder.0)?.names.get(name).copied()
    }

    fn make(&mut self, folder: INodeNo, name: &OsStr, kind: FileType, mode: u32) -> FileAttr {
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node::new(kind, (mode & 0o7777) as u16));
        self.change(folder, vec![(name.to_owned(), Some(number))]);
        self.attributes(number).expect("just made")
    }

    fn change(&mut self, folder: INodeNo, change: Vec<(OsString, Option<u64>)>) {
        self.nodes.get_mut(&folder.0).expect("a folder that is there").rename(change);
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn remove(&self, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.lock();
        match state.find(folder, name) {
            None => reply.error(Errno::ENOENT),
            Some(node) if !state.nodes[&node].names.is_empty() => reply.error(Errno::ENOTEMPTY),
            Some(_) => {
                state.change(folder, vec![(name.to_owned(), None)]);
                reply.ok();
            }
        }
    }

    fn sync(&self, number: INodeNo, reply: ReplyEmpty) {
        let trouble = self.lock().trouble;
        std::thread::sleep(trouble.sync_takes);
        if trouble.syncs {
            return reply.error(Errno::EIO);
        }
        self.lock().nodes.get_mut(&number.0).map(Node::sync);
        reply.ok();
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.lock();
        match state.find(parent, name).and_then(|number| state.attributes(number)) {
            Some(found) => reply.entry(&TTL, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.lock().attributes(number.0) {
            Some(found) => reply.attr(&TTL, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.lock();
        let Some(node) = state.nodes.get_mut(&number.0) else { return reply.error(Errno::ENOENT) };
        if let Some(mode) = mode {
            node.mode = (mode & 0o7777) as u16;
        }
        if let Some(size) = size {
            node.set_length(size as usize);
        }
        reply.attr(&TTL, &state.attributes(number.0).expect("it is there"));
    }

    fn mknod(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: u32, reply: ReplyEntry) {
        let kind = if mode & libc::S_IFMT == libc::S_IFSOCK { FileType::Socket } else { FileType::RegularFile };
        reply.entry(&TTL, &self.lock().make(parent, name, kind, mode), Generation(0));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        reply.entry(&TTL, &self.lock().make(parent, name, FileType::Directory, mode), Generation(0));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        let made = self.lock().make(parent, name, FileType::RegularFile, mode);
        reply.created(&TTL, &made, Generation(0), FileHandle(0), FopenFlags::empty());
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.lock();
        let Some(number) = state.find(parent, name) else { return reply.error(Errno::ENOENT) };
        // Within a folder at once; from one to another nobody renames here.
        let (gone, there) = ((name.to_owned(), None), (new_name.to_owned(), Some(number)));
        if parent == new_parent {
            state.change(parent, vec![gone, there]);
        } else {
            state.change(new_parent, vec![there]);
            state.change(parent, vec![gone]);
        }
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.lock();
        if state.trouble.reads {
            return reply.error(Errno::EIO);
        }
        let Some(node) = state.nodes.get(&number.0) else { return reply.error(Errno::ENOENT) };
        let from = (offset as usize).min(node.bytes.len());
        reply.data(&node.bytes[from..(from + size as usize).min(node.bytes.len())]);
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.lock();
        if state.trouble.writes {
            return reply.error(Errno::EIO);
        }
        let Some(node) = state.nodes.get_mut(&number.0) else { return reply.error(Errno::ENOENT) };
        node.write(offset as usize, data);
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(number, reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(number, reply);
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.lock();
        let Some(folder) = state.nodes.get(&number.0) else { return reply.error(Errno::ENOENT) };
        for (index, (name, number)) in folder.names.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*number), index as u64 + 1, state.nodes[number].kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (blocks, files) = (1 << 20, 1 << 20);
        reply.statfs(blocks, blocks, blocks, files, files, PAGE as u32, 255, PAGE as u32);
    }
}
