// What machines do, in the console: actions and who decides on them, the stop switch, blocked addresses, the
// audit trail. Run: node --test tests/console/

const assert = require("node:assert/strict");
const { eventually, panel, sign_in, test, narrow, url } = require("./harness.js");

const BIDI = /[\u0000\u202a-\u202e\u2066-\u2069\u200b]/u;
const row = (page, title) => page.locator("tr.case", { hasText: title });
const dialog_of = (page) => page.locator("dialog[open]");
const asked = (mock, pattern) => mock.requests.filter((request) => pattern.test(request.url));

async function open_actions(page, hash = "#/actions", token = "good-token") {
  await sign_in(hash, token);
  await page.waitForSelector("tr.case");
}

test("actions are listed with where they stand, what was asked of whom about whom, why, and how long it took", async ({ page, mock }) => {
  await open_actions(page);
  const cells = await page.locator("tr.case").evaluateAll((rows) => rows.map((row) => [...row.cells].filter((cell) => !cell.matches(".c-tick")).map((cell) => cell.innerText.replaceAll(/\s+/g, " ").trim())));
  assert.deepEqual(cells[0].slice(0, 2), ["waits for approval 1 of 2 people agreed, lapses in 3 h", "Disable the account of m.okafor asked of identity by policy taken-accounts"]);
  assert.deepEqual(cells[1].slice(0, 3), ["held by the brake tenant", "End session ses-1c77 of j.lindqvist asked of identity", "session ses-1c77 user j.lindqvist acme"]);
  assert.deepEqual(cells[3].slice(0, 5), ["done, confirmed", "End session ses-8f21 of m.okafor asked of identity realm people no longer knows the session", "session ses-8f21 user m.okafor acme", "critical Credential stuffing", "2.4 s"]);
  assert.deepEqual([cells[5][0], cells[5][1]], ["in force", "Block address 203.0.113.7 by policy block-stuffers"]);
  assert.deepEqual([cells[7][0], cells[7][2]], ["dry run", "session ses-77d0 user t.brandt"]);
  assert.equal(await row(page, "ses-8f21").locator(".c-cause a").getAttribute("href"), `#/alerts/${mock.alerts[0].id}`);
  assert.equal(await row(page, "ses-1c77").locator("a.pivot").first().getAttribute("href"), "#/entities/session/ses-1c77?tenant=acme");
  await page.selectOption("select[name=state]", "held,proposed");
  await eventually(() => document.querySelectorAll("tr.case").length === 3);
  await page.fill("input[name=user]", "j.lindqvist");
  await eventually(() => document.querySelectorAll("tr.case").length === 1);
  assert.match(page.url(), /#\/actions\?state=held%2Cproposed&user=j\.lindqvist$/);
  assert.equal(asked(mock, /^\/api\/v1\/actions\?state=held%2Cproposed&user=j\.lindqvist&limit=100$/).length, 1);
  await page.reload();
  await page.waitForSelector("tr.case");
  assert.equal(await page.inputValue("select[name=state]"), "held,proposed");
  await page.click("text=Clear");
  await eventually(() => document.querySelectorAll("tr.case").length === 8);
  await page.fill("input[name=user]", "nobody");
  await page.waitForSelector("text=No such actions");
});

test("kinds and states that came later, and hostile names, are shown as text", async ({ page }) => {
  await open_actions(page);
  const later = row(page, "Make coffee");
  assert.match(await later.innerText(), /steeping.*Make coffee: jti-9{20,}.*a <i>kind<\/i> that came later/s);
  assert.equal(await later.locator("button").count(), 0, "nothing is known that undoes it");
  const hostile = row(page, "End all sessions of");
  assert.match(await hostile.innerText(), /<img src=x onerror=.*RLO.*gnp\.exe.*NUL.*<b>idp<\/b>x+/s);
  await hostile.locator("a.title").click();
  await page.waitForSelector(".act-page");
  for (const text of [await page.locator("main").innerText(), await page.title()]) assert.doesNotMatch(text, BIDI);
  await page.click("text=Approve …");
  await dialog_of(page).locator("text=<b>idp</b>").first().waitFor();
  assert.doesNotMatch(await dialog_of(page).innerText(), BIDI);
  assert.equal(await page.locator("main img, dialog img, main b, dialog b").count(), 0);
  await narrow(page);
  await page.keyboard.press("Escape");
  await page.goto(url("#/actions/msg_new"));
  await page.waitForSelector("h1 >> text=Make coffee");
  await narrow(page);
  await page.goto(url("#/actions"));
  await page.waitForSelector("tr.case");
  await narrow(page);
});

test("what waits is counted on every page; an approval says what will happen to whom, and whose word is missing", async ({ page, mock }) => {
  await sign_in("#/status");
  await page.waitForSelector("#waiting >> text=3");
  for (const key of ["g", "d"]) await page.keyboard.press(key);
  await page.waitForSelector("tr.case");
  const dialog = dialog_of(page);
  await row(page, "Disable the account").locator("text=Approve …").focus();
  await page.keyboard.press("Enter");
  await dialog.locator("text=Your word is the last one needed: identity is asked at once.").waitFor();
  const text = await dialog.innerText();
  for (const part of ["Disable the account of m.okafor", "taken-accounts", "acme", mock.alerts[0].title, "can sign in nowhere any more", "1 of 2 people agreed so far"]) assert.ok(text.includes(part), part);
  await page.keyboard.press("Enter");
  assert.deepEqual(mock.decided, [], "the Enter that opened it, pressed twice, approves nothing");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Approve …", "the focus is back where it was");
  mock.acts[0].approvals_needed = 3;
  await page.keyboard.press("Enter");
  await dialog.locator("text=Nothing is done yet: after you 1 more person must agree").waitFor();
  await page.keyboard.press("Escape");
  mock.acts[0].approvals_needed = 2;
  await page.keyboard.press("Enter");
  await dialog.locator("button", { hasText: /^Approve$/ }).click();
  await eventually(() => document.querySelector("tr.case").textContent.startsWith("on its way"));
  assert.deepEqual(mock.decided, [["approve", "msg_propose2"]]);
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^Disable the account/, "the row keeps the focus");
  await page.waitForSelector("#waiting >> text=2");
  // Agreed to by this token, or decided by somebody else, since the page was drawn.
  mock.acts[2].approvals.push({ by: "ana", token: "tok_ana", time: new Date().toISOString() });
  await row(page, "End all sessions").locator("text=Approve …").click();
  await dialog.locator("text=You agreed already").waitFor();
  await dialog.locator("text=Close").click();
  Object.assign(mock.acts[1], { state: "rejected", version: 2 });
  await row(page, "ses-1c77").locator("text=Let go …").click();
  await dialog.locator("text=It stands elsewhere by now. A person said no.").waitFor();
  assert.equal(await dialog.locator("button.primary").count(), 0);
});

