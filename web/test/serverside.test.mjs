// What the server does to a client: subscriptions it assigns, the personal
// channel, and the server API's commands as the client sees them.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  client, connected, event, formats, name, options, outcome, serve, soon, subscribed, subscription, token, until, user,
} from "./kuranty.mjs";

for (const format of Object.keys(formats)) {
  describe(format, { concurrency: true }, () => {
    const server = serve();
    const newcomer = (t, claims) => connected(t, server, { format, claims: { sub: user(), ...claims } });
    // Server-side subscriptions have their events on the client.
    const collect = (c, channel) => {
      const got = [];
      c.on("publication", (ctx) => ctx.channel === channel && got.push(c.decode(ctx.data)));
      return got;
    };

    test("channels of the token", async (t) => {
      const [one, two] = [name("recover"), name("read")];
      const c = client(t, server, { format, claims: { sub: user(), channels: [one, two] } });
      const got = collect(c, one);
      const subs = [event(c, "subscribed", (ctx) => ctx.channel === one), event(c, "subscribed", (ctx) => ctx.channel === two)];
      c.connect();
      const [first, second] = await Promise.all(subs);
      assert.equal(first.recoverable, true);
      assert.equal(second.recoverable, false);
      await server.publish(one, 1);
      await until("the publication", () => got.length === 1);
      assert.deepEqual(got, [1]);
    });

    test("channels of the token with options and data", async (t) => {
      const channel = name("read");
      const c = client(t, server, {
        format,
        claims: { sub: user(), subs: { [channel]: { data: { hello: 1 }, info: { role: "guest" }, override: { presence: { value: true } } } } },
      });
      const up = event(c, "subscribed");
      c.connect();
      assert.deepEqual(c.decode((await up).data), { hello: 1 });
      const { presence } = await server.call("presence", { channel: name("open") });
      assert.deepEqual(presence, {});
    });

    test("recover what a cut connection missed", async (t) => {
      const channel = name("recover");
      const c = await newcomer(t, { channels: [channel] });
      const got = collect(c, channel);
      await server.publish(channel, 1);
      await until("the first", () => got.length === 1);
      c.line.cut();
      for (const n of [2, 3, 4]) await server.publish(channel, n);
      const back = event(c, "subscribed");
      c.line.mend();
      const answer = await back;
      assert.equal(answer.recovered, true);
      await server.publish(channel, 5);
      await until("all", () => got.length === 5);
      assert.deepEqual(got, [1, 2, 3, 4, 5]);
    });

    test("105: a client subscription to a channel it has from the server", async (t) => {
      const channel = name("open");
      const c = await newcomer(t, { channels: [channel] });
      const s = subscription(c, channel);
      const refused = event(s, "unsubscribed");
      s.subscribe();
      assert.equal((await refused).code, 105);
    });

    test("API subscribe and unsubscribe", async (t) => {
      const sub = user();
      const [c, other] = [await newcomer(t, { sub }), await newcomer(t)];
      other.on("subscribed", () => assert.fail("another user was subscribed"));
      const channel = name("recover");
      const up = event(c, "subscribed");
      await server.call("subscribe", { user: sub, channel, data: { why: "api" } });
      const ctx = await up;
      assert.equal(ctx.channel, channel);
      assert.equal(ctx.recoverable, true);
      assert.deepEqual(c.decode(ctx.data), { why: "api" });
      const got = collect(c, channel);
      await server.publish(channel, 1);
      await until("the publication", () => got.length === 1);
      const down = event(c, "unsubscribed");
      await server.call("unsubscribe", { user: sub, channel });
      assert.equal((await down).channel, channel);
      await server.publish(channel, 2);
      await c.presence(name("open")); // an answer behind anything that could still come
      assert.deepEqual(got, [1]);
    });

    test("API subscribe brings what was missed since a position", async (t) => {
      const sub = user();
      const c = await newcomer(t, { sub });
      const channel = name("recover");
      for (const n of [1, 2, 3]) await server.publish(channel, n);
      const { epoch } = await server.call("history", { channel });
      const got = collect(c, channel);
      await server.call("subscribe", { user: sub, channel, recover_since: { offset: 1, epoch } });
      await until("the missed ones", () => got.length === 2);
      assert.deepEqual(got, [2, 3]);
    });

    test("API subscribe to what the client has already changes nothing", async (t) => {
      const sub = user();
      const c = await newcomer(t, { sub });
      const s = await subscribed(c, name("open"));
      c.on("subscribed", () => assert.fail("a second subscription"));
      await server.call("subscribe", { user: sub, channel: s.channel });
      await server.publish(s.channel, 1);
      while (s.publications.length < 1) await event(s, "publication");
      assert.equal(s.publications.length, 1);
    });

    test("2000: API unsubscribe ends a client's subscription for good", async (t) => {
      const sub = user();
      const c = await newcomer(t, { sub });
      const [gone, stays] = [await subscribed(c, name("open")), await subscribed(c, name("open"))];
      const down = event(gone, "unsubscribed");
      await server.call("unsubscribe", { user: sub, channel: gone.channel });
      const { code, reason } = await down;
      assert.deepEqual({ code, reason }, { code: 2000, reason: "server unsubscribe" });
      assert.equal(stays.state, "subscribed");
    });

    test("API disconnect: one connection of a user, all but one, all", async (t) => {
      const sub = user();
      const all = [await newcomer(t, { sub }), await newcomer(t, { sub }), await newcomer(t, { sub })];
      const ends = all.map((c) => event(c, "disconnected"));
      await server.call("disconnect", { user: sub, client: all[0].hello.client });
      assert.deepEqual(await ends[0], { code: 3503, reason: "force disconnect" });
      await server.call("disconnect", { user: sub, whitelist: [all[1].hello.client] });
      await ends[2];
      assert.equal(all[1].state, "connected");
      await server.call("disconnect", { user: sub });
      await ends[1];
    });

    test("API refresh: ends, prolongs and makes lasting", async (t) => {
      const sub = user();
      const c = await newcomer(t, { sub, exp: soon(3600) });
      await server.call("refresh", { user: sub, expire_at: soon(7200) });
      await server.call("refresh", { user: sub });
      const lost = event(c, "connecting");
      await server.call("refresh", { user: sub, expired: true });
      assert.deepEqual(await lost, { code: 3005, reason: "connection expired" });
      await event(c, "connected");
    });

    test("3006: a server-side subscription that expires", async (t) => {
      const sub = user();
      const c = await newcomer(t, { sub });
      const lost = event(c, "connecting");
      await server.call("subscribe", { user: sub, channel: name("open"), expire_at: soon(3) });
      assert.deepEqual(await lost, { code: 3006, reason: "subscription expired" });
    });

    test("channels, presence and figures through the API", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("open"));
      const { channels } = await server.call("channels", { pattern: s.channel });
      assert.deepEqual(channels, { [s.channel]: { num_clients: 1 } });
      const { presence } = await server.call("presence", { channel: s.channel });
      assert.deepEqual(Object.keys(presence), [c.hello.client]);
      assert.deepEqual(await server.call("presence_stats", { channel: s.channel }), { num_clients: 1, num_users: 1 });
    });

    test("broadcast and batch reach the client in order", async (t) => {
      const c = await newcomer(t);
      const [one, two] = [await subscribed(c, name("open")), await subscribed(c, name("open"))];
      await server.call("broadcast", { channels: [one.channel, two.channel], data: "both" });
      await server.call("batch", { commands: [1, 2, 3].map((data) => ({ publish: { channel: one.channel, data } })) })
        .catch((error) => assert.fail(error.message));
      while (one.publications.length < 4) await event(one, "publication");
      assert.deepEqual(one.publications.map((p) => c.decode(p.data)), ["both", 1, 2, 3]);
      assert.deepEqual(two.publications.map((p) => c.decode(p.data)), ["both"]);
    });
  });

  describe(`${format}, personal channel`, { concurrency: true }, () => {
    const server = serve(options({
      client: { subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: "recover" } },
    }));

    test("every user has one", async (t) => {
      const sub = user();
      const c = client(t, server, { format, claims: { sub } });
      const up = event(c, "subscribed");
      c.connect();
      assert.equal((await up).channel, `recover:#${sub}`);
      const arrived = event(c, "publication");
      await server.publish(`recover:#${sub}`, "for you");
      assert.equal(c.decode((await arrived).data), "for you");
    });

    test("103: nobody else may subscribe to it", async (t) => {
      const c = await connected(t, server, { format, claims: { sub: user() } });
      const s = subscription(c, `recover:#${user()}`);
      const refused = event(s, "unsubscribed");
      s.subscribe();
      assert.equal((await refused).code, 103);
    });

    test("the anonymous user has none", async (t) => {
      const c = client(t, server, { format });
      c.on("subscribed", () => assert.fail("a personal channel"));
      const up = event(c, "connected");
      c.connect();
      await up;
      await outcome(c.presence(name("open")));
    });
  });

  describe(`${format}, subscription tokens`, { concurrency: true }, () => {
    const server = serve();
    const newcomer = (t, sub = user()) => connected(t, server, { format, claims: { sub } });
    const allow = (sub, channel, more) => token({ sub, channel, ...more });

    test("opens a closed channel and a private one", async (t) => {
      const sub = user();
      const c = await newcomer(t, sub);
      for (const channel of [name("closed"), `$${name("closed")}`]) {
        const s = await subscribed(c, channel, { token: allow(sub, channel) });
        await server.publish(channel, 1);
        while (s.publications.length < 1) await event(s, "publication");
      }
    });

    test("is asked for, and asked for again when it has expired (109)", async (t) => {
      const sub = user();
      const c = await newcomer(t, sub);
      const channel = `$${name("closed")}`;
      let asked = 0;
      await subscribed(c, channel, { getToken: async () => (asked++, allow(sub, channel)) });
      assert.equal(asked, 1);
      const second = `$${name("closed")}`;
      const codes = [];
      const s = subscription(c, second, { token: allow(sub, second, { exp: soon(-10) }), getToken: async () => (asked++, allow(sub, second)) });
      s.on("error", (ctx) => codes.push(ctx.error.code));
      const up = event(s, "subscribed");
      s.subscribe();
      await up;
      assert.equal(asked, 2);
      assert.deepEqual(codes, [109]);
    });

    test("short ones are refreshed again and again, without a break", async (t) => {
      const sub = user();
      const c = await newcomer(t, sub);
      const channel = name("closed");
      let asked = 0;
      const s = await subscribed(c, channel, { getToken: async () => (asked++, allow(sub, channel, { exp: soon(2) })) });
      const states = [];
      s.on("state", (ctx) => states.push(ctx.newState));
      await until("three tokens", () => asked >= 3);
      assert.deepEqual(states, []);
    });

    test("2501: one that is not refreshed", async (t) => {
      const sub = user();
      const c = await newcomer(t, sub);
      const channel = name("closed");
      const tokens = [allow(sub, channel, { exp: soon(3) })];
      const s = await subscribed(c, channel, { getToken: async () => tokens.shift() ?? new Promise(() => {}) });
      const { code, reason } = await event(s, "subscribing");
      assert.deepEqual({ code, reason }, { code: 2501, reason: "subscription expired" });
    });

    test("110: valid, but the subscription is over", async (t) => {
      const sub = user();
      const c = await newcomer(t, sub);
      const channel = name("closed");
      const s = subscription(c, channel, { token: allow(sub, channel, { expire_at: soon(-10) }) });
      const refused = event(s, "unsubscribed");
      s.subscribe();
      assert.equal((await refused).code, 110);
    });

    test("103: a bad one, none for a private channel, not even where none is needed", async (t) => {
      const sub = user();
      const c = await newcomer(t, sub);
      for (const [channel, more] of [
        [name("closed"), { token: token({ sub }) }], // no channel in it
        [name("closed"), { token: "x" }],
        [name("open"), { token: token({ sub, channel: "open:1" }, "another secret") }],
        [`$${name("open")}`, {}],
        [name("closed"), {}],
      ]) {
        const s = subscription(c, channel, more);
        const refused = event(s, "unsubscribed");
        s.subscribe();
        assert.equal((await refused).code, 103, channel);
      }
    });

    test("3500: another channel's, another user's", async (t) => {
      for (const claims of [(sub) => ({ sub, channel: "open:other" }), (_, channel) => ({ sub: "stranger", channel })]) {
        const sub = user();
        const c = await newcomer(t, sub);
        const channel = name("open");
        const down = event(c, "disconnected");
        subscription(c, channel, { token: token(claims(sub, channel)) }).subscribe();
        assert.deepEqual(await down, { code: 3500, reason: "invalid token" });
      }
    });

    test("user-limited channels need none", async (t) => {
      const [sub, other] = [user(), user()];
      const c = await newcomer(t, sub);
      await subscribed(c, `users:dialog#${sub},${other}`);
      const s = subscription(c, `users:dialog#${other}`);
      const refused = event(s, "unsubscribed");
      s.subscribe();
      assert.equal((await refused).code, 103);
    });
  });
}

describe("one connection per user", () => {
  const server = serve(options({
    client: { subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: "open", single_connection: true } },
  }));

  test("3504: the older one goes", async (t) => {
    const sub = user();
    const older = await connected(t, server, { claims: { sub } });
    const down = event(older, "disconnected");
    const newer = await connected(t, server, { claims: { sub } });
    assert.deepEqual(await down, { code: 3504, reason: "connection limit" });
    assert.equal(newer.state, "connected");
  });
});
