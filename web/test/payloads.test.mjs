// Payloads that are easily lost or broken on the way (client protocol §28.14).

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connected, event, formats, name, outcome, publications, serve, subscribed, user } from "./kuranty.mjs";

const payloads = [
  null, "", 0, false, [], {}, -1.5e300, "a\nb\r\nc", { "ключ\n": "\r\n\u2028\u2029\u0000" }, "{\"a\":1}",
  "\ud83d\ude00", { deep: { deeper: [[[1]]] } }, "x".repeat(50_000),
];

for (const format of Object.keys(formats)) {
  describe(format, { concurrency: true }, () => {
    const server = serve();
    const newcomer = (t) => connected(t, server, { format, claims: { sub: user() } });

    test("from a client, live and from history", async (t) => {
      const [one, two] = [await newcomer(t), await newcomer(t)];
      const s = await subscribed(one, name("recover"));
      for (const data of payloads) await two.publish(s.channel, two.encode(data));
      assert.deepEqual(await publications(s, payloads.length, one), payloads);
      const past = await s.history({ limit: 100 });
      assert.deepEqual(past.publications.map((p) => one.decode(p.data)), payloads);
    });

    test("from the API, live and recovered", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("recover"));
      const half = payloads.length >> 1;
      for (const data of payloads.slice(0, half)) await server.publish(s.channel, data);
      await publications(s, half, c);
      c.line.cut();
      for (const data of payloads.slice(half)) await server.publish(s.channel, data);
      c.line.mend();
      assert.deepEqual(await publications(s, payloads.length, c), payloads);
    });

    test("laid out over lines, with LF, CR and CRLF", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("recover"));
      for (const end of ["\n", "\r", "\r\n"]) {
        const data = ["{", ' "a" : [', "  1,", '  "\\r\\n"', " ]", "}"].join(end);
        await server.callText("publish", `{"channel":"${s.channel}",${end}"data":${data}}`);
      }
      assert.deepEqual(await publications(s, 3, c), Array(3).fill({ a: [1, "\r\n"] }));
      // LF separates units of a frame; CR ends a line on transports to come.
      if (format === "json") assert.ok(!c.line.received.some((frame) => frame.toString().includes("\r")));
    });

    test("as info of a connection (the JSON client drops falsy ones itself)", async (t) => {
      for (const value of payloads.filter((p) => p && p.length !== 50_000)) {
        const sub = user();
        const c = await connected(t, server, { format, claims: { sub, info: value } });
        const s = await subscribed(c, name("open"));
        const [info] = Object.values((await s.presence()).clients);
        assert.deepEqual(c.decode(info.connInfo), value);
      }
    });

    test("107: nothing is no payload", async (t) => {
      const c = await newcomer(t);
      const empty = format === "json" ? undefined : new Uint8Array();
      assert.equal(await outcome(c.publish(name("open"), empty)), 107);
      assert.equal(await outcome(server.call("publish", { channel: name("open") })), 107);
    });

    test("107: an object where objects are asked for", async (t) => {
      const c = await newcomer(t);
      const channel = name("objects");
      for (const [data, code] of [[{ a: 1 }, 0], [[1], 107], ["text", 107], [null, 107], [0, 107]]) {
        assert.equal(await outcome(c.publish(channel, c.encode(data))), code, JSON.stringify(data));
        assert.equal(await outcome(server.publish(channel, data)), code, JSON.stringify(data));
      }
    });
  });
}

describe("binary", () => {
  const server = serve();
  const bytes = Buffer.from([0, 255, 10, 13, 0x7b]);

  test("reaches Protobuf clients as it is; 3506 for JSON clients", async (t) => {
    const binary = await connected(t, server, { format: "protobuf", claims: { sub: user() } });
    const text = await connected(t, server, { format: "json", claims: { sub: user() } });
    const s = await subscribed(binary, name("binary"));
    await subscribed(text, s.channel);
    const down = event(text, "disconnected");
    await server.call("publish", { channel: s.channel, b64data: bytes.toString("base64") });
    while (s.publications.length < 1) await event(s, "publication");
    assert.deepEqual(Buffer.from(s.publications[0].data), bytes);
    assert.deepEqual(await down, { code: 3506, reason: "inappropriate protocol" });
  });
});
