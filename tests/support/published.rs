//! The forms that services publish of the calls which they take, as the types of their own SDKs.
//!
//! A service's `published/*.ts` says which type is meant. Bodies are written out as constants of that type, where the
//! TypeScript compiler also refuses members that the type does not know.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::parts::part;
use super::{folder, script};

/// Which of these bodies of a service do not have its form, by their number, with what the compiler says.
///
/// # Panics
/// When the compiler does not run, or stumbles over something else.
pub fn refused(service: &str, bodies: &[Value]) -> BTreeMap<usize, String> {
    let folder = folder("published");
    let own = format!("{service}.ts");
    std::fs::copy(script("published").join(&own), folder.join(&own)).expect("the service's type");
    let modules = format!("{}/node_modules", part("PUBLISHED"));
    std::os::unix::fs::symlink(&modules, folder.join("node_modules")).expect("a link to the packages");
    // A line each, so that the place of an error names the body. The import shares the first one's.
    let lines: String = bodies.iter().enumerate().map(|(number, body)| format!("export const b{number}: Body = {body};\n")).collect();
    std::fs::write(folder.join("bodies.ts"), format!("import type {{ Body }} from './{service}'; {lines}")).expect("the bodies written");
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120", part("NODE")])
        .arg(format!("{modules}/typescript/lib/tsc.js"))
        .args(["--noEmit", "--strict", "--skipLibCheck", "--preserveSymlinks", "--pretty", "false"])
        .args(["--target", "esnext", "--module", "esnext", "--moduleResolution", "bundler", "bodies.ts"])
        .current_dir(&folder)
        .output()
        .expect("node");
    let said = String::from_utf8_lossy(&output.stdout);
    // Lines that begin with a space say more about the error before.
    let errors = said.lines().filter(|line| !line.starts_with(' ')).map(|error| {
        let place = error.strip_prefix("bodies.ts(").and_then(|rest| rest.split(',').next()?.parse::<usize>().ok());
        (place.unwrap_or_else(|| panic!("the compiler: {output:?}")) - 1, error.to_owned())
    });
    let errors: BTreeMap<_, _> = errors.collect();
    assert_eq!(output.status.success(), errors.is_empty(), "the compiler: {output:?}");
    errors
}
