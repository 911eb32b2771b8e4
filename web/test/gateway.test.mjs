// Clients of the event gateway, each a program of its own: those of docs/examples, and
// others as integrators write them from the reference.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { appendEvent, gatewayOptions, key, Server, until } from "./kuranty.mjs";

const python = process.env.KURANTY_PYTHON;
if (!python) throw new Error("KURANTY_PYTHON is not set: run these tests through go test ./web");

const examples = path.resolve("../docs/examples");
const tools = mkdtempSync(path.join(tmpdir(), "kuranty-examples-"));
after(() => rmSync(tools, { recursive: true, force: true }));

const programs = { JavaScript: ["node", path.join(tools, "gateway.mjs")], Python: [python, path.join(examples, "gateway.py")], Go: [path.join(tools, "gateway")] };

before(() => {
  // It stands beside the packages of this folder, as it would in a project.
  copyFileSync(path.join(examples, "gateway.mjs"), path.join(tools, "gateway.mjs"));
  symlinkSync(path.resolve("node_modules"), path.join(tools, "node_modules"));
  execFileSync("go", ["build", "-o", path.join(tools, "gateway"), path.join(examples, "gateway.go")], { stdio: "inherit" });
});

/** run starts a program for test t; lines are what it prints, as objects. */
function run(t, [command, ...first], args) {
  const child = spawn(command, [...first, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const lines = [];
  const errors = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line)));
  createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
  const end = once(child, "close");
  return { lines, errors, end, child };
}

async function fresh(t) {
  const server = new Server(gatewayOptions());
  t.after(() => server.close());
  await server.start();
  return server;
}

/** listening waits until a connection has a subscription. */
const listening = (server) => until("a subscription", async () => {
  const response = await fetch(`${server.url}/v1/ws/connections`, { headers: { "X-API-Key": key } });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text).connections.some((c) => c.subscriptions > 0);
});

const numbers = (events) => events.map((e) => e.data.n);

describe("programs of docs/examples", { concurrency: 3 }, () => {
  for (const [language, program] of Object.entries(programs)) {
    test(`${language}: nothing is missed over a restart`, async (t) => {
      const server = await fresh(t);
      const client = run(t, program, [`ws://${server.address}`, key, "events"]);
      await listening(server);
      for (const n of [1, 2, 3]) await appendEvent(server, { n });
      await until("three events", () => client.lines.length >= 3);
      await server.stop();
      await server.start();
      await appendEvent(server, { n: 4 });
      await until("the missed event", () => client.lines.length >= 4);
      await appendEvent(server, { n: 5 });
      await until("the live one", () => client.lines.length >= 5);
      assert.deepEqual(numbers(client.lines), [1, 2, 3, 4, 5]);
      const [one] = client.lines;
      assert.equal(one.event, "order.paid");
      assert.equal(one.channel, "events");
    });

    test(`${language}: without resume what was missed stays missed`, async (t) => {
      const server = await fresh(t);
      const client = run(t, program, [`ws://${server.address}`, key, "--live", "events"]);
      await listening(server);
      await appendEvent(server, { n: 1 });
      await until("an event", () => client.lines.length >= 1);
      await server.stop();
      await server.start();
      await appendEvent(server, { n: 2 });
      await listening(server);
      await appendEvent(server, { n: 3 });
      await until("the live one", () => numbers(client.lines).includes(3));
      const got = numbers(client.lines);
      assert.ok(JSON.stringify(got) === "[1,3]" || JSON.stringify(got) === "[1,2,3]" /* it was back at once */, JSON.stringify(got));
    });

    test(`${language}: a bad token ends it`, async (t) => {
      const server = await fresh(t);
      const client = run(t, program, [`ws://${server.address}`, "wrong", "events"]);
      await client.end;
      assert.deepEqual(client.lines, []);
      assert.match(client.errors.join("\n"), /4001/);
    });
  }
});

describe("clients written from the reference", { concurrency: 4 }, () => {
  const written = { JavaScript: ["node", path.resolve("test/integrator.mjs")], Python: [python, path.resolve("test/integrator.py")] };
  for (const [language, program] of Object.entries(written)) {
    const of = (client, what) => client.lines.filter((l) => l.what === what).map((l) => l.value);

    test(`${language}: connects, receives, and survives a restart`, async (t) => {
      const server = await fresh(t);
      const client = run(t, program, [`ws://${server.address}/v1/ws`, key]);
      await until("the answer", () => of(client, "subscribe").length === 1);
      await appendEvent(server, { n: 1 });
      await until("an event", () => of(client, "event").length === 1);
      await server.stop();
      await server.start();
      await until("the second answer", () => of(client, "subscribe").length === 2);
      await appendEvent(server, { n: 2 });
      await until("another event", () => of(client, "event").length === 2);
      assert.deepEqual(numbers(of(client, "event")), [1, 2]); // each once, though two subscriptions match
      assert.deepEqual(of(client, "auth"), ["ok", "ok"]);
      assert.deepEqual(of(client, "error").map((e) => e.code), ["5002"]);
      assert.deepEqual(of(client, "disconnected"), [1012]);
    });

    test(`${language}: stops after a bad token`, async (t) => {
      const server = await fresh(t);
      const client = run(t, program, [`ws://${server.address}/v1/ws`, "wrong"]);
      await until("the end", () => of(client, "gave up").length === 1, 120_000);
      // What it sends after the close may keep it from reading the error that came before.
      assert.ok(of(client, "error").every((e) => e.code === "4001" && e.reason === "invalid"));
      assert.deepEqual(of(client, "disconnected").filter((code) => code !== 1006), Array(5).fill(4001));
    });
  }
});