test("an action is refused or undone from its page, which tells its course and leads to alert and incident", async ({ page, mock }) => {
  await sign_in("#/actions/msg_held");
  const dialog = dialog_of(page);
  await page.click("text=Refuse …");
  await dialog.locator("text=That is final").waitFor();
  await dialog.locator("button", { hasText: /^Refuse$/ }).click();
  await page.waitForSelector(".badges >> text=refused");
  await page.goto(url("#/actions/msg_5c1f0b7e29d84a63"));
  await page.waitForSelector("h1 >> text=End session ses-8f21 of m.okafor");
  assert.match(await page.locator(".head").innerText(), /done, confirmed\s+2\.4 s from proof to end.*said, when asked again, that it is done\.\s+Remark: realm people no longer knows the session/s);
  const course = await panel(page, "Course").locator(".entry > div:first-child").allInnerTexts();
  assert.deepEqual(course.map((line) => line.trim()), ["Ended the target says so 2.4 s after the proof", "Taken the target has it 1.9 s after the proof",
    "Asked of identity 1.2 s after the proof", "Decided by its target's table 1.2 s after the proof", "Proof the event that proves it"]);
  const links = await panel(page, "Facts").locator("a").evaluateAll((nodes) => nodes.map((node) => node.getAttribute("href")));
  assert.deepEqual(links, ["#/entities/session/ses-8f21?tenant=acme", "#/entities/user/m.okafor?tenant=acme", `#/alerts/${mock.alerts[0].id}`, `#/alerts/${mock.alerts[0].id}`, `#/incidents/${mock.incidents[0].id}`]);
  await page.goto(url("#/actions/msg_signin"));
  await page.click("text=Undo …");
  await dialog.locator("text=The identity provider is told to ask no more than usual of this person.").waitFor();
  await dialog.locator("button", { hasText: /^Undo$/ }).click();
  await page.waitForSelector(".badges >> text=undone");
  assert.deepEqual(mock.decided, [["reject", "msg_held"], ["undo", "msg_signin"]]);
  await page.keyboard.press("u");
  await page.waitForSelector("tr.case");
  // What moves by itself is followed.
  await page.goto(url("#/actions/msg_propose2"));
  await page.waitForSelector(".badges >> text=waits for approval");
  Object.assign(mock.acts[0], { state: "expired", remark: "nobody agreed in time", version: 3 });
  await page.waitForSelector(".badges >> text=lapsed");
  assert.equal(await page.locator("main button").count(), 0);
});

