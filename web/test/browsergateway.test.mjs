// The documented client of the event gateway in a real browser, on a page of another site.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { appendEvent, gatewayOptions, key, options, patience, Server, until } from "./kuranty.mjs";

describe("docs/examples/gateway.mjs in a browser", () => {
  const profile = mkdtempSync(path.join(tmpdir(), "kuranty-browser-"));
  let browser, site, origin, server;
  before(async () => {
    browser = await chromium.launch({
      executablePath: process.env.KURANTY_BROWSER, headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    const module = readFileSync("../docs/examples/gateway.mjs");
    site = createServer((request, response) => {
      const script = request.url === "/gateway.mjs";
      response.writeHead(200, { "Content-Type": script ? "text/javascript" : "text/html" });
      response.end(script ? module : "<!doctype html><title>shop</title>");
    }).listen(0, "127.0.0.1");
    await once(site, "listening");
    origin = `http://127.0.0.1:${site.address().port}`;
    const { client } = options();
    server = new Server(gatewayOptions({ client: { ...client, allowed_origins: [origin] } }));
    await server.start();
  });
  after(async () => {
    await browser?.close();
    site?.close();
    await server?.close();
    rmSync(profile, { recursive: true, force: true });
  });

  async function open(t, token) {
    const page = await browser.newPage();
    t.after(() => page.close());
    page.setDefaultTimeout(patience);
    await page.goto(origin);
    await page.evaluate(async ([base, token]) => {
      const { follow } = await import("/gateway.mjs");
      window.got = [];
      window.ended = 0;
      window.stop = follow(base, token, { channels: ["events"], onEvent: (e) => window.got.push(e.data.n), onEnd: (code) => (window.ended = code) });
    }, [`ws://${server.address}`, token]);
    return page;
  }

  test("events come, also those of a restart, until it is told to stop", async (t) => {
    const page = await open(t, key);
    const got = async (n) => until(`${n} events`, async () => (await page.evaluate(() => window.got.length)) >= n);
    await until("a subscription", async () => {
      const response = await fetch(`${server.url}/v1/ws/connections`, { headers: { "X-API-Key": key } });
      return (await response.json()).connections.some((c) => c.subscriptions > 0);
    });
    await appendEvent(server, { n: 1 });
    await got(1);
    await server.stop();
    await server.start();
    await appendEvent(server, { n: 2 });
    await got(2);
    assert.deepEqual(await page.evaluate(() => window.got), [1, 2]);
    await page.evaluate(() => window.stop());
    await until("the end", () => page.evaluate(() => window.ended === 1000));
  });

  test("a bad token ends it", async (t) => {
    const page = await open(t, "wrong");
    await until("the end", () => page.evaluate(() => window.ended === 4001));
  });
});
