//! The command line of Bartizan.

use std::process::ExitCode;

/// State is millions of small allocations that come and go. What the system's allocator leaves unused
/// between them was up to 40 % beyond what the limit on state counts; jemalloc stays within a tenth.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    bartizan::cli::main()
}
