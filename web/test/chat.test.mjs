// Chat with the official client as modern clients use it: the server subscribes, calls
// go over the connection, and what was missed is recovered.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { client, event, secret, serve, subscribed, until } from "./kuranty.mjs";

const key = "api-key-of-the-tests";

describe("chat", () => {
  const server = serve({
    client: { token: { hmac_secret_key: secret } }, http_api: { key },
    chat: { auto_subscribe: 2, limits: { anonymous_per_minute: 10000, chats_per_minute: 1000 } },
  });

  async function call(who, method, path, body) {
    const response = await fetch(`${server.url}/api/v2${path}`, {
      method, body: body && JSON.stringify(body),
      headers: { "Content-Type": "application/json", ...(who && { Authorization: `Bearer ${who.access_token}` }) },
    });
    const text = await response.text();
    if (!response.ok) throw Object.assign(new Error(`${method} ${path}: ${text}`), { code: response.status });
    return text ? JSON.parse(text) : undefined;
  }

  async function person(name) {
    const account = { username: `u${randomUUID().slice(0, 8)}`, password: "correct horse battery" };
    await call({ access_token: key }, "POST", "/admin/users", { name, ...account });
    return call(null, "POST", "/auth/login", { login: account.username, password: account.password });
  }

  const group = async (owner, ...others) =>
    (await call(owner, "POST", "/chats", { kind: "group", title: "Team", user_ids: others.map((who) => who.user.id) })).id;

  const say = (who, id, text) => call(who, "POST", `/chats/${id}/messages`, { client_id: randomUUID(), text });

  /** modern connects as the server's own client does, and keeps what comes. */
  async function modern(t, who) {
    const c = client(t, server, { token: who.centrifugo_token, data: { v: 2 }, minReconnectDelay: 10, maxReconnectDelay: 200 });
    c.got = [];
    c.on("publication", ({ channel, data, offset }) => c.got.push({ channel, data, offset }));
    c.subs = new Map();
    c.on("subscribed", (ctx) => c.subs.set(ctx.channel, ctx));
    c.on("unsubscribed", ({ channel }) => c.subs.delete(channel));
    const up = event(c, "connected");
    c.connect();
    await up;
    c.heard = (what, accept) => until(what, () => c.got.find(accept));
    return c;
  }

  async function online(t, who) {
    const c = client(t, server, { token: who.centrifugo_token });
    const up = event(c, "connected");
    c.connect();
    await up;
    return c;
  }

  test("the server subscribes, also to new chats, and no longer to left ones", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const id = await group(olga, ivan);
    const c = await modern(t, ivan);
    await until("subscriptions", () => c.subs.size === 3);
    assert.deepEqual([...c.subs.keys()].sort(), [`chat:${id}`, "system:notifications", `user:${ivan.user.id}`].sort());
    const fresh = await group(olga, ivan);
    await until("the new chat", () => c.subs.has(`chat:${fresh}`));
    const added = await c.heard("chat_added", ({ data }) => data.event === "chat_added");
    assert.equal(added.channel, `user:${ivan.user.id}`);
    assert.ok(added.data.user_seq > 0);
    assert.equal(added.offset, added.data.user_seq);
    await call(olga, "DELETE", `/chats/${fresh}/members/${ivan.user.id}`);
    await until("the end", () => !c.subs.has(`chat:${fresh}`));
    const removed = await c.heard("chat_removed", ({ data }) => data.event === "chat_removed");
    assert.deepEqual([removed.data.data.chat_id, removed.data.data.reason], [fresh, "removed"]);
    await say(olga, fresh, "not for Ivan");
    await say(olga, id, "for Ivan");
    await c.heard("the message", ({ data }) => data.text === "for Ivan");
    assert.ok(!c.got.some(({ data }) => data.text === "not for Ivan"));
  });

  test("calls over the connection", async (t) => {
    const olga = await person("Olga");
    const id = await group(olga);
    const c = await modern(t, olga);
    const { data: sent } = await c.rpc("chat.send", { chat_id: id, client_id: "one", text: "hello" });
    assert.equal(sent.text, "hello");
    const { data: again } = await c.rpc("chat.send", { chat_id: id, client_id: "one", text: "hello" });
    assert.equal(again.id, sent.id);
    const heard = await c.heard("the message", ({ data }) => data.type === "message" && data.id === sent.id);
    assert.equal(heard.offset, heard.data.event_seq);
    await assert.rejects(c.rpc("chat.send", { chat_id: 999999, client_id: "two", text: "hello" }), { code: 404, message: "not_found" });
  });

  test("publications of clients, history, presence and typing", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const id = await group(olga, ivan);
    const [a, b] = [await online(t, olga), await online(t, ivan)];
    const sub = await subscribed(b, `chat:${id}`);
    const joined = event(sub, "join", ({ info }) => info.user === String(olga.user.id));
    await subscribed(a, `chat:${id}`);
    await joined;
    const message = event(sub, "publication", ({ data }) => data.text === "hello");
    await a.publish(`chat:${id}`, { type: "message", text: "hello", sender_id: ivan.user.id, sender_name: "Ivan" });
    assert.equal((await message).data.sender_id, olga.user.id);
    const typing = event(sub, "publication", ({ data }) => data.type === "typing");
    await call(olga, "POST", `/chats/${id}/typing`, { typing: true });
    assert.equal((await typing).data.user_id, olga.user.id);
    const { publications } = await sub.history();
    assert.ok(publications.some(({ data }) => data.text === "hello"));
    assert.ok(!publications.some(({ data }) => data.type === "typing"));
    const { clients } = await sub.presence();
    assert.deepEqual(Object.values(clients).map(({ user }) => Number(user)).sort((x, y) => x - y), [olga.user.id, ivan.user.id]);
  });

  test("short notices of chats beyond chat.auto_subscribe", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const ids = [];
    for (let n = 0; n < 3; n++) {
      ids.push(await group(olga, ivan));
      await say(olga, ids[n], "first");
    }
    const c = await modern(t, ivan);
    await until("subscriptions", () => c.subs.size === 4);
    assert.ok(!c.subs.has(`chat:${ids[0]}`));
    await say(olga, ids[0], "psst");
    const { data } = await c.heard("the notice", ({ data }) => data.event === "message");
    assert.deepEqual([data.data.chat_id, data.data.excerpt, data.data.sender_id], [ids[0], "psst", olga.user.id]);
  });

  test("presence is told at subscribing", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    await call(olga, "PATCH", "/me", { privacy: { last_seen: "everyone" } });
    await group(olga, ivan);
    await online(t, olga);
    const sub = await subscribed(await online(t, ivan), `presence:${olga.user.id}`);
    assert.deepEqual([sub.answer.data.user_id, sub.answer.data.presence, sub.answer.data.last_seen_at], [olga.user.id, "online", null]);
  });

  test("recovery over a crash of the server", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const id = await group(olga, ivan);
    const c = await modern(t, ivan);
    await say(olga, id, "one");
    await c.heard("one", ({ data }) => data.text === "one");
    await server.stop("SIGKILL");
    await server.start();
    await say(olga, id, "two");
    await say(olga, id, "three");
    await c.heard("three", ({ data }) => data.text === "three");
    const offsets = c.got.filter(({ channel }) => channel === `chat:${id}`).map(({ offset }) => offset).filter(Boolean);
    assert.deepEqual(offsets, offsets.map((_, n) => offsets[0] + n));
    assert.equal(c.subs.get(`chat:${id}`).recovered, true);
  });
});
