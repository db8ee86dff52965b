// Drives Chromium through the steps given on standard input and prints what came out.
//
// Input:  {"playwright": folder, "chromium": path, "folder": path, "width": n, "height": n,
//          "steps": [{"do": ..., ...}, ...]}
// Output: {"error": string|null, "values": {name: value}, "console": [...], "failures": [...]}
//
// Steps (`selector` is Playwright's; `name` keys the value in the output):
//   goto url            fill selector value     click selector      press key [selector]
//   wait selector [state]   text selector name  texts selector name count selector name
//   wait_count selector at_least                eval script name    screenshot name

import { createRequire } from 'node:module';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';

const STEP_TIMEOUT_MS = 20_000;

const input = JSON.parse(await readAll(process.stdin));
const { chromium } = createRequire(import.meta.url)(input.playwright);
const output = { error: null, values: {}, console: [], failures: [] };

const actions = {
  goto: (page, s) => page.goto(s.url),
  fill: (page, s) => page.locator(s.selector).fill(s.value),
  click: (page, s) => page.locator(s.selector).first().click(),
  press: (page, s) => (s.selector ? page.locator(s.selector).press(s.key) : page.keyboard.press(s.key)),
  wait: (page, s) => page.locator(s.selector).first().waitFor({ state: s.state ?? 'visible' }),
  wait_count: (page, s) =>
    page.locator(s.selector).nth(s.at_least - 1).waitFor({ state: 'attached' }),
  text: (page, s) => page.locator(s.selector).first().innerText(),
  texts: (page, s) => page.locator(s.selector).allInnerTexts(),
  count: (page, s) => page.locator(s.selector).count(),
  eval: (page, s) => page.evaluate(s.script),
  screenshot: async (page, s) => {
    const path = join(input.folder, `${s.name}.png`);
    await page.screenshot({ path, fullPage: s.full_page ?? false });
    return path;
  },
};

const context = await chromium.launchPersistentContext(mkdtempSync(join(input.folder, 'profile-')), {
  executablePath: input.chromium,
  headless: true,
  viewport: { width: input.width, height: input.height },
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-first-run',
  ],
});
try {
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(STEP_TIMEOUT_MS);
  page.on('console', (message) => output.console.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => output.failures.push(String(error)));
  page.on('requestfailed', (request) => output.failures.push(`${request.url()}: ${request.failure()?.errorText}`));
  for (const step of input.steps) {
    try {
      const value = await actions[step.do](page, step);
      if (step.name !== undefined) output.values[step.name] = value;
    } catch (error) {
      output.error = `${JSON.stringify(step)}: ${error.message}`;
      await actions.screenshot(page, { name: 'error' }).catch(() => {});
      break;
    }
  }
} finally {
  await context.close();
}
process.stdout.write(JSON.stringify(output));
