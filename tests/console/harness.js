// What the tests of the console stand on: a browser, and for each test a fresh mock daemon and page.
// Every test fails on a script error, a policy violation or an executed hostile string.

const assert = require("node:assert/strict");
const node = require("node:test");
const { launch } = require("./browser.js");
const { Mock } = require("./mock.js");

const WAIT_MS = 15_000;
let browser;
let context;
let mock;
let page;
let faults;

node.before(async () => { browser = await launch(); });
node.after(async () => { await browser?.close(); });

node.beforeEach(async () => {
  mock = new Mock();
  await mock.listen();
  context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  faults = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.stack}`));
  page.on("console", (message) => {
    // A failed request is reported by the browser itself; what the page does then is what is tested.
    if (["error", "warning"].includes(message.type()) && !/Failed to load resource/.test(message.text())) faults.push(message.text());
  });
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
});

node.afterEach(async () => {
  const pwned = await page.evaluate(() => window.pwned);
  await context.close();
  await mock.close();
  assert.equal(pwned, undefined);
  assert.deepEqual(faults, []);
});

const url = (hash = "") => `http://127.0.0.1:${mock.port}/${hash}`;

async function sign_in(hash = "", token = "good-token") {
  await page.goto(url(hash));
  await page.fill("#token", token);
  await page.keyboard.press("Enter");
}

async function sign_in_to_list(hash = "#/alerts") {
  await sign_in(hash);
  await page.waitForSelector("tr.alert");
  await page.waitForSelector(".stream-live");
}

const eventually = (check, argument) => page.waitForFunction(check, argument, { timeout: WAIT_MS });

const panel = (page, title) => page.locator("section.panel", { has: page.locator("h2", { hasText: new RegExp(`^${title}$`) }) });

/** On a phone nothing is wider than the screen. */
async function narrow(page) {
  await page.setViewportSize({ width: 390, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "wider than the screen");
}

/** A test whose body is given the page and the mock. */
function test(name, body) {
  node.test(name, () => body({ page, mock }));
}

module.exports = { eventually, narrow, panel, sign_in, sign_in_to_list, test, url };
