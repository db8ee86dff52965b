// Incidents in the console, and what is done to many at once. Run: node --test tests/console/

const assert = require("node:assert/strict");
const { fixture } = require("./mock.js");
const { eventually, narrow, panel, sign_in, sign_in_to_list, test, url } = require("./harness.js");

const FIRST = fixture("incidents").items[0].id;
const OTHERS = fixture("incidents").items.slice(1).map((incident) => incident.id);

async function sign_in_to_incidents(page) {
  await sign_in();
  await page.waitForSelector("tr.incident");
  await page.waitForSelector(".stream-live");
}

async function open_first(page) {
  await sign_in(`#/incidents/${FIRST}`);
  await page.waitForSelector(".incident-page .history");
}

const asked = (mock, pattern) => mock.requests.filter((request) => pattern.test(request.url));

test("the first page lists incidents: how bad, what, who, how many alerts and hits, since when, where they stand", async ({ page }) => {
  await sign_in_to_incidents(page);
  assert.equal(await page.locator("nav [aria-current]").innerText(), "Incidents");
  const cells = await page.locator("tr.incident").first().locator("td:not(.c-tick)").allInnerTexts();
  assert.equal(cells[0], "critical");
  assert.match(cells[1], /^Credential stuffing .* and 2 more\s+203\.0\.113\.7 tried 398 accounts/s);
  assert.match(cells[2], /hit:\s*m\.okafor\s+hit:\s*j\.lindqvist\s+\+ 8 more\s+acme/s);
  assert.match(cells[3], /^3\s+4 hit$/);
  assert.match(cells[4], /ago$/);
  assert.deepEqual(await page.locator("tr.incident .status").allInnerTexts(), ["open", "acknowledged", "open", "resolved, by silence"]);
  assert.match(await page.locator("tr.incident").nth(2).innerText(), /<img src=x onerror=.*RLO/s);
  assert.equal(await page.locator("main img").count(), 0);
  await narrow(page);
});

test("incidents are filtered as alerts are, each list by itself, and older ones are loaded", async ({ page, mock }) => {
  await sign_in_to_incidents(page);
  await page.click("text=Load older incidents");
  await page.waitForSelector("text=These are all.");
  assert.equal(asked(mock, /^\/api\/v1\/incidents\?limit=100&cursor=/).length, 1);
  await page.selectOption("select[name=detector]", "token_reuse");
  await eventually(() => document.querySelectorAll("tr.incident").length === 1);
  assert.match(page.url(), /#\/incidents\?detector=token_reuse$/);
  await page.keyboard.press("Escape");
  for (const key of ["g", "a"]) await page.keyboard.press(key);
  await eventually(() => document.querySelectorAll("tr.alert").length === 6);
  for (const key of ["g", "i"]) await page.keyboard.press(key);
  await eventually(() => document.querySelectorAll("tr.incident").length === 1);
  await page.fill("input[name=text]", "nothing has this");
  await page.waitForSelector("text=Nothing matches these filters");
});

test("keys: an incident is opened, an alert of it, and up leads back the same way", async ({ page }) => {
  await sign_in_to_incidents(page);
  for (const key of ["j", "Enter"]) await page.keyboard.press(key);
  await page.waitForSelector(".incident-page .members");
  for (const key of ["j", "j", "Enter"]) await page.keyboard.press(key);
  await page.waitForSelector(".alert-page");
  assert.match(await page.locator("h1").innerText(), /^Impossible travel/);
  assert.equal(await page.locator(".crumbs a").first().innerText(), "← Incident");
  await page.keyboard.press("u");
  await page.waitForSelector(".incident-page");
  await page.keyboard.press("u");
  await eventually((href) => document.activeElement?.getAttribute("href") === href, `#/incidents/${FIRST}`);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".incident-page");
  await page.keyboard.press("]");
  await eventually(() => document.querySelector("h1")?.textContent.startsWith("Refresh token used again"));
});

