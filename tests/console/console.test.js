// The console in a real Chromium against the mock daemon: signing in, lists and live updates, alerts and what
// else is not about incidents. Run: node --test tests/console/

const assert = require("node:assert/strict");
const { fixture } = require("./mock.js");
const { eventually, sign_in, sign_in_to_list, test, url } = require("./harness.js");

test("a wrong token is refused, a good one opens the incidents and stays out of every address", async ({ page, mock }) => {
  await sign_in("", "wrong-token");
  await page.waitForSelector("text=This token is not accepted");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.fill("#token", "  good-token\t");
  await page.keyboard.press("Enter");
  await page.waitForSelector("tr.incident");
  assert.equal(await page.locator("tr.incident").count(), 4);
  assert.match(await page.locator(".who").innerText(), /ana\s*analyst/);
  assert.ok(mock.requests.every((request) => !request.url.includes("good-token")));
  assert.ok(!page.url().includes("good-token"));
  assert.equal(await page.evaluate(() => localStorage.length + document.cookie.length), 0);
  await page.reload();
  await page.waitForSelector("tr.incident");
  await page.click("text=Sign out");
  await page.waitForSelector(".sign-in");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test("a live alert arrives at the top, is spoken once, and an update stays in its place", async ({ page, mock }) => {
  await sign_in_to_list();
  const alert = { ...fixture("alerts").items[1], id: "al_live", version: 1, title: "Live one", detector: "impossible_travel" };
  mock.send_alert(alert, "alert.opened", "77");
  await eventually(() => document.querySelector("tr.alert a.title").textContent === "Live one");
  await eventually(() => /New high alert: Live one/.test(document.getElementById("live").textContent));
  const second = { ...mock.alerts[0], version: 9, event_count: 98_765 };
  mock.send_alert(second, "alert.updated", "78");
  await eventually(() => document.querySelectorAll("tr.alert")[1].textContent.includes("98,765"));
  assert.equal(await page.locator("tr.alert").count(), 7);
});

test("the stream resumes where it was after the daemon was gone, with a banner meanwhile", async ({ page, mock }) => {
  await sign_in_to_list();
  mock.send_alert({ ...mock.alerts[1], id: "al_x", title: "Before" }, "alert.opened", "41");
  await page.waitForSelector("text=Before");
  const { port } = mock;
  await mock.close();
  await page.waitForSelector("text=The daemon does not answer");
  mock.requests = [];
  mock.alerts.unshift({ ...mock.alerts[1], id: "al_missed", title: "Happened meanwhile" });
  await mock.listen(port);
  await page.click("text=Try now");
  await page.waitForSelector("text=Happened meanwhile");
  await eventually(() => document.querySelector(".banner") === null);
  assert.equal(mock.requests.find((request) => request.url.endsWith("/stream")).headers["last-event-id"], "41");
});

test("keys: move, open, back to the same row, search, go, help", async ({ page, mock }) => {
  await sign_in_to_list();
  for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
  const second = mock.alerts[1].title;
  assert.equal(await page.evaluate(() => document.activeElement.textContent), second);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".alert-page");
  assert.equal(await page.locator("h1").innerText(), second);
  await page.keyboard.press("]");
  await eventually((title) => document.querySelector("h1")?.textContent === title, mock.alerts[2].title);
  await page.keyboard.press("Escape");
  await eventually((title) => document.activeElement?.textContent === title, mock.alerts[2].title);
  await page.keyboard.press("/");
  await page.keyboard.type("okafor");
  await eventually(() => document.querySelectorAll("tr.alert").length === 1);
  assert.match(page.url(), /#\/alerts\?text=okafor$/);
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.waitForSelector(".tiles");
  await page.keyboard.press("?");
  await page.waitForSelector("dialog[open]");
  await page.keyboard.press("Escape");
  await eventually(() => !document.querySelector("dialog").open);
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await eventually(() => document.querySelectorAll("tr.alert").length === 1);
});

test("filters go to the API and into the address, and come back from it", async ({ page, mock }) => {
  await sign_in_to_list();
  await page.selectOption("select[name=severity]", "high");
  await eventually(() => document.querySelectorAll("tr.alert").length === 2);
  assert.ok(mock.requests.some((request) => /\/alerts\?(.*&)?severity=high/.test(request.url)));
  await page.fill("input[name=user]", "s.haddad");
  await eventually(() => document.querySelectorAll("tr.alert").length === 1);
  await page.reload();
  await eventually(() => document.querySelectorAll("tr.alert").length === 1);
  assert.equal(await page.inputValue("input[name=user]"), "s.haddad");
  await page.fill("input[name=user]", "nobody-here");
  await page.waitForSelector("text=Nothing matches these filters");
  await page.click("text=Clear");
  await eventually(() => document.querySelectorAll("tr.alert").length === 6);
  // The same after the address changed under the view.
  await page.goto(url("#/alerts?severity=high"));
  await eventually(() => document.querySelectorAll("tr.alert").length === 2);
  await page.click("text=Clear");
  await eventually(() => document.querySelectorAll("tr.alert").length === 6);
});

test("triage sends what was changed, shows it at once, and shows the API's objection at its field", async ({ page, mock }) => {
  await sign_in_to_list();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".triage");
  assert.ok(await page.locator("input[value=benign]").isHidden());
  await page.fill(".triage input[name=assignee]", "nobody");
  await page.click(".triage >> text=Save");
  await page.waitForSelector("text=there is no such person");
  assert.equal(await page.evaluate(() => document.activeElement.name), "assignee");
  await page.click(".triage >> text=Me");
  await page.check("input[value=resolved]");
  await page.check("input[value=true_positive]");
  await page.fill(".triage textarea", "His laptop was stolen.");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(".status-resolved");
  assert.deepEqual(mock.patches.at(-1), { status: "resolved", disposition: "true_positive", assignee: "ana", note: "His laptop was stolen." });
  assert.match(await page.locator(".history").innerText(), /His laptop was stolen/);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await eventually(() => document.querySelector("tr.alert .status")?.textContent.includes("resolved, true positive"));
});

test("a viewer is not offered triage", async ({ page, mock }) => {
  await sign_in(`#/alerts/${fixture("alerts").items[0].id}`, "viewer-token");
  await page.waitForSelector("text=The role of this token only reads");
  assert.equal(await page.locator("form.triage").count(), 0);
});

test("hostile names are shown as text, with what is invisible made visible", async ({ page, mock }) => {
  await sign_in_to_list();
  const hostile = fixture("alerts").items[3];
  await page.goto(url(`#/alerts/${hostile.id}`));
  await page.waitForSelector(".alert-page");
  const title = page.locator("h1");
  assert.match(await title.innerText(), /<img src=x onerror=/);
  assert.match(await title.innerText(), /RLO.*gnp\.exe.*NUL/s);
  for (const text of [await page.locator("main").innerText(), await page.title()]) assert.doesNotMatch(text, /[\u0000\u202a-\u202e\u2066-\u2069\u200b]/u);
  assert.equal(await page.locator("main img, main script, main svg").count(), 0);
  assert.equal(await page.locator("a[href^='javascript']").count(), 0);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
  await page.locator(".disclose").last().click();
  await page.waitForSelector("tr.detail >> text=<b>x</b>");
  await page.locator(".subjects a.pivot").first().click();
  await page.waitForSelector("text=First seen");
  const asked = mock.requests.find((request) => request.url.startsWith("/api/v1/entities/user/"));
  assert.equal(decodeURIComponent(asked.url.split("?")[0].split("/").at(-1)), hostile.entities.users[0]);
  await page.setViewportSize({ width: 400, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
});

test("an alert tells on demand why each detector said something or nothing, and what was held back", async ({ page, mock }) => {
  await sign_in_to_list();
  await page.goto(url(`#/alerts/${mock.alerts[0].id}`));
  const why = page.locator("section.panel", { hasText: "Why, and why not" });
  await why.waitFor();
  assert.ok(!mock.requests.some((request) => request.url.includes("/explain")), "nobody asked yet");
  assert.deepEqual(await why.locator("select option").allInnerTexts(), ["m.okafor", "j.lindqvist", "t.brandt"]);
  await why.locator("select").selectOption("j.lindqvist");
  await why.locator("text=Ask the detectors").click();
  await why.locator("table.accounts").waitFor();
  const asked = new URL(mock.requests.find((request) => request.url.includes("/explain")).url, url()).searchParams;
  assert.deepEqual(Object.fromEntries(asked), { user: "j.lindqvist", time: mock.alerts[0].last_event_time, tenant: "acme" });
  const verdicts = await why.locator("table.accounts tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent)));
  assert.deepEqual(verdicts, [["Credential stuffing", "Found critical", "–"], ["Unusual location", "Suppressed medium", "suppression sup_00000000000000a7"],
    ["Impossible travel", "Held back high", "Own at both ends"], ["Brute force", "Silent", "Below limit"]]);
  const text = await why.innerText();
  for (const part of ["It was judged, after 1,841 stored events before it; there are more", "limit 1000 km/h", "Not concerned: API enumeration.", "al_0000000000000002", "never had"]) assert.ok(text.includes(part), part);
  assert.ok(!(await why.locator("p", { hasText: "Other alerts" }).innerText()).includes(mock.alerts[0].id), "not itself");
  const ledger = why.locator("table.ledger");
  assert.equal(await ledger.locator("tbody tr").count(), 2);
  assert.match(await ledger.innerText(), /RLO.*<b>x<\/b>/s);
  assert.equal(await page.locator("main img, main b").count(), 0);
  await page.setViewportSize({ width: 400, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
});

test("what was held back about an entity stands on its page", async ({ page, mock }) => {
  await sign_in_to_list();
  await page.goto(url("#/entities/user/m.okafor?tenant=acme"));
  const held = page.locator("section.panel", { hasText: "Held back" });
  assert.match(await held.innerText(), /Unusual location.*suppression sup_00000000000000a7.*never was/s);
  assert.equal(await held.locator("tbody tr").count(), 1);
  assert.ok(mock.requests.some((request) => request.url === "/api/v1/suppressed?key=user%3Am.okafor&tenant=acme"));
  await page.goto(url("#/entities/user/t.brandt"));
  await page.waitForSelector("h1 >> text=t.brandt");
  assert.equal(await held.count(), 0);
});

test("open circuit breakers are told above every view, and closed by those who may", async ({ page, mock }) => {
  mock.breakers = fixture("breakers").items;
  await sign_in_to_list();
  const breakers = page.locator("#breakers .breaker");
  await breakers.first().waitFor();
  assert.match(await breakers.first().innerText(), /Token reuse in acme: since .* folded into one campaign: 1,207 so far, 913 users and 1,188 sessions hit\. Usual are 0\.4 an hour\./);
  assert.match(await breakers.nth(1).innerText(), /<img src=x onerror=/);
  assert.equal(await page.locator("#breakers img").count(), 0);
  await page.goto(url("#/status"));
  await page.waitForSelector(".tiles");
  await breakers.first().locator("text=Close breaker").click();
  await eventually(() => document.querySelectorAll("#breakers .breaker").length === 1);
  assert.deepEqual(mock.closed, [["token_reuse", { tenant: "acme" }]]);
  // It counts from the next batch on: that the daemon still lists it for a moment shows nobody a button twice.
  assert.equal(mock.breakers.length, 2);
  await page.click("text=Sign out");
  await page.waitForSelector(".sign-in");
  assert.equal(await breakers.count(), 0);
  await page.fill("#token", "viewer-token");
  await page.keyboard.press("Enter");
  await breakers.nth(1).waitFor();
  assert.equal(await page.locator("#breakers button").count(), 0);
});

test("the history tells what a disposition taught", async ({ page, mock }) => {
  const lesson = "its device, network and place <i>count</i> as m.okafor's from now on";
  mock.alert.history.push({ time: new Date().toISOString(), kind: "lesson", version: 4, by: "ana", lesson });
  await sign_in_to_list();
  await page.goto(url(`#/alerts/${mock.alerts[0].id}`));
  const entry = page.locator(".history .entry").first();
  assert.equal(await entry.locator("div").first().innerText(), `ana lesson ${lesson}`);
});

test("a revoked token leads back to signing in, and nothing is left of what was shown", async ({ page, mock }) => {
  await sign_in_to_list();
  mock.tokens.delete("good-token");
  await page.keyboard.press("Enter");
  await page.locator("tr.alert a.title").first().click();
  await page.waitForSelector("text=The session has ended");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.equal(await page.locator("tr.alert, .alert-page").count(), 0);
  mock.tokens.set("good-token", "analyst");
  await page.fill("#token", "good-token");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".alert-page");
});

test("the status view tells lag, latency, sources, channels and health", async ({ page, mock }) => {
  await sign_in("#/status");
  await page.waitForSelector(".tiles");
  const text = await page.locator("main").innerText();
  for (const part of ["Ready", "1,623", "p99.9", "Event to alert", "security-mail", "Retrying", "421 service not available", "Dry run", "channel security-mail has not delivered"]) assert.ok(text.includes(part), part);
  await page.waitForSelector("text=/a second/");
});

test("an address that means nothing, and one that is malformed, are answered", async ({ page, mock }) => {
  await sign_in("#/nowhere/at/all");
  await page.waitForSelector("text=There is no such page");
  for (const hash of ["#/alerts/%E0%A4%A", "#/entities/planet/x"]) {
    await page.goto(url(hash));
    await page.waitForSelector("text=There is no such page");
  }
  await page.goto(url("#/alerts/al_unknown"));
  await page.waitForSelector("text=Not Found");
});

test("server-sent events are parsed however the bytes are cut", async ({ page, mock }) => {
  await page.goto(url());
  const frames = await page.evaluate(async () => {
    const { SseParser } = await import("/console/sse.js");
    const text = "\uFEFF: hi\r\nretry: 250\r\nid: 7\r\nevent: a\r\ndata: eins\r\ndata:zw\u00f6lf \u{1F600}\r\n\r\nid: 8\rdata\r\rid: x\0y\ndata: {}\n\nevent: none\n\ndata: cut";
    const bytes = new TextEncoder().encode(text);
    const outcomes = [];
    for (let size = 1; size <= bytes.length; size += 1) {
      const parser = new SseParser();
      const got = [];
      for (let at = 0; at < bytes.length; at += size) got.push(...parser.push(bytes.slice(at, at + size)));
      outcomes.push(JSON.stringify([got, parser.last_id, parser.retry_ms]));
    }
    return [...new Set(outcomes)];
  });
  assert.equal(frames.length, 1);
  assert.deepEqual(JSON.parse(frames[0]), [[
    { event: "a", data: "eins\nzw\u00f6lf \u{1F600}", id: "7" }, { event: "message", data: "", id: "8" }, { event: "message", data: "{}", id: "8" },
  ], "8", 250]);
});

test("the source of places is credited with a link, as its licence asks", async ({ page, mock }) => {
  await sign_in_to_list();
  const credit = page.locator("footer.credit a");
  assert.equal(await credit.textContent(), "IP Geolocation by DB-IP");
  assert.equal(await credit.getAttribute("href"), "https://db-ip.com");
  assert.match(await credit.getAttribute("rel"), /noreferrer/);
});

test("times, durations and ages read well", async ({ page, mock }) => {
  await page.goto(url());
  const got = await page.evaluate(async () => {
    const f = await import("/console/format.js");
    const now = Date.parse("2026-11-22T12:00:00Z");
    const ago = (ms) => f.age(new Date(now - ms).toISOString(), now);
    return { durations: [0.18, 2, 1290, 41_000, 59_990, 150_000, 2_460_000, 7_200_000, 90_000_000, Number.NaN].map(f.duration_ms),
      ages: [0, 30_000, 90_000, 7_300_000, 200_000_000, -60_000].map(ago), bad: [f.age("x"), f.local_time(null), f.count("1")] };
  });
  assert.deepEqual(got, { durations: ["180 µs", "2 ms", "1.29 s", "41 s", "60 s", "2 min 30 s", "41 min", "2 h", "1 d 1 h", "–"],
    ages: ["now", "30 s ago", "1 min ago", "2 h ago", "2 d ago", "in 1 min"], bad: ["–", "–", "–"] });
});
