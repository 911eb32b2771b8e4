// The demo page in a real browser: two windows see each other.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { patience, serve, until } from "./kuranty.mjs";

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

describe("the demo page", () => {
  const server = serve(null, "demo");
  const profile = mkdtempSync(path.join(tmpdir(), "kuranty-browser-"));
  let browser;
  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.KURANTY_BROWSER, headless: true, args });
  });
  after(async () => {
    await browser?.close();
    rmSync(profile, { recursive: true, force: true });
  });

  // open is a window of its own browser profile; it collects what must not happen.
  async function open(t, { locale = "en-US", query = "", ...more } = {}) {
    const context = await browser.newContext({ locale, viewport: { width: 1100, height: 760 }, ...more });
    t.after(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(patience);
    page.complaints = [];
    page.on("console", (m) => ["error", "warning"].includes(m.type()) && page.complaints.push(m.text()));
    page.on("pageerror", (error) => page.complaints.push(String(error)));
    page.on("request", (request) => {
      if (new URL(request.url()).host !== server.address) page.complaints.push(`request to ${request.url()}`);
    });
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`));
    });
    await page.goto(`${server.url}/${query}`);
    await page.waitForSelector('body[data-connection="online"]');
    t.after(() => assert.deepEqual(page.complaints, []));
    return page;
  }

  const say = async (page, text) => {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
  };
  const bodies = (page) => page.$$eval(".message .body", (all) => all.map((e) => e.textContent));
  const sees = (page, ...texts) => until(`messages ${texts}`, async () => {
    const got = await bodies(page);
    return JSON.stringify(got) === JSON.stringify(texts);
  }).catch(async () => assert.deepEqual(await bodies(page), texts));
  const rename = async (page, name) => {
    await page.fill("#name", name);
    await page.click("#apply");
    await page.waitForSelector('body[data-connection="online"]');
    await page.waitForFunction((name) => document.querySelector("#people")?.textContent.includes(name), name);
  };

  test("two windows see each other's messages", async (t) => {
    const [one, two] = [await open(t, { query: "?channel=talk" }), await open(t, { query: "?channel=talk" })];
    await rename(one, "Anna");
    await rename(two, "Boris");
    await say(one, "hello");
    await sees(two, "hello");
    await say(two, "hello yourself <b>&amp;</b>");
    await sees(one, "hello", "hello yourself <b>&amp;</b>");
    assert.equal(await two.$eval(".message .name", (e) => e.textContent), "Anna");
    assert.equal(await one.$eval(".message.own .body", (e) => e.textContent), "hello");
    for (const page of [one, two]) {
      const people = await page.$$eval("#people .name", (all) => all.map((e) => e.textContent));
      assert.deepEqual(people, ["Anna", "Boris"]);
    }
    await shoot(one, "light");
  });

  test("a newcomer sees the history", async (t) => {
    const one = await open(t, { query: "?channel=past" });
    for (const text of ["one", "two", "three"]) await say(one, text);
    await sees(one, "one", "two", "three");
    const two = await open(t, { query: "?channel=past" });
    await sees(two, "one", "two", "three");
  });

  test("what was missed offline is recovered, and said so", async (t) => {
    const [one, two] = [await open(t, { query: "?channel=away" }), await open(t, { query: "?channel=away" })];
    await say(one, "before");
    await sees(two, "before");
    await two.click("#power");
    await two.waitForSelector('body[data-connection="offline"]');
    for (const text of ["missed 1", "missed 2"]) await say(one, text);
    await sees(one, "before", "missed 1", "missed 2");
    await two.click("#power");
    await sees(two, "before", "missed 1", "missed 2");
    await two.waitForSelector('#strip[data-kind="good"]:not([hidden])');
    assert.match(await two.textContent("#strip"), /: 2, all recovered/);
    await shoot(two, "recovered");
  });

  test("coming and going are seen", async (t) => {
    const one = await open(t, { query: "?channel=door" });
    const two = await open(t, { query: "?channel=door" });
    await rename(two, "Visitor");
    await one.waitForFunction(() => document.querySelector("#people").textContent.includes("Visitor"));
    await two.close();
    await one.waitForFunction(() => !document.querySelector("#people").textContent.includes("Visitor"));
    two.complaints.length = 0;
  });

  test("text is text: nothing in it becomes an element", async (t) => {
    const [one, two] = [await open(t, { query: "?channel=attack" }), await open(t, { query: "?channel=attack" })];
    const attacks = [
      "<img src=x onerror=\"document.title='owned'\">", "<script>document.title='owned'</script>",
      "<svg onload=\"document.title='owned'\">", "javascript:document.title='owned'", "</span><iframe src=//evil.example>",
      "\"><style>body{display:none}</style>", "&lt;b&gt;", "{{constructor.constructor('document.title=1')()}}",
    ];
    await rename(one, "<b>Eve</b>");
    for (const text of attacks) await say(one, text);
    await sees(two, ...attacks);
    assert.equal(await two.title(), "Kuranty demo");
    assert.equal(await two.$$eval(".messages img, .messages script, .messages svg, .messages iframe, .messages style, .messages b", (all) => all.length), 0);
    assert.equal(await two.$eval(".message .name", (e) => e.textContent), "<b>Eve</b>");
  });

  test("speaks Russian in the dark, and fits a phone", async (t) => {
    const page = await open(t, { locale: "ru-RU", colorScheme: "dark", query: "?channel=phone", viewport: { width: 320, height: 640 } });
    assert.equal(await page.getAttribute("html", "lang"), "ru");
    assert.equal(await page.textContent("#send"), "Отправить");
    await say(page, "Первое сообщение");
    await sees(page, "Первое сообщение");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 320, `the page is ${wide} px wide`);
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(15, 18, 22)");
    await shoot(page, "phone");
    await page.setViewportSize({ width: 1100, height: 760 });
    await say(page, "А это второе, подлиннее: куранты бьют, и все слышат их одновременно.");
    await shoot(page, "dark");
  });

  test("L-1: contrast of the colours, in both themes", async (t) => {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(t, { colorScheme, query: "?channel=colour" });
      const colours = await page.evaluate(() => {
        const probe = document.body.appendChild(document.createElement("i"));
        const names = ["bg", "surface", "surface-2", "text", "text-2", "text-3", "border-strong", "online", "accent",
          "on-accent", "bubble-own", "bubble-other", "danger", "success", "warning"];
        return Object.fromEntries(names.map((name) => {
          probe.style.color = `var(--${name})`;
          return [name, getComputedStyle(probe).color.match(/\d+/g).map(Number)];
        }));
      });
      page.complaints.length = 0; // the probe's own style is not the page's
      const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const contrast = (a, b) => {
        const [dark, bright] = [light(colours[a]), light(colours[b])].sort((x, y) => x - y);
        return (bright + 0.05) / (dark + 0.05);
      };
      for (const [fore, backs, least] of [
        ...["text", "text-2", "text-3", "accent", "danger", "success", "warning"].map((c) => [c, ["bg", "surface", "surface-2", "bubble-own", "bubble-other"], 4.5]),
        ["border-strong", ["bg", "surface"], 3], ["online", ["bg", "surface"], 3], ["on-accent", ["accent"], 4.5],
      ]) {
        for (const back of backs) {
          assert.ok(contrast(fore, back) >= least, `${colorScheme}: ${fore} on ${back} is ${contrast(fore, back).toFixed(2)}, want ${least}`);
        }
      }
    }
  });

  test("works by keyboard alone", async (t) => {
    const page = await open(t, { query: "?channel=keys" });
    await page.focus("#name");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("Keys");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#people").textContent.includes("Keys"));
    await page.focus("#text");
    await page.keyboard.type("typed");
    await page.keyboard.press("Enter");
    await sees(page, "typed");
    assert.equal(await page.evaluate(() => document.activeElement.id), "text");
  });

  // shoot keeps a picture for people to look at, if KURANTY_PICTURES names a folder.
  async function shoot(page, name) {
    if (process.env.KURANTY_PICTURES) await page.screenshot({ path: path.join(process.env.KURANTY_PICTURES, `${name}.png`) });
  }
});