test("an incident shows its alerts, who it is about, the course of the attack and what it hangs together with", async ({ page }) => {
  await open_first(page);
  assert.match(await page.locator(".head").innerText(), /critical\s+open\s+last event .* ago\s+4 hit/);
  assert.match(await page.locator(".because").innerText(), /^203\.0\.113\.7 tried 398 accounts/);
  assert.deepEqual(await page.locator(".members tbody .sev").allInnerTexts(), ["critical", "high", "medium"]);
  assert.equal(await page.locator(".members a.title").nth(1).getAttribute("href"), "#/alerts/al_0000000000000002");
  const tactics = await panel(page, "ATT&CK").locator("li").allInnerTexts();
  assert.match(tactics[0], /T1110\.004 Credential Stuffing in TA0006 Credential Access/);
  assert.match(tactics[1], /T1078 Valid Accounts in TA0001 Initial Access/);
  const others = panel(page, "Other incidents");
  await others.locator("text=Refresh token used again").waitFor();
  assert.deepEqual(await others.locator("li a").evaluateAll((links) => links.map((link) => link.getAttribute("href"))), [OTHERS[2], OTHERS[0], OTHERS[1]].map((id) => `#/incidents/${id}`));
  assert.match(await others.innerText(), /Before it: New country.*low resolved, by silence.*Related: .*acknowledged/s);
  assert.equal(await page.locator("main img, main b, main i").count(), 0);
  await narrow(page);
  await panel(page, "Who").locator("a.pivot", { hasText: "m.okafor" }).click();
  await page.waitForSelector("text=First seen");
  await page.keyboard.press("u");
  await page.waitForSelector(".incident-page");
});

test("the timeline is one sequence of what was found, done, told and said, read page by page", async ({ page, mock }) => {
  await open_first(page);
  const timeline = panel(page, "Timeline");
  const read = () => timeline.locator(".entry > div:first-child").allInnerTexts();
  assert.equal((await read()).length, 8);
  await timeline.locator("text=Load what was before").click();
  await eventually(() => document.querySelectorAll(".entry").length === 13);
  assert.equal(asked(mock, /\/timeline\?limit=100&cursor=more$/).length, 1);
  const travel = mock.alerts[1].title;
  const stuffing = mock.alerts[0].title;
  const lines = await read();
  assert.match(lines[0], /^ana lesson its device <i>counts<\/i> from now on, on Unusual location/);
  assert.equal(lines[1], "bo set status to acknowledged, assigned to bo, linked it to https://tickets.example/SEC-42");
  assert.equal(lines[2], `bo set status to resolved as true positive, linked it to javascript:window.pwned=3, on ${travel}`);
  assert.equal(lines[3], `Action End session ses-8f21 at identity: done, confirmed, realm people no longer knows the session, because of ${stuffing}`);
  assert.match(lines[4], /^Told incident\.opened through security-mail: failed, 3 tries, 421 service <img src=x.*, about Credential/s);
  assert.equal(lines[5], "kim merged in 4f1d0c9b7a6e4d21b0c3a5f6d7e80009");
  assert.equal(lines[6], "kim split 2 alerts off into 4f1d0c9b7a6e4d21b0c3a5f6d7e80008");
  assert.equal(lines[7], `Incident changed critical 3 alerts, 4 hit, by ${travel}`);
  assert.match(lines[8], new RegExp(`^Alert critical ${stuffing}, 402 events\\s+<img src=x`));
  assert.equal(lines[9], "Silence resolved it: nothing came for 6 h");
  assert.match(lines[10], /, 26 events, over\s+203/);
  assert.equal(lines[11], `Incident opened medium 1 alert, 0 hit, by ${stuffing}`);
  assert.match(lines[12], /^Event login failure of <img src=x.* from 203\.0\.113\.7, Amsterdam.*, python-requests\/2\.31, by auth-service$/s);
  assert.match(await timeline.locator("blockquote").first().innerText(), /^Called Okafor: was not him\. <img src=x.*RLO/);
  assert.equal(await page.locator("main img, main i").count(), 0);
  assert.equal(await page.locator("a[href^='https://tickets']").count(), 1);
  assert.equal(await page.locator("a[href^=javascript]").count(), 0);
});

