//! Child processes that never outlive the test binary.
//!
//! Each is the leader of its own process group. Dropping one kills its group; for
//! what is never dropped (shared parts, a test binary that is killed) one sweeper,
//! a small shell that reads from a pipe, notices the end of the test binary and
//! kills what is left.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::wait_for;

/// Lines in: `group ID` and `ended ID` (of process groups), `mount PATH`, `folder PATH`. At the
/// end of the input it kills the groups that did not end, unmounts and removes the folders.
const SWEEPER: &str = r#"
groups=' '
while read -r what name; do
    case $what in
    group) groups="$groups$name " ;;
    ended) groups="${groups%% $name *} ${groups#* $name }" ;;
    mount) mounts="$mounts $name" ;;
    folder) folder=$name ;;
    esac
done
for group in $groups; do kill -KILL "-$group"; done
for mount in $mounts; do umount --lazy "$mount"; done
if [ -n "$folder" ]; then rm -rf -- "$folder"; fi
"#;

#[expect(clippy::zombie_processes, reason = "the sweeper outlives this process")]
fn tell_sweeper(line: &str) {
    static SWEEPER_INPUT: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let input = SWEEPER_INPUT.get_or_init(|| {
        let child = Command::new("sh")
            .args(["-c", SWEEPER])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Mutex::new(child.stdin.expect("the pipe to the shell"))
    });
    let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(input, "{line}").expect("the sweeper reads");
}

/// Removes a folder once the test binary has ended; there is one for all.
pub fn sweep_folder(folder: &Path) {
    tell_sweeper(&format!("folder {}", folder.display()));
}

/// Unmounts a file system once the test binary has ended, if that did not.
pub fn sweep_mount(path: &Path) {
    tell_sweeper(&format!("mount {}", path.display()));
}

/// A running child with its output in a file.
pub struct Process {
    child: Child,
    group: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its standard output and error are appended to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let output = OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        tell_sweeper(&format!("group {}", child.id()));
        Self { group: Pid::from_child(&child), child, log: log.to_owned() }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, from all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the status of a child")
    }

    /// Waits for a condition while the process lives.
    ///
    /// # Panics
    /// With its log, when it ends first or the deadline passes.
    pub fn wait_for<T>(&mut self, what: &str, deadline: Duration, mut condition: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = std::time::Instant::now();
        wait_for(what, deadline + Duration::from_secs(1), || {
            if let Some(value) = condition(self) {
                return Some(value);
            }
            let (ended, late) = (self.ended(), start.elapsed() > deadline);
            assert!(ended.is_none() && !late, "waited in vain for {what}; ended: {ended:?}; log:\n{}", self.log());
            None
        })
    }

    /// Asks it to end (SIGTERM) and waits for its status.
    pub fn terminate(mut self, deadline: Duration) -> ExitStatus {
        kill_process(self.group, Signal::TERM).expect("SIGTERM");
        wait_for("a process to end", deadline, || self.ended())
    }

    /// Kills this one process (SIGKILL), not the children it started.
    pub fn kill(&mut self) {
        kill_process(self.group, Signal::KILL).expect("SIGKILL");
        self.child.wait().expect("the status of a child");
    }

    /// Whether any process of its group is still there.
    pub fn group_lives(&self) -> bool {
        rustix::process::test_kill_process_group(self.group).is_ok()
    }

    /// Stops all of its group (SIGSTOP), or lets it go on: a part that hangs.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        kill_process_group(self.group, signal).expect("a signal");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error here means that the group has ended already.
        kill_process_group(self.group, Signal::KILL).ok();
        self.child.wait().ok();
        tell_sweeper(&format!("ended {}", self.group.as_raw_nonzero()));
    }
}