test("alerts and entities show the actions about them, incidents what waits for a person", async ({ page, mock }) => {
  await sign_in(`#/alerts/${mock.alerts[0].id}`);
  await panel(page, "Actions").locator("tr.case").first().waitFor();
  assert.equal(await panel(page, "Actions").locator("tr.case").count(), 6);
  await page.goto(url(`#/incidents/${mock.incidents[0].id}`));
  await panel(page, "Waits for a decision").locator("tr.case").first().waitFor();
  assert.equal(await panel(page, "Waits for a decision").locator("tr.case").count(), 2, "what waits because of its alerts");
  await page.goto(url("#/entities/ip/203.0.113.7?tenant=acme"));
  await panel(page, "Actions").locator("text=Block address").waitFor();
  assert.equal(asked(mock, /\/actions\?address=203\.0\.113\.7&tenant=acme&limit=20$/).length, 1);
});

test("more that waits is offered, and rows stay where they are meanwhile", async ({ page, mock }) => {
  await open_actions(page);
  await page.waitForSelector("#waiting >> text=3");
  mock.acts.unshift({ ...mock.acts[1], id: "msg_more", session: "ses-more" });
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.click("text=More waits for a person. Show it");
  await row(page, "ses-more").waitFor();
});

test("machines are stopped with a reason, which every page says, and an admin lets them act again", async ({ page, mock }) => {
  await open_actions(page);
  const dialog = dialog_of(page);
  await page.click("text=Stop machines …");
  await dialog.locator("text=all tenants").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.name), "reason");
  await dialog.locator("button.primary").click();
  assert.equal(mock.response.stopped, false, "a reason is required");
  await page.fill("[name=reason]", "refuse");
  await dialog.locator("button.primary").click();
  await dialog.locator("text=must have 1 to 1000 bytes").waitFor();
  await page.fill("[name=reason]", "it ends <b>the wrong ones</b>\u202e");
  await dialog.locator("button.primary").click();
  const banner = page.locator("#response .stopped");
  await banner.waitFor();
  assert.equal(await page.locator("#live").textContent(), "Machines are stopped", "it is spoken, too");
  assert.match(await banner.innerText(), /Machines are stopped by ana since .*Reason: it ends <b>the wrong ones<\/b>\s*RLO/s);
  assert.equal(await banner.locator("button").count(), 0, "that they act again is an admin's word");
  await page.goto(url("#/alerts"));
  await page.waitForSelector("tr.alert");
  assert.ok(await banner.isVisible());
  await page.click("text=Sign out");
  await page.waitForSelector(".sign-in");
  assert.equal(await banner.count(), 0);
  await page.fill("#token", "admin-token");
  await page.keyboard.press("Enter");
  await narrow(page);
  Object.assign(mock.acts[0], { state: "requested" });
  await page.click("text=Let them act again …");
  await dialog.locator("text=1 action waits and goes out at once").waitFor();
  await dialog.locator("li >> text=Disable the account of m.okafor").waitFor();
  await dialog.locator("button.primary").click();
  await eventually(() => document.querySelector("#response .stopped") === null);
  assert.equal(mock.response.stopped, false);
});