test("an incident is triaged as an alert is, and the list knows", async ({ page, mock }) => {
  await sign_in_to_incidents(page);
  for (const key of ["j", "Enter"]) await page.keyboard.press(key);
  await page.waitForSelector(".triage");
  await page.check(".triage input[value=resolved]");
  await page.check(".triage input[value=true_positive]");
  await page.fill(".triage textarea", "stolen list");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(".head .status-resolved");
  assert.deepEqual(mock.patches, [{ status: "resolved", disposition: "true_positive", note: "stolen list" }]);
  assert.ok(mock.requests.some((request) => request.method === "PATCH" && request.url === `/api/v1/incidents/${FIRST}`));
  mock.send_alert({ ...mock.alerts[0], status: "resolved", version: 8 }, "alert.resolved", "1");
  mock.send_alert({ ...mock.alerts[5], id: "al_other", title: "Elsewhere" }, "alert.opened", "2");
  await eventually(() => /Elsewhere/.test(document.getElementById("live").textContent));
  assert.equal(await page.locator(".newer").innerText(), "", "that its alerts follow is no news");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await eventually(() => document.querySelector("tr.incident .status")?.textContent === "resolved, true positive");
});

test("live alerts have the list of incidents read again, a burst of them once, and rows that are the same stay", async ({ page, mock }) => {
  await sign_in_to_incidents(page);
  await page.evaluate(() => { document.querySelectorAll("tr.incident")[1].marked = true; });
  const before = asked(mock, /^\/api\/v1\/incidents\?/).length;
  const now = new Date().toISOString();
  mock.incidents.unshift({ ...mock.incidents[1], id: "new", title: "One more", updated_time: now });
  Object.assign(mock.incidents[1], { version: 9, alert_count: 77, updated_time: now });
  for (let i = 0; i < 50; i += 1) mock.send_alert({ ...mock.alerts[1], id: `al_${i}`, version: 1, title: `Burst ${i}` }, "alert.opened", String(i));
  await page.waitForSelector("tr.incident >> text=One more");
  await eventually(() => document.querySelectorAll("tr.incident")[1].textContent.includes("77"));
  assert.equal(await page.locator("tr.incident").count(), 5);
  assert.ok(await page.evaluate(() => document.querySelectorAll("tr.incident")[2].marked), "the row of one that did not change stays");
  assert.equal(asked(mock, /^\/api\/v1\/incidents\?/).length, before + 1);
  await eventually(() => /50 new alerts/.test(document.getElementById("live").textContent));
});

test("an open incident offers what is newer and keeps a note half written", async ({ page, mock }) => {
  await open_first(page);
  await page.fill(".triage textarea", "half a thought");
  mock.send_alert({ ...mock.alerts[2], incident: OTHERS[0] }, "alert.updated", "1");
  mock.send_alert({ ...mock.alerts[1], title: "Worse", incident: FIRST }, "alert.updated", "2");
  await page.waitForSelector("text=There is more: Worse. Show it");
  assert.equal(await page.inputValue(".triage textarea"), "half a thought");
  mock.incidents[0].title = "Worse by now";
  await page.click("text=Show it");
  await page.waitForSelector("h1 >> text=Worse by now");
});

test("an alert leads to its incident", async ({ page, mock }) => {
  await sign_in_to_list();
  await page.goto(url(`#/alerts/${mock.alerts[0].id}`));
  await page.click("text=Its incident");
  await page.waitForSelector(".incident-page");
  assert.ok(page.url().endsWith(`#/incidents/${FIRST}`));
  await page.goto(url(`#/alerts/${mock.alerts[5].id}`));
  await page.waitForSelector(".alert-page");
  assert.equal(await page.locator("text=Its incident").count(), 0);
});

