// Connecting: tokens, their refresh, and what refuses a connection.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  client, connected, event, formats, name, options, outcome, raw, serve, soon, subscribed, subscription, token, until, user,
} from "./kuranty.mjs";

for (const format of Object.keys(formats)) {
  describe(format, { concurrency: true }, () => {
    const server = serve();

    test("connects with a token", async (t) => {
      const c = await connected(t, server, { format, claims: { sub: user() } });
      assert.match(c.hello.client, /^[0-9a-f-]{36}$/);
      assert.equal(c.hello.transport, "websocket");
    });

    test("connects without a token where that is allowed", async (t) => {
      await connected(t, server, { format });
    });

    test("asks for a token when it has none", async (t) => {
      let asked = 0;
      await connected(t, server, { format, getToken: async () => (asked++, token({ sub: "42" })) });
      assert.equal(asked, 1);
    });

    test("3500: a bad token ends it for good", async (t) => {
      const bad = [
        token({ sub: "42" }, "another secret"),
        token({ sub: 42 }),
        token({ sub: "42", channel: "open:1" }),
        `${token({ sub: "42" })}x`,
        "not.a.token", "x",
      ];
      for (const one of bad) {
        const c = client(t, server, { format, token: one });
        const down = event(c, "disconnected");
        c.connect();
        assert.deepEqual(await down, { code: 3500, reason: "invalid token" });
        assert.equal(c.line.sockets.length, 1);
      }
    });

    test("109: an expired token is replaced by a new one", async (t) => {
      let asked = 0;
      const c = client(t, server, {
        format, token: token({ sub: "42", exp: soon(-10) }),
        getToken: async () => (asked++, token({ sub: "42" })),
      });
      const codes = [];
      c.on("error", (ctx) => codes.push(ctx.error.code));
      const up = event(c, "connected");
      c.connect();
      await up;
      assert.equal(asked, 1);
      assert.deepEqual(codes, [109]);
    });

    test("109: a token that is not valid yet counts as expired", async (t) => {
      let asked = 0;
      const c = client(t, server, {
        format, token: token({ sub: "42", nbf: soon(1000) }),
        getToken: async () => (asked++, token({ sub: "42" })),
      });
      const up = event(c, "connected");
      c.connect();
      await up;
      assert.equal(asked, 1);
    });

    test("109: without another token it is unauthorized", async (t) => {
      const c = client(t, server, {
        format, token: token({ sub: "42", exp: soon(-10) }),
        getToken: async () => { throw new formats[format].UnauthorizedError("no"); },
      });
      const down = event(c, "disconnected");
      c.connect();
      assert.deepEqual(await down, { code: 1, reason: "unauthorized" });
    });

    test("110: a valid token whose connection is over", async (t) => {
      const c = client(t, server, { format, claims: { sub: "42", expire_at: soon(-10) } });
      const down = event(c, "disconnected");
      c.connect();
      assert.deepEqual(await down, { code: 110, reason: "expired" });
    });

    test("102: a token with a channel of an unknown namespace", async (t) => {
      const c = client(t, server, { format, claims: { sub: "42", channels: ["nowhere:1"] } });
      const down = event(c, "disconnected");
      c.connect();
      assert.deepEqual(await down, { code: 102, reason: "unknown channel" });
    });

    test("refreshes short tokens again and again, without a break", async (t) => {
      let asked = 0;
      const sub = user();
      const getToken = async () => (asked++, token({ sub, exp: soon(2) }));
      const c = await connected(t, server, { format, getToken });
      const states = [];
      c.on("state", (ctx) => states.push(ctx.newState));
      const s = await subscribed(c, name("open"));
      await until("three tokens", () => asked >= 3);
      await server.publish(s.channel, 1);
      while (s.publications.length === 0) await event(s, "publication");
      assert.deepEqual(states, []);
    });

    test("3005: a connection that is not refreshed", async (t) => {
      const c = await connected(t, server, {
        format, claims: { sub: user(), exp: soon(3) },
        getToken: () => new Promise(() => {}), // never comes back
      });
      const lost = await event(c, "connecting");
      assert.deepEqual(lost, { code: 3005, reason: "connection expired" });
    });

    test("3500: a refresh with somebody else's token", async (t) => {
      const c = await connected(t, server, {
        format, claims: { sub: user(), exp: soon(3) }, getToken: async () => token({ sub: "stranger" }),
      });
      assert.deepEqual(await event(c, "disconnected"), { code: 3500, reason: "invalid token" });
    });

    test("3010: a refresh with other server-side channels", async (t) => {
      const sub = user();
      const c = await connected(t, server, {
        format, claims: { sub, exp: soon(3), channels: [name("open")] },
        getToken: async () => token({ sub, channels: [name("open")] }),
      });
      assert.deepEqual(await event(c, "connecting"), { code: 3010, reason: "insufficient state" });
      await event(c, "connected");
    });

    test("refreshed to a token that never expires it stays", async (t) => {
      const sub = user();
      let asked = 0;
      const c = await connected(t, server, {
        format, claims: { sub, exp: soon(2) }, getToken: async () => (asked++, token({ sub })),
      });
      let lost;
      c.on("connecting", (ctx) => (lost = ctx));
      await new Promise((resolve) => setTimeout(resolve, 12_000)); // past exp and the close delay
      assert.equal(asked, 1);
      assert.equal(lost, undefined);
    });

    test("its info is seen by others", async (t) => {
      const sub = user();
      const c = await connected(t, server, { format, claims: { sub, info: { name: "Анна" } } });
      const s = await subscribed(c, name("open"));
      const { clients } = await s.presence();
      const [info] = Object.values(clients);
      assert.equal(info.user, sub);
      assert.deepEqual(c.decode(info.connInfo), { name: "Анна" });
    });

    test("over a hundred subscriptions leave with the first frame", async (t) => {
      const c = client(t, server, { format, claims: { sub: user() } });
      const subs = Array.from({ length: 120 }, () => subscription(c, name("open")));
      const all = subs.map((s) => event(s, "subscribed"));
      for (const s of subs) s.subscribe();
      c.connect();
      await Promise.all(all);
      assert.equal(c.line.sockets.length, 1);
      if (format === "json") assert.equal(c.line.sent[0].toString().split("\n").length, 121);
      assert.equal(c.line.sent.length, 1);
    });

    test("a refused subscription in the first frame harms no other", async (t) => {
      const c = client(t, server, { format, claims: { sub: user() } });
      const good = [subscription(c, name("open")), subscription(c, name("open"))];
      const bad = subscription(c, name("closed"));
      const done = [event(good[0], "subscribed"), event(bad, "unsubscribed"), event(good[1], "subscribed")];
      for (const s of [good[0], bad, good[1]]) s.subscribe();
      c.connect();
      const [, refused] = await Promise.all(done);
      assert.equal(refused.code, 103);
    });

    test("108: rpc, which this server has no handler for", async (t) => {
      const c = await connected(t, server, { format, claims: { sub: user() } });
      assert.equal(await outcome(c.rpc("method", c.encode({}))), 108);
    });

    test("3508: send, which this server has no handler for", async (t) => {
      const c = await connected(t, server, { format, claims: { sub: user() } });
      const down = event(c, "disconnected");
      await c.send(c.encode({}));
      assert.deepEqual(await down, { code: 3508, reason: "not available" });
    });
  });
}

