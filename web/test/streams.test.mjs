// Publications, history, positions and recovery.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connected, event, formats, name, outcome, publications, serve, subscribed, subscription, until, user } from "./kuranty.mjs";

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

for (const format of Object.keys(formats)) {
  describe(format, { concurrency: true }, () => {
    const server = serve();
    const newcomer = (t, more) => connected(t, server, { format, claims: { sub: user(), info: { name: "Анна" } }, ...more });
    const fill = async (channel, from, to) => {
      for (const n of range(from, to)) await server.publish(channel, n);
    };

    test("publishes to every subscriber, itself included, with its info", async (t) => {
      const [one, two] = [await newcomer(t), await newcomer(t)];
      const channel = name("open");
      const subs = [await subscribed(one, channel), await subscribed(two, channel)];
      await subs[0].publish(one.encode({ text: "привет" }));
      for (const s of subs) {
        assert.deepEqual(await publications(s, 1, one), [{ text: "привет" }]);
        const [{ info, offset }] = s.publications;
        assert.equal(info.client, one.hello.client);
        assert.deepEqual(one.decode(info.connInfo), { name: "Анна" });
        assert.equal(offset, 1);
      }
    });

    test("publishes without being subscribed", async (t) => {
      const [one, two] = [await newcomer(t), await newcomer(t)];
      const s = await subscribed(one, name("open"));
      await two.publish(s.channel, two.encode(7));
      assert.deepEqual(await publications(s, 1, one), [7]);
    });

    test("the API's publications have no author, and may have tags", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("open"));
      await server.call("publish", { channel: s.channel, data: 1, tags: { kind: "news" } });
      await publications(s, 1, c);
      assert.equal(s.publications[0].info, undefined);
      assert.deepEqual({ ...s.publications[0].tags }, { kind: "news" });
    });

    test("a thousand publications arrive in order", async (t) => {
      const [one, two] = [await newcomer(t), await newcomer(t)];
      const s = await subscribed(one, name("recover"));
      await Promise.all(range(1, 1000).map((n) => two.publish(s.channel, two.encode(n))));
      assert.deepEqual(await publications(s, 1000, one), range(1, 1000));
      assert.deepEqual(s.publications.map((p) => p.offset), range(1, 1000));
    });

    test("history: nothing, all, pages, backwards", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("open"));
      await fill(s.channel, 1, 10);
      const data = ({ publications }) => publications.map((p) => c.decode(p.data));

      const top = await s.history();
      assert.deepEqual(top.publications, []);
      assert.equal(top.offset, 10);
      assert.ok(top.epoch);
      assert.deepEqual(data(await s.history({ limit: -1 })), range(1, 10));
      assert.deepEqual(data(await s.history({ limit: 3 })), [1, 2, 3]);
      assert.deepEqual(data(await s.history({ limit: 3, reverse: true })), [10, 9, 8]);
      const { epoch } = top;
      assert.deepEqual(data(await s.history({ limit: 3, since: { offset: 4, epoch } })), [5, 6, 7]);
      assert.deepEqual(data(await s.history({ limit: 3, since: { offset: 4, epoch }, reverse: true })), [3, 2, 1]);
      assert.deepEqual(data(await s.history({ limit: 3, since: { offset: 10, epoch } })), []);
      assert.deepEqual(data(await s.history({ limit: 3, since: { offset: 0, epoch } })), [1, 2, 3]);
    });

    test("history: at most 300 at once", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("open"));
      await fill(s.channel, 1, 310);
      for (const limit of [-1, 1000]) assert.equal((await s.history({ limit })).publications.length, 300);
    });

    test("history: of an untouched channel is empty", async (t) => {
      const c = await newcomer(t);
      const { publications: none, offset, epoch } = await c.history(name("open"), { limit: 10 });
      assert.deepEqual(none, []);
      assert.equal(offset, 0);
      assert.ok(epoch);
    });

    test("112, 107: history since a foreign epoch, backwards from nowhere", async (t) => {
      const c = await newcomer(t);
      const channel = name("open");
      await fill(channel, 1, 2);
      const { epoch } = await c.history(channel);
      assert.equal(await outcome(c.history(channel, { limit: 1, since: { offset: 1, epoch: "other" } })), 112);
      assert.equal(await outcome(c.history(channel, { limit: 1, since: { offset: 0, epoch }, reverse: true })), 107);
    });

    test("recovers what a cut connection missed, in order, and goes on", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("recover"));
      await fill(s.channel, 1, 3);
      await publications(s, 3, c);
      c.line.cut();
      await fill(s.channel, 4, 53);
      const back = event(s, "subscribed");
      c.line.mend();
      const answer = await back;
      assert.equal(answer.wasRecovering, true);
      assert.equal(answer.recovered, true);
      await fill(s.channel, 54, 60);
      assert.deepEqual(await publications(s, 60, c), range(1, 60));
      assert.deepEqual(s.publications.map((p) => p.offset), range(1, 60));
    });

    test("recovers while the channel is written to at full rate", async (t) => {
      const reader = await newcomer(t, { minReconnectDelay: 1, maxReconnectDelay: 2 });
      const writers = [await newcomer(t), await newcomer(t), await newcomer(t)];
      const s = await subscribed(reader, name("recover"));
      let sent = 0;
      let over = false;
      const writing = writers.map(async (writer) => {
        while (!over) {
          // Never as far ahead as one recovery reaches (300).
          await until("the reader to follow", () => over || sent - s.publications.length < 200);
          await Promise.all(range(1, 8).map(() => writer.publish(s.channel, writer.encode(++sent))));
        }
      });
      for (let round = 0; round < 40; round++) {
        reader.line.sockets.at(-1).terminate();
        assert.equal((await event(s, "subscribed")).recovered, true);
      }
      over = true;
      await Promise.all(writing);
      await publications(s, sent, reader);
      assert.deepEqual(s.publications.map((p) => p.offset), range(1, sent));
    });

    test("recovers on request where the channel allows it", async (t) => {
      const c = await newcomer(t);
      const [asks, does] = [await subscribed(c, name("open"), { recoverable: true }), await subscribed(c, name("open"))];
      assert.equal(asks.answer.recoverable, true);
      assert.equal(does.answer.recoverable, false);
      c.line.cut();
      await fill(asks.channel, 1, 1);
      await fill(does.channel, 1, 1);
      const back = [event(asks, "subscribed"), event(does, "subscribed")];
      c.line.mend();
      const [one, two] = await Promise.all(back);
      assert.equal(one.recovered, true);
      assert.equal(two.wasRecovering, false);
      await fill(does.channel, 2, 2);
      assert.deepEqual(await publications(asks, 1, c), [1]);
      assert.deepEqual(await publications(does, 1, c), [2]);
    });

    test("nothing missed is recovered too", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("recover"));
      c.line.sockets.at(-1).terminate();
      const answer = await event(s, "subscribed");
      assert.equal(answer.recovered, true);
      assert.equal(answer.hasRecoveredPublications, false);
    });

    test("300 missed are recovered, 301 are not, and not in part", async (t) => {
      const c = await newcomer(t);
      for (const [missed, recovered] of [[300, true], [301, false]]) {
        const s = await subscribed(c, name("recover"));
        c.line.cut();
        await fill(s.channel, 1, missed);
        const back = event(s, "subscribed");
        c.line.mend();
        assert.equal((await back).recovered, recovered, `${missed} missed`);
        await fill(s.channel, missed + 1, missed + 1);
        const last = () => s.publications.at(-1)?.offset === missed + 1;
        await until("the live one", last);
        assert.equal(s.publications.length, recovered ? 301 : 1);
      }
    });

    test("trimmed history is not recovered, not even in part", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("short"));
      await fill(s.channel, 1, 1);
      await publications(s, 1, c);
      c.line.cut();
      await fill(s.channel, 2, 7); // keeps 3 to 7
      const back = event(s, "subscribed");
      c.line.mend();
      const answer = await back;
      assert.equal(answer.wasRecovering, true);
      assert.equal(answer.recovered, false);
      assert.equal(answer.streamPosition.offset, 7);
      await fill(s.channel, 8, 8);
      assert.deepEqual(await publications(s, 2, c), [1, 8]);
    });

    test("recovers from a position the application kept", async (t) => {
      const c = await newcomer(t);
      const channel = name("recover");
      await fill(channel, 1, 5);
      const { epoch } = await c.history(channel);
      for (const [since, recovered, data] of [
        [{ offset: 2, epoch }, true, [3, 4, 5]],
        [{ offset: 5, epoch }, true, []],
        [{ offset: 2, epoch: "" }, true, [3, 4, 5]],
        [{ offset: 9, epoch }, false, []],
        [{ offset: 2, epoch: "other" }, false, []],
        [{ offset: 2, epoch: "_" }, false, []],
      ]) {
        const s = await subscribed(c, channel, { since });
        assert.equal(s.answer.recovered, recovered, JSON.stringify(since));
        assert.deepEqual(s.publications.map((p) => c.decode(p.data)), data, JSON.stringify(since));
        s.unsubscribe();
        c.removeSubscription(s);
      }
    });

    test("112: a subscription that loads its own state is told to do so", async (t) => {
      const c = await newcomer(t);
      const channel = name("recover");
      await fill(channel, 1, 5);
      const { epoch } = await c.history(channel);
      const positions = [{ offset: 5, epoch: "gone" }, { offset: 4, epoch }];
      const codes = [];
      const s = subscription(c, channel, { getState: async () => positions.shift() });
      s.on("error", (ctx) => codes.push(ctx.error.code));
      const up = event(s, "subscribed");
      s.subscribe();
      assert.equal((await up).recovered, true);
      assert.equal(positions.length, 0);
      assert.deepEqual(await publications(s, 1, c), [5]);
    });

    test("cache: a return brings the latest only", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("cache"));
      c.line.cut();
      await fill(s.channel, 1, 9);
      const back = event(s, "subscribed");
      c.line.mend();
      assert.equal((await back).recovered, true);
      assert.deepEqual(await publications(s, 1, c), [9]);
      c.line.sockets.at(-1).terminate();
      assert.equal((await event(s, "subscribed")).hasRecoveredPublications, false);
    });

    test("positioned: knows its place, and does not recover", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("position"));
      assert.equal(s.answer.positioned, true);
      assert.equal(s.answer.recoverable, false);
      assert.ok(s.answer.streamPosition === undefined || s.answer.streamPosition.offset === 0);
      await fill(s.channel, 1, 3);
      assert.deepEqual(await publications(s, 3, c), [1, 2, 3]);
      c.line.sockets.at(-1).terminate();
      assert.equal((await event(s, "subscribed")).wasRecovering, false);
    });

    test("history that was removed keeps its position", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("recover"));
      await fill(s.channel, 1, 3);
      await publications(s, 3, c);
      await server.call("history_remove", { channel: s.channel });
      await fill(s.channel, 4, 4);
      assert.deepEqual(await publications(s, 4, c), range(1, 4));
      const { offset, publications: left } = await s.history({ limit: 10 });
      assert.equal(offset, 4);
      assert.equal(left.length, 1);
    });

    test("a publication that skips history has no place in it", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("recover"));
      await server.call("publish", { channel: s.channel, data: "passing", skip_history: true });
      await fill(s.channel, 1, 1);
      assert.deepEqual(await publications(s, 2, c), ["passing", 1]);
      assert.deepEqual(s.publications.map((p) => p.offset || 0), [0, 1]);
    });

    test("an idempotency key publishes once", async (t) => {
      const c = await newcomer(t);
      const s = await subscribed(c, name("recover"));
      const once = () => server.call("publish", { channel: s.channel, data: "once", idempotency_key: "k" });
      assert.deepEqual(await once(), await once());
      await fill(s.channel, 2, 2);
      assert.deepEqual(await publications(s, 2, c), ["once", 2]);
    });
  });
}