test("many are triaged by keyboard: ticked, previewed with what is refused, and only then changed", async ({ page, mock }) => {
  await sign_in_to_incidents(page);
  for (const key of ["j", "x", "j", "x", "j", "j", "x", "x", "x"]) await page.keyboard.press(key);
  assert.match(await page.locator(".ticked").innerText(), /^3 ticked/);
  await page.keyboard.press("t");
  const dialog = page.locator("dialog[open]");
  await dialog.waitFor();
  await page.keyboard.press("Enter");
  await dialog.locator("text=Choose what changes.").waitFor();
  await dialog.locator("[value=resolved]").check();
  await dialog.locator("[value=benign]").check();
  await dialog.locator("[name=assignee]").fill("nobody");
  await page.keyboard.press("Enter");
  await dialog.locator("text=there is no such person").waitFor();
  await dialog.locator("[name=assignee]").fill("kim");
  await dialog.locator("text=Preview").click();
  await dialog.locator("text=Nothing is changed yet. 2 would be, 1 refused. The alerts of each follow.").waitFor();
  assert.deepEqual(await dialog.locator("tbody tr").allInnerTexts(), [
    `${mock.incidents[3].title}\trefused: it is resolved <b>already</b>`,
    `${mock.incidents[0].title}\tstatus open → resolved, disposition none → benign, assignee none → kim`,
    `${mock.incidents[1].title}\tstatus acknowledged → resolved, disposition none → benign, assignee ana → kim`]);
  assert.equal(mock.incidents[0].status, "open", "a preview changes nothing");
  await dialog.locator("text=Back").click();
  assert.equal(await dialog.locator("[name=assignee]").inputValue(), "kim");
  await dialog.locator("text=Preview").click();
  await dialog.locator("text=Change 2").waitFor();
  await page.keyboard.press("Enter");
  mock.incidents[1].status = "resolved";
  await dialog.locator("text=Change 2").click();
  await dialog.locator("text=1 changed, 1 refused.").waitFor();
  const change = { status: "resolved", disposition: "benign", assignee: "kim" };
  assert.deepEqual(mock.bulk.at(-1), { ids: [FIRST, OTHERS[0]], change, preview: false });
  assert.equal(mock.bulk.filter((call) => !call.preview).length, 1);
  await page.keyboard.press("Escape");
  await eventually(() => document.querySelector("tr.incident .status").textContent === "resolved, benign");
  assert.ok(await page.locator(".ticked").isHidden());
});

test("alerts are triaged together, too: all that are shown, and what a filter hides is not ticked any more", async ({ page, mock }) => {
  await sign_in_to_list();
  await page.check("th input[type=checkbox]");
  assert.match(await page.locator(".ticked").innerText(), /^6 ticked/);
  await page.fill("input[name=text]", "country");
  await eventually(() => document.querySelectorAll("tr.alert").length < 6);
  const shown = await page.locator("tr.alert").count();
  assert.match(await page.locator(".ticked").innerText(), new RegExp(`^${shown} ticked`));
  await page.fill("input[name=text]", "");
  await eventually(() => document.querySelectorAll("tr.alert").length === 6);
  await page.click("text=Untick");
  await page.locator("tr.alert input").first().check();
  await page.click("text=Triage …");
  await page.fill("dialog textarea", "seen");
  await page.click("text=Preview");
  await page.waitForSelector("dialog >> text=noted");
  await page.click("text=Change 1");
  await eventually(() => document.querySelector("dialog[open]") === null || document.querySelector("dialog[open]").id === "help");
  assert.deepEqual(mock.bulk.at(-1), { ids: [mock.alerts[0].id], change: { note: "seen" }, preview: false });
  assert.ok(asked(mock, /^\/api\/v1\/alerts\/triage\?preview=true$/).length === 1);
});

