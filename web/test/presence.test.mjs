// Presence, its figures, and coming and going.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connected, event, formats, name, outcome, serve, subscribed, until, user } from "./kuranty.mjs";

for (const format of Object.keys(formats)) {
  describe(format, { concurrency: true }, () => {
    const server = serve();
    const newcomer = (t, sub = user()) => connected(t, server, { format, claims: { sub } });

    test("lists connections and counts users", async (t) => {
      const channel = name("open");
      const sub = user();
      const all = [await newcomer(t, sub), await newcomer(t, sub), await newcomer(t)];
      for (const c of all) await subscribed(c, channel);
      const { clients } = await all[0].presence(channel);
      assert.deepEqual(Object.keys(clients).sort(), all.map((c) => c.hello.client).sort());
      assert.equal(clients[all[1].hello.client].user, sub);
      assert.deepEqual({ ...(await all[0].presenceStats(channel)) }, { numClients: 3, numUsers: 2 });
    });

    test("is empty where nobody is", async (t) => {
      const c = await newcomer(t);
      const channel = name("open");
      assert.deepEqual(Object.keys((await c.presence(channel)).clients), []);
      const { numClients, numUsers } = await c.presenceStats(channel);
      assert.equal(numClients || 0, 0);
      assert.equal(numUsers || 0, 0);
    });

    test("forgets who unsubscribed and who was cut off", async (t) => {
      const channel = name("open");
      const [one, two, three] = [await newcomer(t), await newcomer(t), await newcomer(t)];
      await subscribed(one, channel);
      const s = await subscribed(two, channel);
      await subscribed(three, channel);
      s.unsubscribe();
      three.line.cut();
      const left = () => one.presence(channel).then(({ clients }) => Object.keys(clients));
      await until("one client", async () => (await left()).length === 1);
      assert.deepEqual(await left(), [one.hello.client]);
    });

    test("joins and leaves are seen by those who ask", async (t) => {
      const channel = name("open");
      const watcher = await subscribed(await newcomer(t), channel, { joinLeave: true });
      const deaf = await subscribed(await newcomer(t), channel);
      deaf.on("join", () => assert.fail("a join nobody asked for"));
      const sub = user();
      const joined = event(watcher, "join", ({ info }) => info.user === sub);
      const left = event(watcher, "leave", ({ info }) => info.user === sub);
      const c = await newcomer(t, sub);
      const s = await subscribed(c, channel);
      assert.equal((await joined).info.client, c.hello.client);
      s.unsubscribe();
      assert.equal((await left).info.client, c.hello.client);
    });

    test("joins and leaves come to all where the channel says so", async (t) => {
      const channel = name("members");
      const watcher = await subscribed(await newcomer(t), channel);
      const c = await newcomer(t);
      const joined = event(watcher, "join", ({ info }) => info.client === c.hello.client);
      await subscribed(c, channel);
      await joined;
      const left = event(watcher, "leave", ({ info }) => info.client === c.hello.client);
      c.line.cut();
      await left;
    });

    test("one sees its own join and not its own leave", async (t) => {
      const c = await newcomer(t);
      const s = c.newSubscription(name("members"));
      const own = event(s, "join");
      s.on("leave", () => assert.fail("its own leave"));
      s.subscribe();
      assert.equal((await own).info.client, c.hello.client);
      s.unsubscribe();
      await c.presence(s.channel); // an answer behind anything the leave could bring
    });

    test("108, 103: not kept, not allowed", async (t) => {
      const c = await newcomer(t);
      for (const ask of ["presence", "presenceStats"]) {
        assert.equal(await outcome(c[ask](name("read"))), 108);
        assert.equal(await outcome(c[ask](name("nowhere"))), 102);
      }
    });
  });
}
