// Chromium as the console's tests use it: one place for its options.

const os = require("node:os");
const path = require("node:path");

const directory = process.env.BARTIZAN_PLAYWRIGHT_DIR
  ?? path.join(os.homedir(), ".cache", "bartizan", "test", "playwright-core");
const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A browser with a fresh profile. */
function launch() {
  const { chromium } = require(directory);
  return chromium.launch({ executablePath: process.env.BARTIZAN_CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
}

module.exports = { launch };