test("incidents are merged: chosen among those that are related or by an id, told back, and done once it is confirmed", async ({ page, mock }) => {
  await open_first(page);
  mock.hold = true;
  await page.click("text=Merge …");
  const dialog = page.locator("dialog[open]");
  await dialog.locator("text=Loading").waitFor();
  await page.keyboard.press("Escape");
  mock.let_go();
  await page.click("text=Merge …");
  await dialog.locator(".option").first().waitFor();
  await dialog.locator("text=Go on").click();
  await dialog.locator("text=Tick an incident").waitFor();
  await dialog.locator("[name=incidents]").fill(FIRST);
  await page.keyboard.press("Enter");
  await dialog.locator("text=That is this incident itself.").waitFor();
  await dialog.locator("[name=incidents]").fill("unknown");
  await page.keyboard.press("Enter");
  await dialog.locator("text=there is none of this id").waitFor();
  await dialog.locator("[name=incidents]").fill(OTHERS[2]);
  await dialog.locator(`[value="${OTHERS[0]}"]`).check();
  await dialog.locator("textarea").fill("one campaign");
  await dialog.locator("text=Go on").click();
  await dialog.locator("text=They end as merged and point here from then on.").waitFor();
  assert.match(await dialog.innerText(), /All alerts of these incidents move into Credential stuffing .*Refresh token used again: k\.oyelaran, 1 alert/s);
  assert.deepEqual(mock.regrouped, []);
  await dialog.locator("button", { hasText: /^Merge$/ }).click();
  await eventually(() => !document.querySelector(".steps-dialog"));
  assert.deepEqual(mock.regrouped, [["merge", FIRST, { incidents: [OTHERS[0], OTHERS[2]], note: "one campaign" }]]);
  await page.goto(url(`#/incidents/${OTHERS[0]}`));
  await page.waitForSelector("text=It was merged into another incident");
  assert.equal(await page.locator("form.triage").count() + await page.locator("text=Merge …").count(), 0);
  await page.locator(".side a", { hasText: "another incident" }).click();
  await eventually((id) => location.hash.endsWith(id), FIRST);
});

test("alerts are split off into an incident of their own, never all of them", async ({ page, mock }) => {
  await open_first(page);
  await page.check(".members th input");
  await page.click("text=Split off …");
  const dialog = page.locator("dialog[open]");
  await dialog.locator("text=At least one alert has to stay.").waitFor();
  await page.keyboard.press("Escape");
  await page.uncheck(".members th input");
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await page.click("text=Split off …");
  await dialog.locator("text=This alert becomes an incident of its own").waitFor();
  assert.match(await dialog.innerText(), /critical Credential stuffing from .*2 alerts stay in/s);
  await dialog.locator("textarea").fill("refuse");
  await dialog.locator("button", { hasText: /^Split off$/ }).click();
  await dialog.locator("text=too many for one step").waitFor();
  await dialog.locator("textarea").fill("");
  await dialog.locator("button", { hasText: /^Split off$/ }).click();
  await page.waitForSelector("h1 >> text=Split off");
  assert.deepEqual(mock.regrouped.at(-1), ["split", FIRST, { alerts: [mock.alerts[0].id] }]);
  assert.equal(await page.locator(".steps-dialog").count(), 0);
});

test("a viewer reads incidents and is offered nothing that changes them", async ({ page }) => {
  await sign_in(`#/incidents/${FIRST}`, "viewer-token");
  await page.waitForSelector("text=The role of this token only reads");
  await page.waitForSelector(".members");
  assert.equal(await page.locator("main form, main input, main button:not(.foot button)").count(), 0);
  for (const key of ["g", "i"]) await page.keyboard.press(key);
  await page.waitForSelector("tr.incident");
  assert.equal(await page.locator("main input[type=checkbox]").count(), 0);
});

test("a session that ends takes an open dialog with it", async ({ page, mock }) => {
  await open_first(page);
  await page.click("text=Merge …");
  await page.waitForSelector("dialog .option");
  mock.tokens.delete("good-token");
  await page.fill("dialog [name=incidents]", OTHERS[0]);
  await page.keyboard.press("Enter");
  await page.waitForSelector("text=The session has ended");
  assert.equal(await page.locator("dialog[open], .incident-page").count(), 0);
});