test("blocked addresses are listed with why and until when, and lifted", async ({ page, mock }) => {
  mock.acts.push({ ...mock.acts[5], id: "msg_block2", address: "2001:db8::7" });
  await open_actions(page, "#/blocks");
  assert.equal(await page.locator("nav[aria-label=Main] [aria-current]").innerText().then((text) => text.split(/\s/)[0]), "Actions");
  assert.match(await row(page, "203.0.113.7").innerText(), /critical Credential stuffing\s+acme.*\d+ min ago\s+in 3 h/s);
  assert.ok(asked(mock, /^\/api\/v1\/actions\?limit=100&action=block_address&state=in_force$/).length);
  await row(page, "203.0.113.7").locator("text=Lift …").click();
  await dialog_of(page).locator("text=The address leaves the block list").waitFor();
  await dialog_of(page).locator("button", { hasText: /^Undo$/ }).click();
  await eventually(() => document.querySelectorAll("tr.case").length === 1);
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr")?.textContent.includes("2001:db8::7")), true, "the next row has the focus");
  await narrow(page);
});

test("the audit trail is for admins: filtered by who, what and to what, opened, and its chain looked at", async ({ page, mock }) => {
  await sign_in("#/audit", "admin-token");
  await page.waitForSelector("table.audit");
  await page.waitForSelector("text=3 records here name the hash of the one before, and it is right.");
  await panel(page, "Head of the trail").locator("text=412").waitFor();
  const text = await page.locator("main").innerText();
  assert.match(text, /<script>window\.pwned=1<\/script>/);
  assert.match(text, /<img src=x onerror=.*RLO.*… 325 more/s);
  assert.doesNotMatch(text, BIDI);
  await page.locator(".disclose").nth(1).click();
  await page.waitForSelector("tr.detail >> text=acknowledged");
  await narrow(page);
  await page.locator("table.audit a", { hasText: "alert.triage" }).click();
  await eventually(() => document.querySelectorAll(".disclose").length === 1);
  assert.equal(await page.inputValue("[name=action]"), "alert.triage");
  await page.click("text=Filters (1)");
  await page.fill("[name=subject]", "nothing");
  await page.waitForSelector("text=No such records so far");
  mock.audit[1].previous = "f".repeat(64);
  await page.click("text=Clear");
  await page.waitForSelector("text=The chain is broken: record 411 does not follow the one before it.");
});

test("many that wait are ticked and decided together, each as if alone, and what fails is said", async ({ page, mock }) => {
  mock.acts[0].approvals.push({ by: "ana", token: "tok_ana", time: new Date().toISOString() });
  mock.acts[0].approvals_needed = 3;
  await open_actions(page);
  assert.equal(await page.locator("td input[type=checkbox]").count(), 3, "only what waits can be ticked");
  await page.check("th input[type=checkbox]");
  await page.keyboard.press("t");
  const dialog = dialog_of(page);
  await dialog.locator("text=Approve 3 actions?").waitFor();
  const text = await dialog.innerText();
  for (const part of ["This one session is to end.", "Every session of this person", "End session ses-1c77 of j.lindqvist in acme", "is asked at once", "You agreed already to 1 more"]) assert.ok(text.includes(part), part);
  assert.doesNotMatch(text, BIDI);
  mock.refuse = "msg_held";
  await dialog.locator("button", { hasText: /^Approve 2$/ }).click();
  await dialog.locator("text=1 done, 1 not:").waitFor();
  await dialog.locator("text=its order is not kept <b>any more</b>").waitFor();
  assert.deepEqual(mock.decided, [["approve", "msg_held"], ["approve", "msg_hostile"]]);
  await page.keyboard.press("Escape");
  await eventually(() => document.querySelectorAll("td input[type=checkbox]").length === 2);
  await page.check("th input[type=checkbox]");
  await page.locator(".ticked >> text=Refuse …").click();
  mock.refuse = null;
  await dialog.locator("button", { hasText: /^Refuse 2$/ }).click();
  await page.waitForFunction(() => document.querySelectorAll("td input[type=checkbox]").length === 0);
  assert.ok(["msg_held", "msg_propose2"].every((id) => mock.acts.find((act) => act.id === id).state === "rejected"));
  assert.ok(await page.locator(".ticked").count() === 0);
});

test("a viewer sees actions and the switch and is offered neither", async ({ page }) => {
  await open_actions(page, "#/actions", "viewer-token");
  await page.waitForSelector("text=Machines may act");
  assert.equal(await page.locator("main button", { hasText: "…" }).count(), 0);
  assert.equal(await page.locator("nav >> text=Audit").count(), 0);
  await page.goto(url("#/actions/msg_held"));
  await page.waitForSelector("text=Deciding needs analyst or admin");
});
