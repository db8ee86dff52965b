//! A small file system of its own, which a test can fill. It takes root to mount one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{folder, process::sweep_mount};

/// A mounted file system, unmounted when dropped.
pub struct Disk {
    /// Where it is mounted.
    pub path: PathBuf,
}

impl Disk {
    /// Makes and mounts one of `mebibytes` in an image file, a real ext4; `None` where that is not allowed.
    pub fn mount(mebibytes: u64) -> Option<Self> {
        let folder = folder("disk");
        let (image, path) = (folder.join("image"), folder.join("mounted"));
        File::create(&image).and_then(|file| file.set_len(mebibytes << 20)).expect("an image file");
        std::fs::create_dir(&path).expect("a mount point");
        let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = works(Command::new("mkfs.ext4").arg("-q").arg(&image));
        if !made || !works(Command::new("mount").args(["-o", "loop"]).args([&image, &path])) {
            return None;
        }
        sweep_mount(&path);
        Some(Self { path })
    }

    /// Writes a file until nothing more fits.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        let block = vec![1; 1 << 20];
        while file.write_all(&block).is_ok() {}
    }

    /// Removes that file.
    pub fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("the file that fills the disk");
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

/// At once for whoever looks, and for real once nobody has a file open any more.
fn unmount(path: &Path) {
    Command::new("umount").arg("--lazy").arg(path).status().ok();
}