describe("pings", { concurrency: true }, () => {
  const server = serve(options({ client: { ping_interval: "1s", pong_timeout: "500ms" } }));

  for (const format of Object.keys(formats)) {
    test(`${format}: are answered, and the connection stays`, async (t) => {
      const c = await connected(t, server, { format, claims: { sub: user() }, maxServerPingDelay: 1500 });
      let lost;
      c.on("connecting", (ctx) => (lost = ctx));
      await new Promise((resolve) => setTimeout(resolve, 3500));
      assert.equal(lost, undefined);
      assert.ok(c.line.sent.length >= 3, "no pongs were sent");
    });

    test(`${format}: 3012 if they are not answered`, async (t) => {
      const c = await connected(t, server, { format, claims: { sub: user() } });
      c.line.muted = true;
      const lost = event(c, "connecting");
      assert.deepEqual(await lost, { code: 3012, reason: "no pong" });
      c.line.muted = false;
    });
  }
});

describe("the handshake", () => {
  const server = serve();

  const refusal = (t, path, headers, protocols) => raw(t, server, path, protocols, { headers }).then(() => "open", (error) => error.message);

  test("takes the origins of the configuration only", async (t) => {
    assert.equal(await refusal(t, "", { Origin: "http://allowed.example" }), "open");
    assert.match(await refusal(t, "", { Origin: "http://evil.example" }), /403/);
    assert.match(await refusal(t, "", { Origin: "null" }), /403/);
    assert.equal(await refusal(t, ""), "open");
  });

  test("confirms the subprotocols it speaks", async (t) => {
    for (const protocol of ["centrifuge-json", "centrifuge-protobuf"]) {
      const socket = await raw(t, server, "", [protocol]);
      assert.equal(socket.protocol, protocol);
    }
  });

  test("takes the format from the address too", async (t) => {
    for (const query of ["?format=protobuf", "?cf_protocol=protobuf"]) {
      const socket = await raw(t, server, query);
      socket.send(Buffer.from([4, 8, 1, 0x22, 0])); // length 4: id 1, an empty connect
      const reply = await socket.frame();
      assert.ok(Buffer.isBuffer(reply), "a text frame for a Protobuf client");
    }
  });
});
